"""Named numeric arrays of `.mat`, `.npz`, `.npy`, HDF5, NetCDF and Zarr, listed before they are loaded.

Listing reads headers only. A `.npy` is mapped into memory and of HDF5 (including MATLAB v7.3) and Zarr
only the indexed values are read; arrays of `.npz`, older `.mat` and classic NetCDF are loaded whole. Nothing
is ever unpickled: object and cell arrays are left out.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
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
from pipeline.inputs.formats.conventions import CENTRE_NAME, WIDTH_NAME, role_of_name
from pipeline.inputs.formats.damage import (
    MOST_UNCHECKED,
    VALUES_PER_BYTE,
    first_bytes,
    readable,
    refuse_expansion,
)
from pipeline.inputs.formats.hdf5 import Dataset, open_hdf5, plain
from pipeline.inputs.formats.image import natural
from pipeline.inputs.formats.labels import Coordinate, Labels, hdf5_labels, zarr_labels
from pipeline.inputs.formats.zarr_store import ZarrArray, is_zarr, open_zarr

MATLAB_NUMERIC = {"double", "single", "logical"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
HDF5_SUFFIXES = (".h5", ".hdf5", ".he5", ".nc", ".nc4", ".netcdf", ".hdf")
SUFFIXES = (".mat", ".npz", ".npy", *HDF5_SUFFIXES)
BEGINNINGS = (
    b"\x89HDF\r\n\x1a\n",
    b"\x93NUMPY",
    b"MATLAB 5.0",
    b"MATLAB 7.3",
    b"CDF\x01",
    b"CDF\x02",
    b"CDF\x05",
)
COMPRESSED, PIECE = 15, 2**20  # type of a MATLAB element; bytes that are decoded at a time
CLASSIC = BEGINNINGS[-3:]  # of NetCDF
BANDS_FIRST, BANDS_LAST = ("band", "y", "x"), ("y", "x", "band")

Array = NDArray[Any] | Dataset | ZarrArray


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
    labels_of : callable
        Returns the labels of the array of a name.
    order : (str, str, str)
        Axes of an image whose file does not say them.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    other: dict[str, str]
    read: Callable[[str], Array]
    labels_of: Callable[[str], Labels] | None = None
    order: tuple[str, str, str] = BANDS_FIRST

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

    def named(self, name: str) -> str:
        """Return an array's name; a field of a struct may be written as `struct/field`, too."""
        field = name.replace("/", ".")
        return field if name not in self.shapes and field in self.shapes else name

    def open(self, name: str) -> Array:
        """Return the array called `name`, to be indexed; it is not read yet where the format allows it."""
        self.shape_of(name)
        with readable(self.path):
            return self.read(name)

    def load(self, name: str) -> NDArray[Any]:
        """Read the array called `name` into memory."""
        return self.open(name)[...]

    def labels(self, name: str) -> Labels:
        """Return what the file says about an array, at least its arrays of wavelengths and widths.

        Parameters
        ----------
        name : str
            Name of the array.
        """
        if self.labels_of is not None:
            return self.labels_of(name)
        beside = [
            Coordinate(_last(other), None, self.load(other).ravel())
            for other, shape in self.shapes.items()
            if sum(side > 1 for side in shape) == 1 and _is_spectral(_last(other))
        ]
        return Labels((None,) * len(self.shapes[name]), tuple(beside))

    def only(self, rank: int) -> str:
        """Return the name of the only array with `rank` axes, or with as many longer than 1.

        Raises
        ------
        InputError
            There is no such array, or several.
        """
        names = [name for name, shape in self.shapes.items() if len(shape) == rank]
        names = names or [name for name, shape in self.shapes.items() if _long(shape) == rank]
        return self._only(names, f"{rank} axes")

    def image(self) -> str:
        """Return the name of the only array that may be an image: of three axes, else of two.

        Axes of length 1 do not count where there are more than three, and arrays that another names as its
        ancillary variables, bounds or coordinates are left out.

        Raises
        ------
        InputError
            There is no such array, or several.
        """
        names = [name for name, shape in self.shapes.items() if len(shape) == 3 or _long(shape) == 3]
        if not names:
            flat = [name for name, shape in self.shapes.items() if _long(shape) == 2 and len(shape) >= 2]
            names = flat if len(flat) == 1 else []
            many = [name for name, shape in self.shapes.items() if _long(shape) > 3]
            names = many if not names and len(many) == 1 else names  # whose axes are named in the error
        if len(names) > 1 and self.labels_of is not None:
            ancillary = {word for name in names for word in _referred(self.labels_of(name))}
            names = [name for name in names if _last(name) not in ancillary]
        return self._only(names, "3 axes")

    def band_variables(self) -> list[str]:
        """Return the arrays that are one band each, where a file keeps its bands apart; else none.

        They have named dimensions of rows and of columns, the same for all, and no other array has more.
        Flags and arrays that others refer to are no bands.
        """
        if self.labels_of is None or any(_long(shape) > 2 for shape in self.shapes.values()):
            return []
        labels = {name: self.labels_of(name) for name, shape in self.shapes.items() if _long(shape) == 2}
        referred = {word for known in labels.values() for word in _referred(known)}
        grids: dict[Any, list[str]] = {}
        for name, known in labels.items():
            meaning = {role_of_name(dim) for dim in known.dims if dim}
            flags = {"flag_values", "flag_masks", "flag_meanings"} & set(known.attributes)
            itself = role_of_name(_last(name)) in ("x", "y")  # longitude and latitude of each pixel
            if {"x", "y"} <= meaning and not flags and not itself and _last(name) not in referred:
                grids.setdefault((known.dims, self.shapes[name]), []).append(name)
        names = max(grids.values(), key=len, default=[])
        return sorted(names, key=natural) if len(grids) == 1 and len(names) > 1 else []

    def _only(self, names: list[str], what: str) -> str:
        if len(names) != 1:
            how_many = "none of the arrays has" if not names else f"{len(names)} arrays have"
            raise InputError(
                f"{self.path}: {how_many} {what}; name one by `variable` (and its `axes`); "
                f"the file holds {self.listing()}"
            )
        return names[0]

    def listing(self) -> str:
        """Return the arrays and their shapes, for messages."""
        shown = [f"{name} {'x'.join(map(str, shape))}" for name, shape in self.shapes.items()]
        more = f" and {len(shown) - 40} more" if len(shown) > 40 else ""
        return (", ".join(shown[:40]) + more) or "no numeric array"


def _last(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[2]


def _long(shape: tuple[int, ...]) -> int:
    """Return the number of axes that are longer than 1."""
    return sum(side > 1 for side in shape)


def _is_spectral(name: str) -> bool:
    return bool(CENTRE_NAME.fullmatch(name) or WIDTH_NAME.fullmatch(name))


def _referred(labels: Labels) -> list[str]:
    """Return names of the arrays that an array only refers to."""
    keys = ("ancillary_variables", "bounds", "coordinates", "cell_measures")
    return [word for key in keys for word in str(labels.attributes.get(key, "")).split()]


def is_array_file(path: Path) -> bool:
    """Return whether a path holds arrays, by its name, or by how the file begins."""
    if path.is_dir():
        return is_zarr(path)
    return path.suffix.lower() in SUFFIXES or first_bytes(path).startswith(BEGINNINGS)


def open_arrays(path: Path) -> ArrayFile:
    """List a file's arrays.

    Parameters
    ----------
    path : Path
        A `.mat`, `.npz`, `.npy`, HDF5 or NetCDF file, or the folder of a Zarr store.

    Raises
    ------
    InputError
        The file is missing, or its content does not match its suffix.
    """
    if is_zarr(path):
        return _open_zarr(path)
    start = first_bytes(path)
    if path.suffix.lower() == ".mat" or start.startswith(b"MATLAB"):
        is_hdf5 = start.startswith((b"MATLAB 7.3", b"\x89HDF"))
        return _open_matlab_hdf5(path) if is_hdf5 else _open_matlab(path, start)
    if start.startswith(CLASSIC):
        return _open_classic(path)
    if path.suffix.lower() in HDF5_SUFFIXES or start.startswith(BEGINNINGS[0]):
        return _open_hdf5(path)
    if start.startswith(b"PK\x03\x04"):
        return _open_archive(path)
    with readable(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: no array of NumPy; give a file that numpy.save wrote")
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
        fields = _fields(path, [name for name, kind in other.items() if kind == "struct"])
    shapes |= {name: array.shape for name, array in fields.items()}

    def read(name: str) -> NDArray[Any]:
        if name in fields:
            return fields[name]
        refuse_expansion(path, prod(shapes[name]))
        array: NDArray[Any] = scipy.io.loadmat(path, variable_names=[name])[name]
        return array

    return ArrayFile(path, shapes, other, read, order=BANDS_LAST)


def _fields(path: Path, structs: list[str]) -> dict[str, NDArray[Any]]:
    """Return the numeric fields of structs as `struct.field`."""
    if structs:
        refuse_expansion(path, _decoded_bytes(path))
    content = scipy.io.loadmat(path, variable_names=structs) if structs else {}
    fields = {}
    for name in structs:
        array = content[name]
        for field in array.dtype.names or ():
            value = array[field].ravel()[0] if array.size == 1 else None
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.ndim > 1:
                fields[f"{name}.{field}"] = value
    return fields


def _decoded_bytes(path: Path) -> int:
    """Return the bytes that the compressed elements of a MATLAB v5 file decode to, none of which are kept."""
    total, most = 0, VALUES_PER_BYTE * path.stat().st_size + MOST_UNCHECKED  # beyond it is refused anyway
    with path.open("rb") as stream:
        order = "<" if stream.read(128)[126:128] == b"IM" else ">"
        while len(tag := stream.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            if kind != COMPRESSED:
                stream.seek(size, os.SEEK_CUR)
                continue
            decoder, rest = zlib.decompressobj(), stream.read(size)
            while rest and not decoder.eof and total <= most:
                total += len(decoder.decompress(rest, PIECE))
                rest = decoder.unconsumed_tail
    return total


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
    return ArrayFile(
        path,
        shapes,
        other,
        lambda name: Dataset(path, file[name]),
        lambda name: hdf5_labels(path, file, file[name]),
    )


def _open_matlab_hdf5(path: Path) -> ArrayFile:
    """List the variables of a MATLAB v7.3 file, with MATLAB's axes, which are stored last to first."""
    file = open_hdf5(path)
    shapes, other = {}, {}
    with readable(path):
        for name, item in _matlab_items(file):
            kind = plain(item.attrs.get("MATLAB_class", "double"))
            shape = getattr(item, "shape", None)  # a struct is a group
            if kind not in MATLAB_NUMERIC or shape is None or item.attrs.get("MATLAB_empty", 0):
                other[name] = f"empty {kind}" if kind in MATLAB_NUMERIC else kind
            elif item.dtype.kind not in "biuf":
                other[name] = f"complex {kind}" if item.dtype.names == ("real", "imag") else str(item.dtype)
            else:
                shapes[name] = shape[::-1]

    def read(name: str) -> Dataset:
        return Dataset(path, file[name.replace(".", "/")], transposed=True)

    return ArrayFile(path, shapes, other, read, order=BANDS_LAST)


def _matlab_items(file: h5py.File) -> list[tuple[str, Any]]:
    """Return variables and, as `struct.field`, fields of structs; `#refs#` holds what cells refer to."""
    items = []
    for name, item in file.items():
        if name.startswith("#"):
            continue
        items.append((name, item))
        if isinstance(item, h5py.Group):
            items += [
                (f"{name}.{field}", part) for field, part in item.items() if isinstance(part, h5py.Dataset)
            ]
    return items


def _open_classic(path: Path) -> ArrayFile:
    """List the variables of a classic NetCDF file, which is loaded whole."""
    if first_bytes(path).startswith(CLASSIC[2]):
        raise InputError(f"{path}: is a CDF-5 file; convert it to NetCDF-4 (nccopy -k nc4 {path.name} ...)")
    with readable(path), scipy.io.netcdf_file(path, "r", mmap=False) as file:
        variables = {
            name: (v.dimensions, v.data, _decoded(v._attributes)) for name, v in file.variables.items()
        }
        attributes = _decoded(file._attributes)
    coordinates = tuple(
        Coordinate(name, dims[0], data, known)
        for name, (dims, data, known) in variables.items()
        if len(dims) == 1 and data.dtype.kind in "iuf"
    )

    def labels_of(name: str) -> Labels:
        dims, _, known = variables[name]
        mapping = str(known.get("grid_mapping", ""))
        grid = variables[mapping][2] if mapping in variables else {}
        on_axes = tuple(c for c in coordinates if c.dim in dims)
        return Labels(tuple(dims), on_axes, known, mapping, grid, attributes)

    shapes, other = _numeric({name: (data.shape, data.dtype) for name, (_, data, _) in variables.items()})
    return ArrayFile(path, shapes, other, lambda name: variables[name][1], labels_of)


def _decoded(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in attributes.items()}


def _open_zarr(path: Path) -> ArrayFile:
    """List the arrays of a Zarr store."""
    group, arrays = open_zarr(path)
    shapes, other = _numeric({name: (array.shape, array.dtype) for name, array in arrays.items()})
    return ArrayFile(
        path,
        shapes,
        other,
        lambda name: ZarrArray(path, arrays[name]),
        None if group is None else lambda name: zarr_labels(path, group, name),
    )


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
