"""CF attributes and coordinates of the pipeline's datasets: units, bands, detectors and place.

Every raster has a `grid_mapping` with CRS and affine that rioxarray reads. Which variables a dataset has is
in `store.schema`; no file is touched here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError

from pipeline.core.scene import Metadata, Transform
from pipeline.core.sensing.observation import Image
from pipeline.errors import InputError

WAVELENGTH = {
    "standard_name": "sensor_band_central_radiation_wavelength",
    "long_name": "band centre",
    "units": "nm",
}
FWHM = {"long_name": "full width at half maximum of the band", "units": "nm"}
DETECTOR = {"long_name": "detector that saw the band"}
DIMENSIONLESS = (None, "1", "counts", "DN")  # words that are not CF units


def coordinate_of(dataset: xr.Dataset, name: str) -> NDArray[np.float64] | None:
    """Return a coordinate of a dataset as float64, or None where it has none of that name."""
    return np.asarray(dataset[name], np.float64) if name in dataset.coords else None


def detector_of(dataset: xr.Dataset) -> NDArray[np.str_] | None:
    """Return the name of each band's detector, from a coordinate of CF flags."""
    if "detector" not in dataset.coords:
        return None
    names = np.array(dataset["detector"].attrs["flag_meanings"].split())
    return names[np.asarray(dataset["detector"])]


def dataset_attributes(like: Metadata) -> dict[str, Any]:
    """Return attributes of any dataset; `units` refer to physical values, before division by `scale`."""
    return {"Conventions": "CF-1.11"} | value_attributes("", like)


def value_attributes(prefix: str, like: Metadata) -> dict[str, Any]:
    """Return scale and units of values under names with a prefix."""
    units = {} if like.units is None else {f"{prefix}units": like.units}
    return {f"{prefix}scale": float(like.scale)} | units


def raster_variable(values: Image, dims: tuple[str, str, str], long_name: str, like: Metadata) -> xr.Variable:
    """Return a raster as a variable with CF units.

    Parameters
    ----------
    values : Image
        The raster (band, y, x).
    dims : (str, str, str)
        Names of its dimensions.
    long_name : str
        Description of the content for human readers.
    like : Metadata
        Metadata that give scale and units.
    """
    if isinstance(values, np.ndarray):
        values = values.astype(np.float32, copy=False)
    return xr.Variable(dims, values, {"long_name": long_name, "units": _cf_units(like)})


def _cf_units(like: Metadata) -> str:
    """Return units of stored values as CF writes them: a factor, where they are scaled, and the unit."""
    if like.units in DIMENSIONLESS or str(like.units).startswith("reflectance"):
        return "1"
    return str(like.units) if like.scale == 1 else f"{like.scale:.12g} {like.units}"


def band_coords(bands: int, like: Metadata) -> dict[str, xr.Variable]:
    """Return coordinates of the dimension `band`: numbers from 1, wavelengths, widths and detectors."""
    coords = {"band": xr.Variable("band", np.arange(1, bands + 1))} | spectral_coords("", like)
    if like.detector is not None:
        coords["detector"] = _flags(like.detector)
    return coords


def spectral_coords(prefix: str, like: Metadata) -> dict[str, xr.Variable]:
    """Return coordinates of the bands in nm; the dimension `band` has the same `prefix`."""
    described = (("wavelength", like.wavelength, WAVELENGTH), ("fwhm", like.fwhm, FWHM))
    return {
        f"{prefix}{name}": xr.Variable(f"{prefix}band", np.asarray(values, np.float64), attrs)
        for name, values, attrs in described
        if values is not None
    }


def _flags(detector: NDArray[np.str_]) -> xr.Variable:
    """Return the detectors as numbers with the names as CF flags, in which blanks become underscores."""
    words = ["_".join(name.split()) for name in detector.tolist()]
    names = list(dict.fromkeys(words))
    flags = {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}
    return xr.Variable("band", np.array([names.index(word) for word in words], np.uint8), DETECTOR | flags)


def located(
    dataset: xr.Dataset, dims: tuple[str, str], mapping: str, crs: str | None, transform: Transform | None
) -> xr.Dataset:
    """Add cell centres and the grid mapping to the rasters on `dims`.

    Cell centres of a rotated grid cannot be two 1-D coordinates: they are pixels then, and the
    mapping's affine alone says where the grid lies.
    """
    import rioxarray  # noqa: F401  (registers the accessor `rio`; here: many steps only read stores)

    upright = transform is not None and max(abs(transform[1]), abs(transform[3])) < 1e-9 * abs(transform[0])
    affine = Affine(*transform) if transform is not None and upright else Affine.identity()
    y, x = dims
    dataset = dataset.assign_coords(
        {
            y: (y, affine.f + affine.e * (np.arange(dataset.sizes[y]) + 0.5), {"axis": "Y"}),
            x: (x, affine.c + affine.a * (np.arange(dataset.sizes[x]) + 0.5), {"axis": "X"}),
        }
    )
    placed = xr.Dataset(coords={y: dataset[y], x: dataset[x]}).rio.set_spatial_dims(x_dim=x, y_dim=y)
    if crs is not None:
        placed = placed.rio.write_crs(parsed_crs(crs), grid_mapping_name=mapping)
        placed = placed.rio.write_coordinate_system() if upright else placed
    if transform is not None:
        placed = placed.rio.write_transform(Affine(*transform), grid_mapping_name=mapping)
    dataset = dataset.assign_coords(placed.coords)
    if mapping in dataset.coords:
        for variable in dataset.data_vars.values():
            if set(dims) <= set(variable.dims):
                variable.encoding["grid_mapping"] = mapping
    return dataset


def parsed_crs(text: str) -> CRS:
    """Return a CRS from WKT or `EPSG:n`; refuse any other text."""
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise InputError(f"crs: {text!r} is not a coordinate reference system ({error})") from None
