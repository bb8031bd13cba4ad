"""Datasets of plain HDF5 and NetCDF-4 files as images, by the CF conventions.

Read are fill values, scale factor and offset, units, and the grid mapping that GDAL and rioxarray write.
Products with groups of their own are in `missions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import CRSError

from pipeline.config.scenes import FileSource
from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.array_image import image_of
from pipeline.inputs.formats.arrays import open_arrays
from pipeline.inputs.formats.damage import readable
from pipeline.inputs.formats.hdf5 import Dataset, open_hdf5, plain
from pipeline.inputs.formats.image import Block, Pixels, StoredImage, equals_any


@dataclass(frozen=True)
class CalibratedPixels:
    """Pixels of a dataset with CF attributes.

    Attributes
    ----------
    stored : Pixels
        The stored numbers.
    fill : sequence of float
        Stored numbers that mean no data.
    factor, offset : float
        A value is ``factor * number + offset``, in the precision of the numbers.
    """

    stored: Pixels
    fill: Sequence[float]
    factor: float
    offset: float

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return values of some bands of a window, and where they are the dataset's fill value."""
        values, missing = self.stored.read(window, bands)
        missing = missing | equals_any(values, self.fill)
        if (self.factor, self.offset) != (1.0, 0.0):
            values = values * self.factor + self.offset
        return values, missing


def hdf5_image(path: Path, source: FileSource) -> StoredImage:
    """Open a dataset as an image, with fill values, calibration, units and place of its attributes.

    Parameters
    ----------
    path : Path
        An HDF5 or NetCDF-4 file.
    source : FileSource
        Names the dataset, its axes and its bands.

    Raises
    ------
    InputError
        The dataset cannot be read or contradicts the configuration.
    """
    image, dataset = image_of(open_arrays(path), source)
    assert isinstance(dataset, Dataset)
    known = dataset.attributes
    fill = [known[key] for key in ("_FillValue", "missing_value") if key in known]
    factor, offset = known.get("scale_factor", 1.0), known.get("add_offset", 0.0)
    grid = known.get("grid_mapping")
    crs, transform = _place(path, dataset.name, grid) if grid else (None, None)
    return replace(
        image,
        pixels=CalibratedPixels(image.pixels, fill, factor, offset),
        units=known.get("units"),
        crs=crs,
        transform=transform,
    )


def crs_of(path: Path, text: Any) -> str:
    """Return a CRS, given as WKT, `EPSG:n` or a number, in the form that rasterio writes."""
    try:
        return str(rasterio.CRS.from_user_input(text).to_string())
    except (CRSError, ValueError):
        raise InputError(
            f"{path}: its CRS {str(text)[:60]!r} is not understood; expected WKT or EPSG"
        ) from None


def from_gdal(numbers: Any) -> Transform:
    """Return the affine of GDAL's six numbers, which begin with the corner's x."""
    x, a, b, y, d, e = (float(number) for number in numbers)
    return a, b, x, d, e, y


def _place(path: Path, dataset: str, grid: str) -> tuple[str | None, Transform | None]:
    """Return CRS and transform of the grid mapping beside a dataset, each None if missing."""
    with open_hdf5(path) as file, readable(path):
        beside = file[dataset].parent.get(grid)
        attributes = {} if beside is None else {name: plain(value) for name, value in beside.attrs.items()}
    wkt = attributes.get("crs_wkt") or attributes.get("spatial_ref")
    numbers = str(attributes.get("GeoTransform", "")).split()
    return crs_of(path, wkt) if wkt else None, from_gdal(numbers) if len(numbers) == 6 else None
