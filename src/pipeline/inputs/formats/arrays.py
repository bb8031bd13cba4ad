"""Named numeric arrays of `.mat`, `.npz`, `.npy` and HDF5 files, listed before they are loaded.

Listing reads headers only. A `.npy` is mapped into memory and of HDF5 (including MATLAB v7.3)
only the indexed values are read; arrays of `.npz` and older `.mat` are loaded whole. Nothing is ever
unpickled: object, cell and struct arrays are left out.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.damage import first_bytes, readable, refuse_expansion
from pipeline.inputs.formats.hdf5 import Dataset, open_hdf5, plain

MATLAB_NUMERIC = {"double", "single", "logical"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
HDF5_SUFFIXES = (".h5", ".hdf5", ".he5", ".nc")
SUFFIXES = (".mat", ".npz", ".npy", *HDF5_SUFFIXES)


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of one file.

    Attributes
    ----------
    path : Path
        The file.
    shapes : dict
        Shape of every numeric array by name.
    other : dict
        Type of every other entry by name.
    read : callable
        Returns the array of a name, to be indexed.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    other: dict[str, str]
    read: Callable[[str], NDArray[Any] | Dataset]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array.

        Parameters
        ----------
        name : str
            Name of the array.

        Raises
        ------
        InputError
            It is not there, or not numeric.
        """
        if name in self.other:
            raise InputError(
                f"{self.path}: variable {name!r} holds {self.other[name]} elements, which are not read; "
                f"numeric ones are {self.listing()}"
            )
        if name not in self.shapes:
            raise InputError(f"{self.path}: no variable {name!r}; it holds {self.listing()}")
        return self.shapes[name]

    def open(self, name: str) -> NDArray[Any] | Dataset:
        """Return the array called `name`, to be indexed; it is not read yet where the format allows it."""
        self.shape_of(name)
        with readable(self.path):
            return self.read(name)

    def load(self, name: str) -> NDArray[Any]:
        """Read the array called `name` into memory."""
        return self.open(name)[...]

    def only(self, rank: int) -> str:
        """Return the name of the only array with `rank` axes.

        Raises
        ------
        InputError
            There is no such array, or several.
        """
        names = [name for name, shape in self.shapes.items() if len(shape) == rank]
        if len(names) != 1:
            how_many = "none of the arrays has" if not names else f"{len(names)} arrays have"
            raise InputError(
                f"{self.path}: {how_many} {rank} axes; name one by `variable` (and its `axes`); "
                f"the file holds {self.listing()}"
            )
        return names[0]

    def listing(self) -> str:
        """Return the arrays and their shapes, for messages."""
        shown = [f"{name} {'x'.join(map(str, shape))}" for name, shape in self.shapes.items()]
        return ", ".join(shown) or "no numeric array"


def open_arrays(path: Path) -> ArrayFile:
    """List a file's arrays.

    Parameters
    ----------
    path : Path
        A `.mat`, `.npz`, `.npy` or HDF5 file.

    Raises
    ------
    InputError
        The file is missing, or its content does not match its suffix.
    """
    start = first_bytes(path)
    if path.suffix in HDF5_SUFFIXES:
        return _open_hdf5(path)
    if path.suffix == ".mat":
        is_hdf5 = start.startswith((b"MATLAB 7.3", b"\x89HDF"))
        return _open_matlab_hdf5(path) if is_hdf5 else _open_matlab(path, start)
    if start.startswith(b"PK\x03\x04"):
        return _open_archive(path)
    with readable(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    shapes, other = _numeric({"array": (array.shape, array.dtype)})
    return ArrayFile(path, shapes, other, lambda _: array)


def _open_matlab(path: Path, start: bytes) -> ArrayFile:
    if len(start) < 128 or start[126:128] not in (b"IM", b"MI"):
        raise InputError(f"{path}: not a MATLAB v5 file (it begins with {start[:20]!r})")
    shapes, other = {}, {}
    with readable(path):
        for name, shape, kind in scipy.io.whosmat(path):
            if kind in MATLAB_NUMERIC:
                shapes[name] = tuple(shape)
            else:
                other[name] = kind

    def read(name: str) -> NDArray[Any]:
        refuse_expansion(path, prod(shapes[name]))
        array: NDArray[Any] = scipy.io.loadmat(path, variable_names=[name])[name]
        return array

    return ArrayFile(path, shapes, other, read)


def _open_hdf5(path: Path) -> ArrayFile:
    """List all datasets of an HDF5 file, by their paths."""
    file = open_hdf5(path)
    headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            headers[name] = (item.shape, item.dtype)

    with readable(path):
        file.visititems(note)
    shapes, other = _numeric(headers)
    return ArrayFile(path, shapes, other, lambda name: Dataset(path, file[name]))


def _open_matlab_hdf5(path: Path) -> ArrayFile:
    """List the variables of a MATLAB v7.3 file, with MATLAB's axes, which are stored last to first."""
    file = open_hdf5(path)
    shapes, other = {}, {}
    with readable(path):
        for name, item in file.items():
            kind = plain(item.attrs.get("MATLAB_class", "double"))
            shape = getattr(item, "shape", None)  # a struct is a group
            if name.startswith("#"):  # MATLAB's own, to which cells and objects refer
                continue
            if kind not in MATLAB_NUMERIC or shape is None or item.attrs.get("MATLAB_empty", 0):
                other[name] = f"empty {kind}" if kind in MATLAB_NUMERIC else kind
            elif item.dtype.kind not in "biuf":
                other[name] = f"complex {kind}" if item.dtype.names == ("real", "imag") else str(item.dtype)
            else:
                shapes[name] = shape[::-1]
    return ArrayFile(path, shapes, other, lambda name: Dataset(path, file[name], transposed=True))


def _open_archive(path: Path) -> ArrayFile:
    headers = {}
    with readable(path), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as stream:
                headers[member.removesuffix(".npy")] = _header(stream)
    shapes, other = _numeric(headers)

    def read(name: str) -> NDArray[Any]:
        refuse_expansion(path, prod(shapes[name]))
        with np.load(path, allow_pickle=False) as content:
            array: NDArray[Any] = content[name]
        return array

    return ArrayFile(path, shapes, other, read)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type of an array in NumPy's format."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _numeric(
    headers: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]],
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Return the shapes of numeric arrays, and the type names of all other arrays."""
    numeric = {name: shape for name, (shape, dtype) in headers.items() if dtype.kind in "biufc"}
    other = {
        name: "Python object" if dtype.hasobject else str(dtype)
        for name, (_, dtype) in headers.items()
        if name not in numeric
    }
    return numeric, other
