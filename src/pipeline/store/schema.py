"""Datasets of the pipeline: reference, observation and fused cube as xarray, CF conventions.

Every raster has a `grid_mapping` with CRS and affine that rioxarray reads; the LR grid has its own
dimensions `y_lr`, `x_lr` and its own mapping `spatial_ref_lr`. Values that are no data are NaN, and
`mask` (1 valid, 0 no data in any band) says so to other readers. A dataset of `placeholder` rasters
describes a store that is filled shard by shard. How bytes lie is in `store.store` and `store.shards`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from pipeline.core.scene import Metadata, Scene, coarsened
from pipeline.core.sensing.observation import Image, Observation, ObservedScene
from pipeline.core.sensing.rim import without_rim
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.store.cf import (
    band_coords,
    coordinate_of,
    dataset_attributes,
    detector_of,
    located,
    parsed_crs,
    raster_variable,
    spectral_coords,
    value_attributes,
)
from pipeline.store.geozarr import geozarr_attributes

MASK = {"long_name": "validity", "flag_values": [0, 1], "flag_meanings": "no_data valid"}


def placeholder(*shape: int) -> Any:
    """Return a float32 raster of a shape without content, for the description of a store."""
    import dask.array  # here: a second to load, and many steps only read stores

    return dask.array.zeros(shape, dtype=np.float32, chunks=-1)


def valid_pixels(raster: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return 1 where a raster ``(band, y, x)`` has data in any band, else 0."""
    return (~np.isnan(raster)).any(axis=0).astype(np.uint8)


def reference_dataset(scene: Scene) -> xr.Dataset:
    """Return the dataset with `reference` (band, y, x) of a scene."""
    return reference_like(scene.data, scene)


def reference_like(cube: Image, like: Metadata) -> xr.Dataset:
    """Return the dataset with `reference` (band, y, x).

    Parameters
    ----------
    cube : Image
        The reference (band, y, x).
    like : Metadata
        Its bands, scale, units and place.
    """
    return _cube(cube, "reference", like, "reference HR-HSI")


def scene_from(dataset: xr.Dataset, variable: str = "reference") -> Scene:
    """Return the scene that `reference_dataset` stored, or another cube of a dataset.

    Parameters
    ----------
    dataset : xr.Dataset
        A dataset of this module.
    variable : str
        Name of the cube.
    """
    meta = metadata_from(dataset)
    return Scene(
        np.asarray(variable_of(dataset, variable), np.float32),
        wavelength=meta.wavelength,
        fwhm=meta.fwhm,
        scale=meta.scale,
        crs=meta.crs,
        transform=meta.transform,
        units=meta.units,
        detector=meta.detector,
    )


def cube_dataset(cube: Image, like: Metadata, deviation: Image | None = None) -> xr.Dataset:
    """Return the dataset with `fused` (band, y, x) and its `deviation`.

    The georeference is given both as GeoZarr and as CF attributes.

    Parameters
    ----------
    cube : Image
        The fused HR-HSI (band, y, x).
    like : Metadata
        Its bands, scale, units and place: `metadata_from` of the observation's dataset.
    deviation : Image, optional
        Its standard deviation (band, y, x).
    """
    dataset = _cube(cube, "fused", like, "fused HR-HSI")
    if deviation is not None:
        dataset["deviation"] = raster_variable(
            deviation, ("band", "y", "x"), "standard deviation of the fused HR-HSI", like
        )
        dataset["deviation"].encoding = dict(dataset["fused"].encoding)
        dataset["fused"].attrs["ancillary_variables"] = "deviation"
    crs = None if like.crs is None else parsed_crs(like.crs)
    return dataset.assign_attrs(geozarr_attributes(cube.shape[1:], crs, like.transform))  # type: ignore[arg-type]


def observation_dataset(
    observation: ObservedScene, like: Metadata, msi: Metadata | None = None
) -> xr.Dataset:
    """Return the dataset of everything that a method may use.

    Variables are `lr_hsi` (band, y_lr, x_lr), `hr_msi` (msi_band, y, x), `spectral_response`
    (msi_band, band), `sigma_hsi` (band) and `sigma_msi` (msi_band). The spatial response and the origin are
    attributes.

    Parameters
    ----------
    observation : ObservedScene
        Images, responses and noise levels.
    like : Metadata
        The HR grid and the bands of the HSI.
    msi : Metadata, optional
        Bands, scale and units of an HR-MSI that has its own.
    """
    hr_msi = raster_variable(
        observation.hr_msi, ("msi_band", "y", "x"), "HR-MSI", like if msi is None else msi
    )
    lr_hsi = raster_variable(observation.lr_hsi, ("band", "y_lr", "x_lr"), "LR-HSI", like)
    dataset = xr.Dataset(
        {
            "lr_hsi": lr_hsi,
            "hr_msi": hr_msi,
            "mask": _mask(hr_msi),
            "mask_lr": _mask(lr_hsi),
            "spectral_response": (("msi_band", "band"), observation.spectral_response),
            "sigma_hsi": ("band", observation.sigma_hsi),
            "sigma_msi": ("msi_band", observation.sigma_msi),
        },
        coords={"msi_band": np.arange(1, observation.hr_msi.shape[0] + 1)}
        | band_coords(observation.bands, like)
        | ({} if msi is None else spectral_coords("msi_", msi)),
        attrs=dataset_attributes(like)
        | ({} if msi is None else value_attributes("msi_", msi))
        | {
            "spatial_response": observation.spatial_response.to_dict(),
            "origin": list(observation.origin),
        },
    )
    ratio = float(observation.spatial_response.ratio)
    dataset = located(dataset, ("y", "x"), "spatial_ref", like.crs, like.transform)
    identity = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return located(
        dataset, ("y_lr", "x_lr"), "spatial_ref_lr", like.crs, coarsened(like.transform or identity, ratio)
    )


def observation_from(dataset: xr.Dataset) -> Observation:
    """Return the observation that `observation_dataset` described, in memory."""
    scene = observed_scene(dataset)
    return scene.crop(scene.whole)


def observed_scene(dataset: xr.Dataset) -> ObservedScene:
    """Return the scene that `observation_dataset` described; its images stay on the disk.

    LR pixels that see beyond the scene are NaN if H says ``border: ignore``.
    """
    lr_hsi, hr_msi = (variable_of(dataset, name) for name in ("lr_hsi", "hr_msi"))
    response, sigma_hsi, sigma_msi = (
        np.asarray(variable_of(dataset, name)) for name in ("spectral_response", "sigma_hsi", "sigma_msi")
    )
    spatial_response = SpatialResponse.from_dict(dataset.attrs["spatial_response"])
    y, x = dataset.attrs["origin"]
    scene = ObservedScene(lr_hsi, hr_msi, response, spatial_response, sigma_hsi, sigma_msi, (y, x))
    return without_rim(scene)


def residual_dataset(hsi: NDArray[Any], msi: NDArray[Any], observation: xr.Dataset) -> xr.Dataset:
    """Return the dataset with the residual maps of a cube.

    Parameters
    ----------
    hsi : (y_lr, x_lr)
        RMS residual of the LR-HSI over its bands, in noise levels.
    msi : (y, x)
        RMS residual of the HR-MSI over its bands, in noise levels.
    observation : xr.Dataset
        The observation, whose grids the maps have.
    """
    dataset = xr.Dataset()
    for name, values, like in (("hsi", hsi, observation["mask_lr"]), ("msi", msi, observation["mask"])):
        attrs = {"long_name": f"RMS residual of the {name.upper()} over its bands", "units": "noise levels"}
        dataset[name] = (like.dims, values, attrs)
        dataset = dataset.assign_coords({key: like.coords[key] for key in like.coords})
        if "grid_mapping" in like.encoding:
            dataset[name].encoding["grid_mapping"] = like.encoding["grid_mapping"]
    return dataset.assign_attrs(Conventions=observation.attrs["Conventions"])


def metadata_from(dataset: xr.Dataset) -> Metadata:
    """Return bands, scale, units and place of the HR grid of any dataset of this module."""
    place = dataset["spatial_ref"].attrs if "spatial_ref" in dataset.coords else {}
    transform = None
    if "GeoTransform" in place:
        a = Affine.from_gdal(*map(float, place["GeoTransform"].split()))
        transform = (a.a, a.b, a.c, a.d, a.e, a.f)
    return Metadata(
        wavelength=coordinate_of(dataset, "wavelength"),
        fwhm=coordinate_of(dataset, "fwhm"),
        scale=float(dataset.attrs["scale"]),
        crs=CRS.from_wkt(place["crs_wkt"]).to_string() if "crs_wkt" in place else None,
        transform=transform,
        units=dataset.attrs.get("units"),
        detector=detector_of(dataset),
    )


def msi_metadata_from(dataset: xr.Dataset) -> Metadata:
    """Return bands, scale, units and place of an observation's HR-MSI.

    The HSI's scale and units are used where the HR-MSI has none of its own.

    Parameters
    ----------
    dataset : xr.Dataset
        An observation.
    """
    return replace(
        metadata_from(dataset),
        wavelength=coordinate_of(dataset, "msi_wavelength"),
        fwhm=coordinate_of(dataset, "msi_fwhm"),
        scale=float(dataset.attrs.get("msi_scale", dataset.attrs["scale"])),
        units=dataset.attrs.get("msi_units", dataset.attrs.get("units")),
        detector=None,
    )


def _cube(cube: Image, name: str, like: Metadata, long_name: str) -> xr.Dataset:
    raster = raster_variable(cube, ("band", "y", "x"), long_name, like)
    dataset = xr.Dataset(
        {name: raster, "mask": _mask(raster)},
        coords=band_coords(cube.shape[0], like),
        attrs=dataset_attributes(like),
    )
    return located(dataset, ("y", "x"), "spatial_ref", like.crs, like.transform)


def _mask(raster: xr.Variable) -> xr.Variable:
    if raster.chunks is None:
        return xr.Variable(raster.dims[1:], valid_pixels(raster.values), MASK)
    return xr.Variable(raster.dims[1:], placeholder(*raster.shape[1:]).astype(np.uint8), MASK)


def variable_of(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Return a dataset's variable.

    Parameters
    ----------
    dataset : xr.Dataset
        A dataset of this module.
    name : str
        Name of the variable.

    Raises
    ------
    InputError
        The dataset belongs to another store and lacks this variable.
    """
    if name not in dataset:
        raise InputError(f"dataset: no variable {name!r}; it holds {', '.join(map(str, dataset.data_vars))}")
    return dataset[name]
