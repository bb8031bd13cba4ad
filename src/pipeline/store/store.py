"""Zarr v3 stores with a ledger beside them; a store that differs from its ledger is refused.

`X.zarr` is written under a temporary name, synced and renamed. Then the ledger `X.json` (canonical
JSON with the SHA-256 of every file) is written in the same way. An interruption leaves either the old
store with its ledger, or a store without a ledger, which `read_store` refuses; old and new files are
never mixed. Equal datasets give equal bytes. Rasters too large for memory are written by
`pipeline.store.shards`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from xarray.core.indexing import LazilyIndexedArray
from zarr.codecs import ZstdCodec
from zarr.storage import MemoryStore

from pipeline.errors import InputError
from pipeline.store.files import canonical_json, read_json, replaced_folder, sha256_of, sync, write_json
from pipeline.store.verified import VerifiedRaster, check_file, file_fault, in_words

CHUNK = 64
SHARD = 256
KEEP_EMPTY = {"array.write_empty_chunks": True}  # an empty shard is a file too, so that a missing one shows
GRIDS = (("y", "x"), ("y_lr", "x_lr"))


def write_store(store: Path, dataset: xr.Dataset, provenance: dict[str, Any]) -> Path:
    """Write a dataset as the Zarr v3 group `store` (`X.zarr`) and its ledger `X.json`.

    Parameters
    ----------
    store : Path
        Path that ends with `.zarr`; an existing store is replaced.
    dataset : xr.Dataset
        Dataset to write; its rasters are sharded.
    provenance : dict
        JSON-ready attribute of the group. Values that differ between equal runs, such as times, do not
        belong here: they would change the bytes.

    Returns
    -------
    Path
        The ledger.
    """
    store = Path(store)
    ledger = ledger_of(store)
    with replaced_folder(store, ledger) as aside:
        write_zarr(aside, dataset, provenance)
        _sync_tree(aside)
        content = ledger_content(store, _digests(aside))
    write_json(ledger, content)
    return ledger


def read_store(path: Path) -> xr.Dataset:
    """Open a store lazily; no-data is NaN.

    Each file is checked against the ledger when its values are first read.

    Parameters
    ----------
    path : Path
        The store or its ledger.

    Raises
    ------
    InputError
        The ledger or a file is missing, added, truncated or changed. A shard is checked, and the error
        raised, when its values are read.
    """
    store, files = _read_ledger(path)
    for name, digest in files.items():
        if "/c/" not in name:
            check_file(store, name, digest)
    rasters = _rasters(store, files)
    for name, digest in files.items():
        array, _, shard = name.partition("/c/")
        if shard and array not in rasters:
            check_file(store, name, digest)
    dataset = xr.open_dataset(
        store, engine="zarr", decode_coords="all", mask_and_scale=False, consolidated=False, chunks=None
    )
    for name in rasters:
        variable = dataset[name].variable
        attrs = {key: value for key, value in variable.attrs.items() if key != "_FillValue"}
        raster = LazilyIndexedArray(VerifiedRaster(store, name, files))
        dataset[name] = xr.Variable(variable.dims, raster, attrs, variable.encoding)
    return dataset


def _rasters(store: Path, files: dict[str, str]) -> list[str]:
    """Return the names of the arrays whose last two dimensions span a pixel grid."""
    names = [name.removesuffix("/zarr.json") for name in sorted(files) if name.endswith("/zarr.json")]
    dims = {name: read_json(store / name / "zarr.json").get("dimension_names") or () for name in names}
    return [name for name, own in dims.items() if tuple(own[-2:]) in GRIDS]


def verify_store(path: Path) -> tuple[int, list[str]]:
    """Compare every file of a store with its ledger.

    Parameters
    ----------
    path : Path
        The store or its ledger.

    Returns
    -------
    files : int
        Number of files that the ledger names.
    faults : list of str
        One line for each file that is missing, changed or added.
    """
    store, files = _read_ledger(path)
    present = {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}
    faults = []
    for name in sorted(files.keys() | present):
        fault = file_fault(store / name, files.get(name))
        if fault:
            faults.append(f"{store}: {in_words(name)} {fault} since the store was written")
    return len(files), faults


def ledger_content(store: Path, files: dict[str, str]) -> dict[str, Any]:
    """Return the content of a store's ledger: SHA-256 of every file, and one digest over all of them.

    Parameters
    ----------
    store : Path
        `X.zarr`.
    files : dict
        SHA-256 of every file by its path in the store.
    """
    return {"store": store.name, "digest": _digest_of(files), "files": files}


def _digest_of(files: dict[str, str]) -> str:
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return sha256(lines.encode()).hexdigest()


def _read_ledger(path: Path) -> tuple[Path, dict[str, str]]:
    """Return the store that a path names, and the digest of each of its files."""
    path = Path(path)
    ledger = path if path.suffix == ".json" else ledger_of(path)
    store = ledger.with_suffix(".zarr")
    remedy = "delete both and run the step again"
    content = read_json(ledger)
    if set(content) != {"store", "digest", "files"} or not isinstance(content["files"], dict):
        raise InputError(f"{ledger}: not the ledger of a store; {remedy}")
    if content["store"] != store.name:
        raise InputError(f"{ledger}: is the ledger of {content['store']}, not of {store.name}; {remedy}")
    if content["digest"] != _digest_of(content["files"]):
        raise InputError(f"{ledger}: its digest does not match its files; {remedy}")
    if not store.is_dir():
        raise InputError(f"{store}: no such store, though its ledger is there; {remedy}")
    return store, content["files"]


def write_zarr(
    target: Path | MemoryStore,
    dataset: xr.Dataset,
    provenance: Mapping[str, Any],
    shard: Mapping[str, int] | None = None,
) -> None:
    """Write a dataset as a Zarr v3 group, without the values of its Dask arrays.

    Parameters
    ----------
    target : Path or MemoryStore
        Where the group is written.
    dataset : xr.Dataset
        Dataset; of its Dask arrays, only the metadata are written.
    provenance : dict
        JSON-ready attribute of the group.
    shard : dict, optional
        Side of a shard along each raster dimension; default 256.
    """
    described = dataset.assign_attrs(provenance=json.loads(canonical_json(dict(provenance))))
    encoding = {str(name): _encoding(variable, shard or {}) for name, variable in dataset.variables.items()}
    with zarr.config.set(KEEP_EMPTY):
        described.to_zarr(
            target, mode="w", zarr_format=3, consolidated=False, encoding=encoding, compute=False
        )


def _encoding(variable: xr.Variable, shard: Mapping[str, int]) -> dict[str, Any]:
    """Return the encoding of a variable: rasters in sharded chunks of whole spectra.

    A raster smaller than a shard is stored as a single shard.
    """
    encoding: dict[str, Any] = {"compressors": (ZstdCodec(level=3, checksum=True),)}
    if "grid_mapping" in variable.encoding:
        encoding["grid_mapping"] = variable.encoding["grid_mapping"]
    if variable.ndim >= 1:
        encoding["chunks"] = variable.shape
    if is_raster(variable):
        sizes = zip(variable.dims[-2:], variable.shape[-2:], strict=True)
        grid = [_chunk_and_shard(size, shard.get(str(dim), SHARD)) for dim, size in sizes]
        bands = variable.shape[:-2]
        encoding["chunks"] = (*bands, *(chunk for chunk, _ in grid))
        encoding["shards"] = (*bands, *(side for _, side in grid))
    if np.issubdtype(variable.dtype, np.floating) and variable.ndim == 3:
        nan = variable.dtype.type("nan")
        encoding |= {"_FillValue": nan, "fill_value": nan}
    else:
        encoding["_FillValue"] = None
    return encoding


def is_raster(variable: xr.Variable) -> bool:
    """Return whether a variable's last two dimensions span a pixel grid."""
    return variable.dims[-2:] in GRIDS


def _chunk_and_shard(size: int, shard: int) -> tuple[int, int]:
    """Return the sides of chunk and shard along an axis of `size` pixels.

    >>> _chunk_and_shard(1000, 512), _chunk_and_shard(1000, 96), _chunk_and_shard(70, 512)
    ((64, 512), (48, 96), (64, 128))
    """
    if size <= shard:
        chunk = min(CHUNK, size)
        return chunk, chunk * ceil(size / chunk)
    parts = next(n for n in range(ceil(shard / CHUNK), shard + 1) if shard % n == 0)
    return shard // parts, shard


def _digests(store: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a store."""
    paths = sorted(path for path in store.rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): sha256_of(path) for path in paths}


def ledger_of(store: Path) -> Path:
    """Return the ledger `X.json` of a store `X.zarr`."""
    if store.suffix != ".zarr":
        raise InputError(f"{store}: the name of a store ends with .zarr, the name of its ledger with .json")
    return store.with_suffix(".json")


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        sync(path)
