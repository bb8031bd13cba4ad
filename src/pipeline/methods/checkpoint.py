"""Named tensors in safetensors files, which hold no code.

A file is written aside and renamed: after a kill at any moment it is either the old file or the new one.
"""

from __future__ import annotations

import os
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from pipeline.errors import InputError


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata atomically.

    Parameters
    ----------
    path : Path
        The file.
    tensors : dict of Tensor
        Tensors by name.
    metadata : dict of str
        Metadata by name.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    try:
        safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, aside, metadata)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except safetensors.SafetensorError as error:
        raise OSError(f"{path}: could not be written ({error})") from None
    finally:
        aside.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a file.

    Raises
    ------
    InputError
        The file is missing, damaged or of another format.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the training that writes it") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}); delete it and train again"
        ) from None
