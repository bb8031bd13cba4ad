"""EMIT L2A surface reflectance (`EMIT_L2A_RFL_*.nc`), orthorectified as it is read.

NetCDF-4 in the swath's geometry; a look-up table (GLT) names the swath's pixel for each pixel of a
geographic grid: EMIT L2A user guide, and NASA's EMIT-Data-Resources. Nothing is interpolated.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.array_place import crs_of, from_gdal
from pipeline.inputs.formats.hdf5 import Dataset, attribute, dataset_at, open_hdf5
from pipeline.inputs.formats.image import Block, StoredImage
from pipeline.inputs.missions import Bands

PRODUCT = "EMIT L2A"
NAME = re.compile(r"EMIT_L2A_RFL_.*\.nc")
SIDE = 128  # of windows that are best read together: the swath lies askew in the grid
SLAB = 2**23  # values of the swath that are read at a time
TALLEST = 512  # lines of a chunk that are read together


def matches(path: Path) -> bool:
    """Return whether a file is this product, by its name."""
    return NAME.fullmatch(path.name) is not None


def open_image(path: Path, _: Bands) -> StoredImage:
    """Open the reflectance on its geographic grid.

    Raises
    ------
    InputError
        The file is damaged or lacks a part of the product.
    """
    file = open_hdf5(path)
    swath = dataset_at(path, file, "reflectance")
    pixels = SwathPixels(
        path, swath, dataset_at(path, file, "location/glt_x"), dataset_at(path, file, "location/glt_y")
    )
    bands, (height, width) = swath.shape[2], pixels.size
    centres, widths, good = (
        np.asarray(dataset_at(path, file, f"sensor_band_parameters/{name}")[...], np.float64)
        for name in ("wavelengths", "fwhm", "good_wavelengths")
    )
    if not centres.size == widths.size == good.size == bands:
        raise InputError(
            f"{path}: lists {centres.size} wavelengths, {widths.size} widths and {good.size} flags for "
            f"{bands} bands; the file is damaged, fetch it again"
        )
    return StoredImage(
        name=str(path),
        shape=(bands, height, width),
        storage=(min(SIDE, height), min(SIDE, width)),
        pixels=pixels,
        wavelength=centres,
        fwhm=widths,
        bad_bands=tuple(np.flatnonzero(good == 0).tolist()),
        crs=crs_of(path, attribute(path, file, "spatial_ref")),
        transform=from_gdal(attribute(path, file, "geotransform")),
        units="reflectance",
    )


class SwathPixels:
    """Pixels of a swath on a geographic grid: a window is gathered from the rows of the swath it needs.

    Parameters
    ----------
    path : Path
        The file, for messages.
    swath : Dataset
        Values (line, sample, band) of the swath.
    samples, lines : Dataset
        The swath's pixel for each pixel of the grid (y, x), counted from 1; 0 where it has none.
    """

    def __init__(self, path: Path, swath: Dataset, samples: Dataset, lines: Dataset) -> None:
        self._path, self._swath, self._samples, self._lines = path, swath, samples, lines
        self._fill = swath.attributes.get("_FillValue", -9999.0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grid."""
        height, width = self._samples.shape
        return height, width

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return values of some bands of a window, missing where the look-up table has no pixel."""
        samples, lines = (table[window.slices].astype(np.intp) - 1 for table in (self._samples, self._lines))
        covered = (samples >= 0) & (lines >= 0)
        values = np.full((len(bands), *window.shape), self._fill, self._swath.dtype)
        if covered.any():
            self._check(samples[covered], lines[covered])
            for first, last in self._slabs(samples[covered], lines[covered]):
                here = covered & (lines >= first) & (lines < last)
                self._gather(values, bands, samples, lines, here)
        return values, values == self._fill

    def _gather(
        self,
        values: NDArray[Any],
        bands: list[int],
        samples: NDArray[np.intp],
        lines: NDArray[np.intp],
        here: NDArray[np.bool_],
    ) -> None:
        """Fill the pixels `here` from the smallest part of the swath that holds them."""
        if not here.any():
            return
        y, x = lines[here], samples[here]
        y0, x0 = y.min(), x.min()
        part = self._swath[slice(y0, y.max() + 1), slice(x0, x.max() + 1), bands]
        values[:, here] = part[y - y0, x - x0].T

    def _slabs(self, samples: NDArray[np.intp], lines: NDArray[np.intp]) -> list[tuple[int, int]]:
        """Return ranges of lines that hold about `SLAB` values each; whole chunks where the file has them."""
        rows = min(self._swath.together[0], TALLEST)
        per_line = int(samples.max() - samples.min() + 1) * self._swath.shape[2]
        step = max(1, SLAB // (per_line * rows)) * rows
        first = int(lines.min()) // rows * rows
        return [(line, line + step) for line in range(first, int(lines.max()) + 1, step)]

    def _check(self, samples: NDArray[np.intp], lines: NDArray[np.intp]) -> None:
        height, width, _ = self._swath.shape
        if lines.max() >= height or samples.max() >= width:
            raise InputError(
                f"{self._path}: its geometry look-up table leads to line {lines.max() + 1}, sample "
                f"{samples.max() + 1} of a swath of {height}x{width}; the file is damaged, fetch it again"
            )
