"""Zarr stores as files of arrays, of format 2 or 3, the stores of this package among them.

A missing chunk of a Zarr array reads as its fill value. A store of this package has a ledger beside it,
which says what has to be there: it is checked first.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.damage import readable, refuse_large_chunk
from pipeline.store.store import verify_store

MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")

Index = tuple[slice | list[int], ...]


class ZarrArray:
    """An array of a Zarr store, of which only indexed values are read.

    Parameters
    ----------
    path : Path
        The store, for messages.
    array : zarr.Array
        The array.

    Attributes
    ----------
    shape : tuple of int
        Lengths of the axes.
    ndim : int
        Number of axes.
    dtype : dtype
        Type of the elements.
    together : tuple of int
        Elements along each axis that are best read together.
    """

    def __init__(self, path: Path, array: zarr.Array[Any]) -> None:
        self._path, self._array = path, array
        refuse_large_chunk(path, array.name, prod(array.chunks) * array.dtype.itemsize)
        self.shape: tuple[int, ...] = array.shape
        self.ndim = len(self.shape)
        self.dtype: np.dtype[Any] = array.dtype
        self.together: tuple[int, ...] = tuple(getattr(array, "shards", None) or array.chunks)

    def __getitem__(self, index: Index | EllipsisType) -> NDArray[Any]:
        with readable(self._path):
            if index is Ellipsis:
                return np.asarray(self._array[...])
            return np.asarray(self._array.oindex[index])  # type: ignore[index]


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a Zarr store."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def open_zarr(path: Path) -> tuple[zarr.Group | None, dict[str, zarr.Array[Any]]]:
    """Open a store: its group, None where it is a single array, and its arrays by their paths.

    Parameters
    ----------
    path : Path
        The folder of the store.

    Raises
    ------
    InputError
        The store is damaged, or differs from its ledger.
    """
    if _has_ledger(path):
        _, faults = verify_store(path)
        if faults:
            raise InputError(f"{faults[0]}; run the step that wrote it again, or fetch the store again")
    with readable(path):
        store = zarr.open(path, mode="r")
        if isinstance(store, zarr.Array):
            return None, {"array": store}
        members = store.members(max_depth=None)
        return store, {name: member for name, member in members if isinstance(member, zarr.Array)}


def _has_ledger(path: Path) -> bool:
    """Return whether a ledger of this package lies beside a store."""
    ledger = path.with_suffix(".json")
    try:
        return path.suffix == ".zarr" and set(json.loads(ledger.read_text())) == {"store", "digest", "files"}
    except (OSError, ValueError, TypeError):
        return False
