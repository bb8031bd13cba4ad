"""Single-band rasters of one grid, stacked to one image: how many agencies deliver their products.

Digital numbers become physical values by each band's gain and offset. Which file is which band, and
what its numbers mean, is said in `products`; nothing is resampled here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.raster import equals_any, gdal, open_raster, place


@dataclass(frozen=True, kw_only=True)
class BandFile:
    """One band of a product, alone in its file.

    Attributes
    ----------
    name : str
        As the agency writes it: `B02`, `B8A`, `B077`.
    path : Path
    gain, offset : float
        A physical value is gain * number + offset.
    wavelength, fwhm : float or None
        In nm.
    detector : str or None
    """

    name: str
    path: Path
    gain: float = 1.0
    offset: float = 0.0
    wavelength: float | None = None
    fwhm: float | None = None
    detector: str | None = None


class BandStack:
    """Bands of a product as a `StoredImage`, in the order in which they are given; `names` lists them.

    Parameters
    ----------
    bands : sequence of BandFile
    units : str, optional
        Of the physical values.
    nodata : sequence of float
        Numbers that stand for no data, besides the one that each file declares.
    filled : mapping of str to sequence of BandFile
        By detector, bands that are all `nodata` only outside the image. With it, `nodata` means
        nothing else: where zero is a number like any other, one band cannot tell.
    flags : (Path, int), optional
        A quality raster, and the bits that mark a pixel as missing.

    Raises
    ------
    InputError
        A file is missing, cannot be read, has several bands, or lies on another grid than the first.
    """

    bad_bands: tuple[int, ...] = ()

    def __init__(
        self,
        bands: Sequence[BandFile],
        *,
        units: str | None = None,
        nodata: Sequence[float] = (),
        filled: Mapping[str, Sequence[BandFile]] | None = None,
        flags: tuple[Path, int] | None = None,
    ) -> None:
        self._bands, self._filled, self._flags = bands, filled or {}, flags
        self.nodata = tuple(nodata)
        self.names = [band.name for band in bands]
        telling = [band.path for group in self._filled.values() for band in group]
        paths = [band.path for band in bands] + telling + ([flags[0]] if flags else [])
        self._files = {path: open_raster(path) for path in paths}
        first = self._files[bands[0].path]
        for path, file in self._files.items():
            _check_grid(path, file, bands[0].path, first)
        self.shape = (len(bands), first.height, first.width)
        self.storage: tuple[int, int] = first.block_shapes[0]
        self.wavelength = _of_all([band.wavelength for band in bands])
        self.fwhm = _of_all([band.fwhm for band in bands])
        self.crs: str | None
        self.transform: Transform | None
        self.crs, self.transform = place(first)
        self.units = units
        named = all(band.detector for band in bands)
        self.detector = np.array([band.detector for band in bands]) if named else None

    def read(self, window: Window, bands: list[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Physical values of some bands of a window, and where they are missing."""
        chosen = [self._bands[band] for band in bands]
        numbers = [self._read(band.path, window) for band in chosen]
        missing = np.stack([np.ma.getmaskarray(number) for number in numbers])
        outside = {detector: self._all_nodata(group, window) for detector, group in self._filled.items()}
        flagged = self._flagged(window)
        values = np.empty(missing.shape)
        for i, (band, number) in enumerate(zip(chosen, numbers, strict=True)):
            values[i] = band.gain * number.data.astype(np.float64) + band.offset
            if band.detector in outside:
                missing[i] |= outside[band.detector]
            else:
                missing[i] |= equals_any(number.data, self.nodata)
            missing[i] |= flagged
        return values, missing

    def _all_nodata(self, group: Sequence[BandFile], window: Window) -> NDArray[np.bool_]:
        layers = [equals_any(self._read(band.path, window).data, self.nodata) for band in group]
        return np.asarray(np.all(layers, axis=0))

    def _flagged(self, window: Window) -> NDArray[np.bool_]:
        if self._flags is None:
            return np.zeros(window.shape, bool)
        path, bits = self._flags
        return np.asarray(self._read(path, window).data & bits != 0)

    def _read(self, path: Path, window: Window) -> Any:
        with gdal(path):
            extent = ((window.y0, window.y1), (window.x0, window.x1))
            return self._files[path].read(1, window=extent, masked=True)


def _of_all(values: list[float | None]) -> NDArray[np.float64] | None:
    known = [value for value in values if value is not None]
    return np.array(known) if len(known) == len(values) else None


def _check_grid(path: Path, file: Any, first_path: Path, first: Any) -> None:
    """Refuse a raster that is not one band on the grid of the first."""
    if file.count != 1:
        raise InputError(f"{path}: has {file.count} bands; a band file of a product has one")
    grids = [
        ("CRS", file.crs, first.crs),
        ("pixels of", _pixel(file), _pixel(first)),
        ("height and width", file.shape, first.shape),
        ("corner", (file.transform.c, file.transform.f), (first.transform.c, first.transform.f)),
    ]
    for what, found, expected in grids:
        if found != expected:
            raise InputError(
                f"{path}: {what} {found}, but {first_path.name} has {expected}; bands that are read together "
                "lie on one grid: choose such by `bands`, or fetch the product again"
            )


def _pixel(file: Any) -> tuple[float, float]:
    """Pixel size in units of the CRS, to the accuracy of the written transforms."""
    a = file.transform
    return round(float(np.hypot(a.a, a.d)), 9), round(float(np.hypot(a.b, a.e)), 9)
