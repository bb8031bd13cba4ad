"""Zarr v3 stores with a ledger beside them: a store is what its ledger says, or it is not read.

`X.zarr` is written aside, synced and renamed; then the ledger `X.json` (canonical JSON with the
SHA-256 of every file) is. An interruption at any point leaves the old pair, or a store without a
ledger, which `read_store` refuses: never a mixture. Equal datasets give equal bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

from pipeline.errors import InputError
from pipeline.provenance import sha256_of

CHUNK = 64
SHARD = 256


def write_store(store: Path, dataset: xr.Dataset, provenance: dict[str, Any]) -> Path:
    """Write a dataset as the Zarr v3 group `store` (`X.zarr`) and its ledger `X.json`.

    Parameters
    ----------
    store : Path
        Ends with `.zarr`; an earlier store of this name is replaced.
    dataset : xr.Dataset
        Rasters are sharded; `provenance` becomes an attribute of the group.
    provenance : dict
        JSON-ready; nothing that differs between equal runs, or the bytes differ.

    Returns
    -------
    Path
        The ledger.
    """
    store = Path(store)
    ledger = _ledger_of(store)
    aside = store.with_name(f".{store.name}.partial")
    store.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(aside, ignore_errors=True)  # left by a killed run
    try:
        _write_zarr(aside, dataset.assign_attrs(provenance=json.loads(canonical_json(provenance))))
        _sync_tree(aside)
        content = {"store": store.name, **_digests(aside)}

        # from here to the last rename there is no ledger: an interruption leaves an unreadable pair
        ledger.unlink(missing_ok=True)
        _sync(store.parent)
        if store.exists():
            shutil.rmtree(store)
        aside.rename(store)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    write_json(ledger, content)
    return ledger


def read_store(path: Path) -> xr.Dataset:
    """Open a store, given by itself or by its ledger, after every file's digest was found right.

    Arrays are read when they are used; no-data is NaN.

    Raises
    ------
    InputError
        The ledger or a file is missing, added, truncated or changed.
    """
    return xr.open_dataset(
        verify_store(path), engine="zarr", decode_coords="all", consolidated=False, chunks=None
    )


def verify_store(path: Path) -> Path:
    """Check a store against its ledger and return the store's path."""
    path = Path(path)
    ledger = path if path.suffix == ".json" else _ledger_of(path)
    store = ledger.with_suffix(".zarr")
    again = "delete both and run the step again"
    content = read_json(ledger)
    if set(content) != {"store", "digest", "files"} or not isinstance(content["files"], dict):
        raise InputError(f"{ledger}: not the ledger of a store; {again}")
    if content["store"] != store.name:
        raise InputError(f"{ledger}: is the ledger of {content['store']}, not of {store.name}; {again}")
    if not store.is_dir():
        raise InputError(f"{store}: no such store, though its ledger is there; {again}")
    found = _digests(store)
    for name in sorted(content["files"].keys() | found["files"].keys()):
        expected, actual = content["files"].get(name), found["files"].get(name)
        if expected != actual:
            what = "is missing" if actual is None else "was added" if expected is None else "was changed"
            raise InputError(f"{store}: file {name} {what} since the store was written; {again}")
    if content["digest"] != found["digest"]:
        raise InputError(f"{ledger}: its digest does not match its files; {again}")
    return store


def canonical_json(content: Any) -> str:
    """JSON with sorted keys and one way to write it; equal content gives equal bytes."""
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, content: Any) -> None:
    """Write canonical JSON atomically."""
    write_text(path, canonical_json(content))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: aside, synced, renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    try:
        aside.write_text(text, encoding="utf-8", newline="")
        _sync(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    _sync(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the step that writes it has not finished") from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise InputError(f"{path}: not valid JSON; delete it and run the step that writes it") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a JSON object")
    return content


def _write_zarr(folder: Path, dataset: xr.Dataset) -> None:
    encoding = {str(name): _encoding(variable) for name, variable in dataset.variables.items()}
    with zarr.config.set({"array.write_empty_chunks": True}):
        dataset.to_zarr(folder, mode="w", zarr_format=3, consolidated=False, encoding=encoding)


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    """Chunks of whole spectra, shards of 4 x 4 chunks; a small raster is one shard."""
    encoding: dict[str, Any] = {"compressors": (ZstdCodec(level=3, checksum=True),)}
    if "grid_mapping" in variable.encoding:
        encoding["grid_mapping"] = variable.encoding["grid_mapping"]
    if variable.ndim >= 1:
        encoding["chunks"] = variable.shape
    if variable.ndim == 3:
        size = variable.shape[1:]
        sides = [min(CHUNK, n) for n in size]
        shards = [side * ceil(min(SHARD, n) / side) for side, n in zip(sides, size, strict=True)]
        encoding["chunks"] = (variable.shape[0], *sides)
        encoding["shards"] = (variable.shape[0], *shards)
    if np.issubdtype(variable.dtype, np.floating) and variable.ndim == 3:
        nan = variable.dtype.type("nan")
        encoding |= {"_FillValue": nan, "fill_value": nan}
    else:
        encoding["_FillValue"] = None
    return encoding


def _digests(store: Path) -> dict[str, Any]:
    """SHA-256 of every file of a store, and one digest over all of them."""
    paths = sorted(path for path in store.rglob("*") if path.is_file())
    files = {path.relative_to(store).as_posix(): sha256_of(path) for path in paths}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return {"digest": sha256(lines.encode()).hexdigest(), "files": files}


def _ledger_of(store: Path) -> Path:
    if store.suffix != ".zarr":
        raise InputError(f"{store}: the name of a store ends with .zarr, that of its ledger with .json")
    return store.with_suffix(".json")


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
