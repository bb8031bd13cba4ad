"""A dataset of a plain HDF5 or NetCDF-4 file as an image, as the CF conventions describe it.

Fill values, scale factor and offset, units, and the grid mapping that GDAL and rioxarray write.
Products with groups of their own are in `products`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import CRSError

from pipeline.config.scenes import FileSource
from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.array_image import ArrayImage
from pipeline.inputs.formats.damage import readable
from pipeline.inputs.formats.hdf5 import Dataset, open_hdf5, plain


class Hdf5Image(ArrayImage):
    """A dataset as a `StoredImage`.

    Parameters
    ----------
    path : Path
    source : FileSource

    Raises
    ------
    InputError
        The dataset cannot be read or is not what the configuration says.
    """

    def __init__(self, path: Path, source: FileSource) -> None:
        super().__init__(path, source)
        assert isinstance(self._values, Dataset)
        known = self._values.attributes
        self._fill = [known[key] for key in ("_FillValue", "missing_value") if key in known]
        self._factor, self._offset = known.get("scale_factor", 1.0), known.get("add_offset", 0.0)
        self.units = known.get("units")
        if grid := known.get("grid_mapping"):
            self.crs, self.transform = _place(path, self._values.name, grid)

    def read(self, window: Window, bands: list[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values of some bands of a window, and where they are the dataset's fill value."""
        values, missing = super().read(window, bands)
        for fill in self._fill:
            missing |= np.isnan(values) if np.isnan(fill) else values == fill
        if (self._factor, self._offset) != (1.0, 0.0):
            values = values * self._factor + self._offset
        return values, missing


def crs_of(path: Path, text: Any) -> str:
    """A CRS from WKT, `EPSG:n` or a number, in rasterio's words."""
    try:
        return str(rasterio.CRS.from_user_input(text).to_string())
    except (CRSError, ValueError):
        raise InputError(
            f"{path}: its CRS {str(text)[:60]!r} is not understood; expected WKT or EPSG"
        ) from None


def from_gdal(numbers: Any) -> Transform:
    """The affine of GDAL's six numbers, which begin with the corner's x."""
    x, a, b, y, d, e = (float(number) for number in numbers)
    return a, b, x, d, e, y


def _place(path: Path, dataset: str, grid: str) -> tuple[str | None, Transform | None]:
    """CRS and transform of the grid mapping beside a dataset, each None where it does not tell."""
    with open_hdf5(path) as file, readable(path):
        beside = file[dataset].parent.get(grid)
        told = {} if beside is None else {name: plain(value) for name, value in beside.attrs.items()}
    wkt = told.get("crs_wkt") or told.get("spatial_ref")
    numbers = str(told.get("GeoTransform", "")).split()
    return crs_of(path, wkt) if wkt else None, from_gdal(numbers) if len(numbers) == 6 else None
