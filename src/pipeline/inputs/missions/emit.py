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

from pipeline.config.scenes import FileSource
from pipeline.core.scene import StoredImage, Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.hdf5 import attribute, dataset_at, open_hdf5
from pipeline.inputs.formats.hdf5_image import crs_of, from_gdal

NAME = re.compile(r"EMIT_L2A_RFL_.*\.nc")
SIDE = 128  # of windows that are best read together: the swath lies askew in the grid
SLAB = 2**23  # values of the swath that are read at a time
TALLEST = 512  # lines of a chunk that are read together


def matches(path: Path) -> bool:
    """Whether a file is this product, by its name."""
    return NAME.fullmatch(path.name) is not None


def open_image(path: Path, _: FileSource) -> StoredImage:
    """The product on its geographic grid."""
    return EmitImage(path)


class EmitImage:
    """The reflectance as a `StoredImage`; a window is gathered from the rows of the swath it needs.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        The file is damaged or lacks a part of the product.
    """

    units: str | None = "reflectance"
    detector: NDArray[np.str_] | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        file = open_hdf5(path)
        self._swath = dataset_at(path, file, "reflectance")
        self._sample = dataset_at(path, file, "location/glt_x")
        self._line = dataset_at(path, file, "location/glt_y")
        self._fill = self._swath.attributes.get("_FillValue", -9999.0)
        height, width = self._sample.shape
        self.shape = (self._swath.shape[2], height, width)
        self.storage = (min(SIDE, height), min(SIDE, width))
        centres, widths, good = (
            np.asarray(dataset_at(path, file, f"sensor_band_parameters/{name}")[...], np.float64)
            for name in ("wavelengths", "fwhm", "good_wavelengths")
        )
        if not centres.size == widths.size == good.size == self.shape[0]:
            raise InputError(
                f"{path}: lists {centres.size} wavelengths, {widths.size} widths and {good.size} flags for "
                f"{self.shape[0]} bands; the file is damaged, fetch it again"
            )
        self.wavelength: NDArray[np.float64] | None = centres
        self.fwhm: NDArray[np.float64] | None = widths
        self.bad_bands = tuple(np.flatnonzero(good == 0).tolist())
        self.crs: str | None = crs_of(path, attribute(path, file, "spatial_ref"))
        self.transform: Transform | None = from_gdal(attribute(path, file, "geotransform"))

    def read(self, window: Window, bands: list[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values of some bands of a window; nothing is there where the table has no pixel."""
        samples, lines = (table[window.slices].astype(np.intp) - 1 for table in (self._sample, self._line))
        seen = (samples >= 0) & (lines >= 0)
        values = np.full((len(bands), *window.shape), self._fill, self._swath.dtype)
        if seen.any():
            self._check(samples[seen], lines[seen])
            for first, last in self._slabs(samples[seen], lines[seen]):
                self._gather(values, bands, samples, lines, seen & (lines >= first) & (lines < last))
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
        """Ranges of lines that hold about `SLAB` values each; whole chunks where the file has them."""
        rows = min(self._swath.together[0], TALLEST)
        per_line = int(samples.max() - samples.min() + 1) * self.shape[0]
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
