"""Named arrays in safetensors files, which hold no code.

A file is written aside and renamed: after a kill at any moment it is either the old file or the new one.
Arrays rather than tensors, so that the steps of a method without networks need not load PyTorch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from pipeline.errors import InputError

Arrays = dict[str, NDArray[Any]]


def write_arrays(path: Path, arrays: Arrays, metadata: dict[str, str]) -> None:
    """Write arrays and metadata atomically.

    Parameters
    ----------
    path : Path
        The file.
    arrays : dict of ndarray
        Arrays by name.
    metadata : dict of str
        Metadata by name.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    if aside.is_symlink():  # which would lead the content elsewhere
        aside.unlink()
    try:
        ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        safetensors.numpy.save_file(ordered, aside, metadata)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    except safetensors.SafetensorError as error:
        raise OSError(f"{path}: could not be written ({error})") from None
    finally:
        aside.unlink(missing_ok=True)


def read_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Read the arrays and the metadata of a file.

    Raises
    ------
    InputError
        The file is missing, damaged or of another format.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the training that writes it") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}); delete it and train again"
        ) from None
