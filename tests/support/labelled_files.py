"""Datasets with named dimensions as files of every kind that keeps the names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr


def netcdf4(path: Path, dataset: xr.Dataset) -> Path:
    """NetCDF-4 as netCDF's library lays it out: dimension scales, attached to each axis."""
    path = path.with_suffix(".nc")
    with h5py.File(path, "w") as file:
        file.attrs.update(dataset.attrs)
        for name, variable in dataset.variables.items():
            values = variable.values
            text = values.dtype.kind == "U"
            item = file.create_dataset(
                str(name),
                data=values.astype(object) if text else values,
                dtype=h5py.string_dtype() if text else None,
            )
            item.attrs.update(variable.attrs)
            if variable.dims == (name,):
                item.make_scale(str(name))
        for name, variable in dataset.variables.items():
            if variable.dims != (name,):
                for axis, dim in enumerate(variable.dims):
                    if dim in file:
                        file[str(name)].dims[axis].attach_scale(file[str(dim)])
                    else:
                        file[str(name)].dims[axis].label = str(dim)
    return path


def classic(path: Path, dataset: xr.Dataset) -> Path:
    path = path.with_suffix(".nc")
    names = [name for name, variable in dataset.variables.items() if variable.dtype.kind == "u"]
    dataset.assign({name: dataset[name].astype(np.int32) for name in names}).to_netcdf(
        path, engine="scipy", format="NETCDF3_CLASSIC"
    )
    return path


def zarr_of(version: Any) -> Callable[[Path, xr.Dataset], Path]:
    def write(path: Path, dataset: xr.Dataset) -> Path:
        path = path.with_suffix(".zarr")
        dataset.to_zarr(path, zarr_format=version, consolidated=False)
        return path

    return write


WRITERS: dict[str, Callable[[Path, xr.Dataset], Path]] = {
    "NetCDF-4": netcdf4,
    "classic": classic,
    "Zarr 2": zarr_of(2),
    "Zarr 3": zarr_of(3),
}
