"""Fitted methods as safetensors files, tied to the inputs and settings that they were fitted with.

The file's fingerprint covers seed, observation, estimate and the settings that decide the state; with
another fingerprint it is refused. A second one covers the training alone, which several labels of an
experiment may share. Nothing is pickled. All metadata is one JSON text: safetensors orders keys at random.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.methods import MethodEntry
from pipeline.methods.base import State
from pipeline.methods.checkpoint import read_arrays, write_arrays
from pipeline.runs.code_digest import code_digest
from pipeline.store.files import canonical_json, json_digest, read_json
from pipeline.store.store import read_store


def fingerprint(settings: MethodEntry, seed: int, observation: Path, estimate: Path) -> str:
    """Return the SHA-256 of all that a fitted method depends on.

    Parameters
    ----------
    settings : MethodEntry
        Settings of the method; only those that determine the fitted state matter.
    seed : int
        Seed of the method's random draws.
    observation, estimate : Path
        Ledgers of the two stores.
    """
    size = read_store(observation).sizes
    return _digest_of(settings, settings.fitting((size["y"], size["x"])), seed, observation, estimate)


def training_fingerprint(settings: MethodEntry, seed: int, observation: Path, estimate: Path) -> str | None:
    """Return the SHA-256 of all that a training depends on; None where the method has none to share.

    A training on other scenes depends on no observation of the scene to fuse, nor on the seed.

    Parameters
    ----------
    settings : MethodEntry
        Settings of the method; only those that affect the training matter.
    seed : int
        Seed of the method's random draws.
    observation, estimate : Path
        Ledgers of the two stores.
    """
    part = settings.training_part()
    if part is None:
        return None
    if settings.training_scenes:
        return json_digest({"code": _code(settings), "settings": part})
    return _digest_of(settings, part, seed, observation, estimate)


def _digest_of(
    settings: MethodEntry, part: dict[str, Any], seed: int, observation: Path, estimate: Path
) -> str:
    content = {
        "code": _code(settings),
        "settings": part,
        "seed": seed,
        "observation": read_json(observation)["digest"],
        "estimate": read_json(estimate)["digest"],
    }
    return json_digest(content)


def _code(settings: MethodEntry) -> str:
    return code_digest("pipeline.steps.train", f"pipeline.methods.{settings.method}")


def write_fitted(path: Path, state: State, metadata: dict[str, Any]) -> None:
    """Write a fitted method's state atomically.

    Parameters
    ----------
    path : Path
        The file to write.
    state : State
        Arrays by name.
    metadata : dict
        JSON-ready; holds the `fingerprint` and the `training` of the method.
    """
    record = metadata | {"digest": _digest(state, metadata)}
    write_arrays(path, state, {"pipeline": canonical_json(record)})


def read_fitted(path: Path, expected: str) -> State:
    """Read the state of a fitted method.

    Parameters
    ----------
    path : Path
        The file.
    expected : str
        Fingerprint that the file must have.

    Raises
    ------
    InputError
        The file is missing, damaged, or belongs to other settings or inputs.
    """
    state, record = check_fitted(path)
    stored = str(record["fingerprint"])
    if stored != expected:
        raise InputError(
            f"{path}: was fitted with other code, settings or another observation (fingerprint "
            f"{stored[:12]}, expected {expected[:12]}); delete it and run `train` again"
        )
    return state


def read_trained(path: Path, training: str) -> State | None:
    """Read the state of a fitted method of any settings; None if it has another training.

    Parameters
    ----------
    path : Path
        The file.
    training : str
        Fingerprint of the wanted training.

    Raises
    ------
    InputError
        The file is missing or damaged.
    """
    state, record = check_fitted(path)
    if record.get("training") != training:
        return None
    return state


def check_fitted(path: Path) -> tuple[State, dict[str, Any]]:
    """Return state and metadata of a fitted method, after a check that the file is unchanged.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        The file is missing, damaged or changed.
    """
    state, metadata = read_arrays(path)
    try:
        record = json.loads(metadata["pipeline"])
        digest = record.pop("digest") if "fingerprint" in record else "missing"
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
        record, digest = {}, "missing"
    if digest != _digest(state, record):
        raise InputError(f"{path}: was changed since `train` wrote it; delete it and run `train` again")
    return state, record


def _digest(state: State, metadata: dict[str, Any]) -> str:
    """Return the SHA-256 over the metadata and over names, types, shapes and values."""
    digest = sha256(canonical_json(metadata).encode())
    for name, array in sorted(state.items()):
        digest.update(f"{name}:{array.dtype}:{array.shape}:".encode() + array.tobytes())
    return digest.hexdigest()
