"""HDF5 files and their datasets, which are read where they are indexed.

MATLAB v7.3, NetCDF-4 and HDF-EOS5 are HDF5; the layout of their groups is known in `arrays`, `labels`
and `missions`.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from types import EllipsisType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.damage import readable, refuse_large_chunk

Index = tuple[slice | list[int], ...]
CACHE = 32 * 2**20  # bytes of decoded chunks that are kept for the next window, for each dataset


class Dataset:
    """A dataset as an array of which only indexed values are read, by slices and at most one list.

    Parameters
    ----------
    path : Path
        The file, for messages.
    dataset : h5py.Dataset
        The dataset.
    transposed : bool
        Give the axes in reverse order.

    Attributes
    ----------
    name : str
        Path inside the file.
    shape : tuple of int
        Lengths of the axes.
    ndim : int
        Number of axes.
    dtype : dtype
        Type of the elements.
    attributes : dict
        Attributes by name, see `plain`.
    together : tuple of int
        Elements along each axis that the file stores, and is best read, together.
    """

    def __init__(self, path: Path, dataset: h5py.Dataset, *, transposed: bool = False) -> None:
        self._path, self._dataset, self._step = path, dataset, -1 if transposed else 1
        self.name: str = dataset.name
        self.shape: tuple[int, ...] = dataset.shape[:: self._step]
        self.ndim = len(self.shape)
        self.dtype: np.dtype[Any] = dataset.dtype
        _refuse_elsewhere(path, dataset)
        with readable(path):
            self.attributes = {name: plain(value) for name, value in dataset.attrs.items()}
        contiguous = (1,) * (self.ndim - 1) + dataset.shape[-1:]
        self.together: tuple[int, ...] = (dataset.chunks or contiguous)[:: self._step]

    def __getitem__(self, index: Index | EllipsisType) -> NDArray[Any]:
        if index is Ellipsis:
            index = (slice(None),) * self.ndim
        index = index[:: self._step]
        with readable(self._path):
            values = self._read(index)
        return values if self._step == 1 else values.T

    def _read(self, index: Index) -> NDArray[Any]:
        axis = next((i for i, part in enumerate(index) if isinstance(part, list)), None)
        if axis is None:
            return np.asarray(self._dataset[index])
        listed = np.array(index[axis], np.intp)
        wanted = np.unique(listed)
        stretches = _stretches(wanted)
        count = self.shape[:: self._step][axis]
        parts = [self._dataset[(*index[:axis], slice(*stretch), *index[axis + 1 :])] for stretch in stretches]
        held = np.concatenate([np.arange(count)[slice(*stretch)] for stretch in stretches])
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
        if np.array_equal(held, listed):
            return np.asarray(whole)
        return np.asarray(np.take(whole, np.searchsorted(held, listed), axis=axis))


def _refuse_elsewhere(path: Path, dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose values lie in other files, or in chunks too large to be read in part."""
    with readable(path):
        own = Path(dataset.file.filename).resolve() == path.resolve()
        outside = not own or dataset.is_virtual or bool(dataset.external)
        chunk = prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if outside:
        raise InputError(
            f"{path}: {dataset.name} lies in other files, to which this one only refers; write its values "
            "into one file (h5repack, or h5py)"
        )
    refuse_large_chunk(path, dataset.name, chunk)


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        The file is not HDF5, or damaged.
    """
    with readable(path):
        if not h5py.is_hdf5(path):
            raise InputError(
                f"{path}: not an HDF5 file, or cut off at its beginning; fetch it again, or convert a "
                "classic NetCDF to NetCDF-4"
            )
        return h5py.File(path, "r", locking="best-effort", rdcc_nbytes=CACHE)


def dataset_at(path: Path, file: h5py.File, name: str) -> Dataset:
    """Return a product's dataset.

    Parameters
    ----------
    path : Path
        The file, for messages.
    file : h5py.File
        The opened file.
    name : str
        Path of the dataset.

    Raises
    ------
    InputError
        There is no such dataset.
    """
    with readable(path):
        item = file.get(name)
    if not isinstance(item, h5py.Dataset):
        raise InputError(f"{path}: no dataset {name!r}; the product is not complete, fetch it again")
    return Dataset(path, item)


def attribute(path: Path, file: h5py.File, name: str) -> Any:
    """Return a product's global attribute, see `plain`.

    Parameters
    ----------
    path : Path
        The file, for messages.
    file : h5py.File
        The opened file.
    name : str
        Name of the attribute.

    Raises
    ------
    InputError
        There is no such attribute.
    """
    with readable(path):
        value = file.attrs.get(name)
    if value is None:
        raise InputError(f"{path}: no attribute {name!r}; the product is not complete, fetch it again")
    return plain(value)


def plain(value: Any) -> Any:
    """Return an attribute without the wrappers of its format: text, a number, or an array."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value.item() if isinstance(value, np.generic) else value


def _stretches(wanted: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Return ranges that cover sorted indices: a single range if it adds few values, else one per run."""
    first, last = int(wanted[0]), int(wanted[-1])
    if last - first < 2 * wanted.size:
        return [(first, last + 1)]
    parts = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]
