"""Named numeric arrays of `.mat`, `.npz`, `.npy`, HDF5, NetCDF and Zarr.

Listing reads headers only. A `.npy` is mapped into memory and of HDF5 (including MATLAB v7.3) and Zarr
only the indexed values are read; arrays of `.npz`, older `.mat` and classic NetCDF are loaded whole. Nothing
is ever unpickled.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import scipy  # loads `scipy.io` when it is first used
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.array_file import ArrayFile, is_spectral, numeric
from pipeline.inputs.formats.damage import first_bytes, readable, refuse_expansion
from pipeline.inputs.formats.hdf5 import Dataset, open_hdf5, plain
from pipeline.inputs.formats.labels import Coordinate, Labels, hdf5_labels, zarr_labels
from pipeline.inputs.formats.matlab import open_matlab, open_matlab_hdf5
from pipeline.inputs.formats.zarr_store import ZarrArray, is_zarr, open_zarr

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
CLASSIC = BEGINNINGS[-3:]  # of NetCDF


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
        return open_matlab_hdf5(path) if is_hdf5 else open_matlab(path, start)
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
    shapes, other = numeric({"array": (array.shape, array.dtype)})
    return ArrayFile(path, shapes, other, lambda _: array)


def _open_hdf5(path: Path) -> ArrayFile:
    """List all datasets of an HDF5 file, by their paths."""
    file = open_hdf5(path)
    headers: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            headers[name] = (item.shape, item.dtype)

    with readable(path):
        file.visititems(note)
    shapes, other = numeric(headers)
    return ArrayFile(
        path,
        shapes,
        other,
        lambda name: Dataset(path, file[name]),
        lambda name: hdf5_labels(path, file, file[name], is_spectral),
    )


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

    shapes, other = numeric({name: (data.shape, data.dtype) for name, (_, data, _) in variables.items()})
    return ArrayFile(path, shapes, other, lambda name: variables[name][1], labels_of)


def _decoded(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in attributes.items()}


def _open_zarr(path: Path) -> ArrayFile:
    """List the arrays of a Zarr store."""
    group, arrays = open_zarr(path)
    shapes, other = numeric({name: (array.shape, array.dtype) for name, array in arrays.items()})
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
    shapes, other = numeric(headers)

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
