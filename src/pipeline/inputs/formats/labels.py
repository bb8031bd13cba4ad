"""What a file says about one of its arrays: names of dimensions, coordinates, attributes, grid mapping.

NetCDF-4, HDF5 with dimension scales and Zarr have all of it, MATLAB and NumPy files at most arrays of
wavelengths beside the image. What they mean is in `dimensions`, `band_coordinates`, `array_place`
and `packing`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from numpy.typing import NDArray

from pipeline.inputs.formats.damage import readable
from pipeline.inputs.formats.hdf5 import plain

CRS_KEYS = ("crs_wkt", "spatial_ref", "grid_mapping_name", "epsg_code", "proj4")
USUAL_MAPPINGS = ("spatial_ref", "crs", "transverse_mercator", "lambert_azimuthal_equal_area", "projection")
LONGEST_COORDINATE = 2**20


@dataclass(frozen=True)
class Coordinate:
    """A one-dimensional array beside an image.

    Attributes
    ----------
    name : str
        Its name without the path.
    dim : str or None
        Dimension that it lies on, where the file says so.
    values : (n,) array
        Its values: numbers, or names.
    attributes : dict
        Its attributes.
    """

    name: str
    dim: str | None
    values: NDArray[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Labels:
    """What a file says about an array.

    Attributes
    ----------
    dims : tuple of str or None
        Names of its dimensions.
    coordinates : tuple of Coordinate
        Arrays on its dimensions, and arrays whose dimension is not known.
    attributes : dict
        Attributes of the array.
    mapping : str
        Name of the grid mapping, for messages.
    grid : dict
        Attributes of the grid mapping: CRS and affine.
    file : dict
        Attributes of the file.
    """

    dims: tuple[str | None, ...]
    coordinates: tuple[Coordinate, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    mapping: str = ""
    grid: Mapping[str, Any] = field(default_factory=dict)
    file: Mapping[str, Any] = field(default_factory=dict)

    def on(self, axis: int) -> list[Coordinate]:
        """Return the coordinates on a dimension, the one of the same name first."""
        dim = self.dims[axis]
        listed = [coordinate for coordinate in self.coordinates if dim and coordinate.dim == dim]
        return sorted(listed, key=lambda coordinate: coordinate.name != dim)

    @property
    def loose(self) -> list[Coordinate]:
        """Arrays whose dimension the file does not name."""
        return [coordinate for coordinate in self.coordinates if coordinate.dim is None]


def hdf5_labels(
    path: Path, file: h5py.File, dataset: h5py.Dataset, is_spectral: Callable[[str], bool]
) -> Labels:
    """Return the labels of an HDF5 dataset, from dimension scales and from what lies beside and above it.

    Wavelengths and widths may also lie in other groups.

    Parameters
    ----------
    path : Path
        The file, for messages.
    file : h5py.File
        The opened file.
    dataset : h5py.Dataset
        The dataset.
    is_spectral : callable
        Returns whether an array of some name holds wavelengths or widths.
    """
    with readable(path):
        dims = tuple(_dimension(dataset, axis) for axis in range(dataset.ndim))
        attributes = _plain(dataset.attrs)
        groups = _groups(dataset)
        beside = {name: item for group in reversed(groups) for name, item in _items(group)}
        beside = _elsewhere(file, is_spectral) | beside
        coordinates = [
            Coordinate(name, _dimension_of(item, set(dims)), np.atleast_1d(item[...]), _plain(item.attrs))
            for name, item in beside.items()
            if _is_coordinate(item, dataset)
        ]
        mappings = {name: _plain(item.attrs) for name, item in beside.items() if name != dataset.name}
        named, grid = _mapping(attributes, mappings)
        return Labels(dims, tuple(coordinates), attributes, named, grid, _plain(file.attrs))


def zarr_labels(path: Path, group: zarr.Group, name: str) -> Labels:
    """Return the labels of an array of a Zarr group.

    Parameters
    ----------
    path : Path
        The store, for messages.
    group : zarr.Group
        The opened store.
    name : str
        Path of the array in it.
    """
    with readable(path):
        array = group[name]
        assert isinstance(array, zarr.Array)
        parent = group[name.rpartition("/")[0]] if "/" in name else group
        assert isinstance(parent, zarr.Group)
        beside = dict(parent.arrays())
        dims = zarr_dims(array)
        coordinates = []
        for other, item in beside.items():
            own = zarr_dims(item)
            if item.ndim == 1 and item.size <= LONGEST_COORDINATE and item.size in array.shape:
                coordinates.append(Coordinate(other, own[0], np.asarray(item[...]), _plain(item.attrs)))
        attributes = _plain(array.attrs) | _zarr_fill(array)
        named, grid = _mapping(attributes, {key: _plain(item.attrs) for key, item in beside.items()})
        return Labels(dims, tuple(coordinates), attributes, named, grid, _plain(parent.attrs))


def _zarr_fill(array: zarr.Array[Any]) -> dict[str, Any]:
    """Return the declared fill value: an attribute (base64 in format 3), in format 2 the array's own."""
    declared = array.attrs.get("_FillValue")
    if isinstance(declared, str) and array.dtype.kind == "f":
        with suppress(ValueError):
            return {"_FillValue": float(np.frombuffer(base64.b64decode(declared), "<f8")[0])}
    own = array.fill_value if array.metadata.zarr_format == 2 and array.dtype.kind in "iuf" else None
    by_xarray = "_ARRAY_DIMENSIONS" in array.attrs  # which fills with what it declares; others fill with 0
    return (
        {}
        if declared is not None or own is None or (own == 0 and not by_xarray)
        else {"_FillValue": float(own)}
    )


def zarr_dims(array: zarr.Array[Any]) -> tuple[str | None, ...]:
    """Return names of the dimensions of a Zarr array, of format 3 or as xarray notes them in format 2."""
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if not isinstance(names, list | tuple) or len(names) != array.ndim:
        return (None,) * array.ndim
    return tuple(None if name is None else str(name) for name in names)


def _groups(dataset: h5py.Dataset) -> list[h5py.Group]:
    """Return the group of a dataset and those above it."""
    groups = [dataset.parent]
    while groups[-1].name != "/":
        groups.append(groups[-1].parent)
    return groups


def _items(group: h5py.Group) -> list[tuple[str, h5py.Dataset]]:
    """Return the datasets of a group, without links to other files."""
    names = [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
    return [(name, group[name]) for name in names if group.get(name, getclass=True) is h5py.Dataset]


def _elsewhere(file: h5py.File, is_spectral: Callable[[str], bool]) -> dict[str, h5py.Dataset]:
    """Return the arrays of wavelengths and widths of a whole file, of each name the only one."""
    items: dict[str, list[h5py.Dataset]] = {}

    def note(path: str, item: Any) -> None:
        name = path.rpartition("/")[2]
        if isinstance(item, h5py.Dataset) and item.ndim == 1 and is_spectral(name):
            items.setdefault(name, []).append(item)

    file.visititems(note)
    return {name: datasets[0] for name, datasets in items.items() if len(datasets) == 1}


def _is_coordinate(item: h5py.Dataset, dataset: h5py.Dataset) -> bool:
    return (
        item.ndim == 1
        and item.dtype.kind in "iufSO"
        and item.size in dataset.shape
        and item.size <= LONGEST_COORDINATE
    )


def _dimension(dataset: h5py.Dataset, axis: int) -> str | None:
    """Return the name of an axis, from its dimension scale or its label."""
    dim = dataset.dims[axis]
    name = dim[0].name.rpartition("/")[2] if len(dim) else dim.label
    return None if not name or str(name).startswith("phony_dim") else str(name)


def _dimension_of(item: h5py.Dataset, dims: set[str | None]) -> str | None:
    """Return the dimension of a one-dimensional dataset: its own name where it is a scale."""
    name: str = item.name.rpartition("/")[2]
    return name if item.is_scale or name in dims else _dimension(item, 0)


def _mapping(attributes: Mapping[str, Any], beside: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return name and attributes of the grid mapping: the array's own, else the only usual one beside it."""
    named = str(attributes.get("grid_mapping", "")).split(":")[0].strip()
    if named in beside:
        return named, beside[named]
    usual = [name for name in USUAL_MAPPINGS if set(CRS_KEYS) & set(beside.get(name, {}))]
    return (usual[0], beside[usual[0]]) if usual else ("", {})


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: plain(value)
        for name, value in attributes.items()
        if name not in ("DIMENSION_LIST", "REFERENCE_LIST")
    }
