"""Fitted methods as safetensors files, tied to the inputs and settings that made them.

The file's fingerprint covers settings, seed, observation and estimate; with another fingerprint it
is refused. Nothing is pickled. All metadata is one JSON text: safetensors orders keys at random.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.data.files import canonical_json, json_digest, read_json
from pipeline.errors import InputError
from pipeline.methods.base import State
from pipeline.methods.checkpoint import read_tensors, write_tensors
from pipeline.settings import MethodEntry
from pipeline.sources import code_digest


def fingerprint(settings: MethodEntry, seed: int, observation: Path, estimate: Path) -> str:
    """SHA-256 of all that a fitted method depends on; the two paths are ledgers."""
    content = {
        "code": code_digest("pipeline.steps.train", f"pipeline.methods.{settings.method}"),
        "settings": settings.deciding(),
        "seed": seed,
        "observation": read_json(observation)["digest"],
        "estimate": read_json(estimate)["digest"],
    }
    return json_digest(content)


def write_fitted(path: Path, state: State, metadata: dict[str, Any]) -> None:
    """Write a fitted method's state atomically."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()}
    write_tensors(
        path, tensors, {"pipeline": canonical_json(metadata | {"digest": _digest(tensors, metadata)})}
    )


def read_fitted(path: Path, expected: str) -> State:
    """State of the fitted method whose fingerprint is `expected`.

    Raises
    ------
    InputError
        The file is missing, damaged, or belongs to other settings or inputs.
    """
    tensors, found = check_fitted(path)
    if found != expected:
        raise InputError(
            f"{path}: was fitted with other code, settings or another observation (fingerprint {found[:12]}, "
            f"expected {expected[:12]}); delete it and run `train` again"
        )
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def check_fitted(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Tensors and fingerprint of a fitted method that nobody has changed."""
    tensors, metadata = read_tensors(path)
    try:
        record = json.loads(metadata["pipeline"])
        found, digest = str(record["fingerprint"]), record.pop("digest")
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
        record, found, digest = {}, "missing", "missing"
    if digest != _digest(tensors, record):
        raise InputError(f"{path}: was changed since `train` wrote it; delete it and run `train` again")
    return tensors, found


def _digest(tensors: dict[str, torch.Tensor], metadata: dict[str, Any]) -> str:
    """SHA-256 over the metadata and over names, types, shapes and values."""
    digest = sha256(canonical_json(metadata).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
