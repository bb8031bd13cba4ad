"""Rasters on disk whose files are checked against the ledger before a value is read.

The first read of a shard compares the digest of its whole file with the ledger's, so that a job
checks only the shards that it reads. A missing shard that the ledger names is an error here, whereas
Zarr alone would return fill values.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from pipeline.errors import InputError
from pipeline.store.files import sha256_of


class VerifiedRaster(BackendArray):
    """A raster of a store as xarray's lazy array, checked shard by shard against the ledger.

    Parameters
    ----------
    store : Path
        `X.zarr`.
    name : str
        Name of the raster in the store.
    files : dict
        SHA-256 of every file by its path in the store.
    """

    def __init__(self, store: Path, name: str, files: dict[str, str]) -> None:
        self.store, self.name, self.files = store, name, files
        array = zarr.open_array(store / name, mode="r")
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self._sides = (array.shards or array.chunks)[-2:]
        self._sound: set[str] = set()

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values of an orthogonal selection."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rows_and_columns = zip(key[-2:], self.shape[-2:], self._sides, strict=True)
        for row, column in product(*(_shards(*axis) for axis in rows_and_columns)):
            self._check("/".join([self.name, "c", *["0"] * (len(self.shape) - 2), str(row), str(column)]))
        return np.asarray(self.array.oindex[key])

    def _check(self, key: str) -> None:
        if key not in self._sound:
            check_file(self.store, key, self.files.get(key))
            self._sound.add(key)


def _shards(index: int | slice | NDArray[np.intp], size: int, side: int) -> list[int]:
    """Return positions along an axis of the shards that an index touches."""
    if isinstance(index, slice):
        start, stop, step = index.indices(size)
        if step == 1:
            return list(range(start // side, -(-stop // side))) if stop > start else []
        index = np.arange(start, stop, step)
    return np.unique(np.atleast_1d(index) // side).tolist()


def check_file(store: Path, name: str, expected: str | None) -> None:
    """Refuse a file of a store that differs from the ledger.

    Parameters
    ----------
    store : Path
        `X.zarr`.
    name : str
        Path of the file in the store.
    expected : str or None
        SHA-256 of the file; None for a file that the ledger does not name.

    Raises
    ------
    InputError
        The file is missing, added or changed.
    """
    fault = file_fault(store / name, expected)
    if fault is not None:
        raise InputError(
            f"{store}: {in_words(name)} {fault} since the store was written; "
            f"run `pipeline verify {store}` and then the workflow again to repair it"
        )


def file_fault(path: Path, expected: str | None) -> str | None:
    """Return the fault of a file in a few words, or None.

    Parameters
    ----------
    path : Path
        The file.
    expected : str or None
        Its SHA-256; None for a file that should not be there.
    """
    if not path.is_file():
        return None if expected is None else "is missing"
    if expected is None:
        return "was added"
    return None if sha256_of(path) == expected else "was changed"


def in_words(name: str) -> str:
    """Return the name of a file of a store by array and shard.

    >>> in_words("fused/c/0/3/4"), in_words("fused/zarr.json")
    ('array fused, shard 0/3/4', 'metadata fused/zarr.json')
    """
    if name.endswith("zarr.json"):
        return f"metadata {name}"
    array, _, key = name.partition("/c")
    return f"array {array}, shard {key.strip('/') or '0'}"
