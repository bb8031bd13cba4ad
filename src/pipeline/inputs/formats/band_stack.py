"""Single-band rasters on one grid stacked to an image, as many agencies deliver their products.

Digital numbers become physical values by each band's gain and offset. The modules of
`missions` describe which file holds which band and what its numbers mean; nothing is resampled here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.image import Block, StoredImage, equals_any
from pipeline.inputs.formats.raster import gdal, open_raster, place


@dataclass(frozen=True, kw_only=True)
class BandFile:
    """One band of a product, alone in its file.

    Attributes
    ----------
    name : str
        Name that the agency gives it: `B02`, `B8A`, `B077`.
    path : Path
        Its file.
    gain, offset : float
        A physical value is gain * number + offset.
    wavelength, fwhm : float or None
        Centre and width in nm.
    detector : str or None
        Name of its detector.
    """

    name: str
    path: Path
    gain: float = 1.0
    offset: float = 0.0
    wavelength: float | None = None
    fwhm: float | None = None
    detector: str | None = None


@dataclass(frozen=True, kw_only=True)
class Quality:
    """A quality raster of a product.

    Attributes
    ----------
    path : Path
        Its file.
    bits : int
        Bits that mark a pixel as missing.
    """

    path: Path
    bits: int


@dataclass(frozen=True, kw_only=True)
class Swath:
    """The extent of a detector's image, outside of which all its bands hold the same number.

    Attributes
    ----------
    bands : sequence of BandFile
        Bands that hold `number` outside the swath alone.
    number : float
        The stored number.
    """

    bands: Sequence[BandFile]
    number: float


class StackPixels:
    """Pixels of band files.

    Parameters
    ----------
    bands : sequence of BandFile
        Bands of the image, in its order.
    quality : Quality or None
        Quality raster of all bands.
    swaths : mapping of str to Swath
        Extent of the image by detector.

    Raises
    ------
    InputError
        A file is missing, cannot be read, has several bands, or lies on another grid than the first.
    """

    def __init__(
        self, bands: Sequence[BandFile], quality: Quality | None, swaths: Mapping[str, Swath]
    ) -> None:
        self._bands, self._quality, self._swaths = bands, quality, swaths
        paths = [band.path for band in bands]
        paths += [band.path for swath in swaths.values() for band in swath.bands]
        paths += [quality.path] if quality else []
        self._files = {path: open_raster(path) for path in paths}
        self.first = self._files[bands[0].path]
        for path, file in self._files.items():
            _check_grid(path, file, bands[0].path, self.first)

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return stored numbers of some bands of a window, and where they are missing."""
        chosen = [self._bands[band] for band in bands]
        layers = [self._layer(band.path, window) for band in chosen]
        missing = np.stack([np.ma.getmaskarray(layer) for layer in layers])
        missing |= self._flagged(window)
        outside = {detector: self._outside(swath, window) for detector, swath in self._swaths.items()}
        for mask, band in zip(missing, chosen, strict=True):
            if band.detector in outside:
                mask |= outside[band.detector]
        return np.stack([layer.data for layer in layers]), missing

    def _outside(self, swath: Swath, window: Window) -> NDArray[np.bool_]:
        layers = [equals_any(self._layer(band.path, window).data, [swath.number]) for band in swath.bands]
        return np.asarray(np.all(layers, axis=0))

    def _flagged(self, window: Window) -> NDArray[np.bool_]:
        if self._quality is None:
            return np.zeros(window.shape, bool)
        return np.asarray(self._layer(self._quality.path, window).data & self._quality.bits != 0)

    def _layer(self, path: Path, window: Window) -> Any:
        with gdal(path):
            extent = ((window.y0, window.y1), (window.x0, window.x1))
            return self._files[path].read(1, window=extent, masked=True)


def stacked_image(
    bands: Sequence[BandFile],
    *,
    units: str | None = None,
    nodata: Sequence[float] = (),
    quality: Quality | None = None,
    swaths: Mapping[str, Swath] | None = None,
) -> StoredImage:
    """Stack band files to an image, in the order in which they are given.

    Parameters
    ----------
    bands : sequence of BandFile
        The bands.
    units : str, optional
        Units of the physical values.
    nodata : sequence of float
        Numbers that mean no data in any band, besides the number that each file declares.
    quality : Quality, optional
        Quality raster that marks pixels as missing in all bands.
    swaths : mapping of str to Swath, optional
        Extent of the image by detector, where `nodata` cannot say it: zero may be a number like any other
        in a dark band, but not in several bright bands at once.

    Raises
    ------
    InputError
        A file is missing, cannot be read, has several bands, or lies on another grid than the first.
    """
    pixels = StackPixels(bands, quality, swaths or {})
    crs, transform = place(pixels.first)
    named = all(band.detector for band in bands)
    return StoredImage(
        name=str(bands[0].path.parent),
        shape=(len(bands), pixels.first.height, pixels.first.width),
        storage=pixels.first.block_shapes[0],
        pixels=pixels,
        wavelength=_of_all([band.wavelength for band in bands]),
        fwhm=_of_all([band.fwhm for band in bands]),
        detector=np.array([band.detector for band in bands]) if named else None,
        crs=crs,
        transform=transform,
        units=units,
        band_names=tuple(band.name for band in bands),
        gain=np.array([band.gain for band in bands]),
        offset=np.array([band.offset for band in bands]),
        nodata=tuple(nodata),
    )


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
    for quantity, actual, expected in grids:
        if actual != expected:
            raise InputError(
                f"{path}: {quantity} {actual}, but {first_path.name} has {expected}; bands that are read "
                "together lie on one grid: choose such by `bands`, or fetch the product again"
            )


def _pixel(file: Any) -> tuple[float, float]:
    """Return the pixel size in units of the CRS, to the accuracy of the written transforms."""
    a = file.transform
    return round(float(np.hypot(a.a, a.d)), 9), round(float(np.hypot(a.b, a.e)), 9)
