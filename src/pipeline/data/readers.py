"""Local files as scenes: MATLAB v5, NumPy, GeoTIFF and ENVI.

The configuration says what a file does not; what it says overrides the file. Pixels are read window
by window. Every file that cannot be used is refused with one line; nothing is downloaded here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.window import Window
from pipeline.data.array_image import ArrayImage, array_size
from pipeline.data.arrays import SUFFIXES, first_bytes
from pipeline.data.bands import configured_bands, per_band
from pipeline.data.catalogue import image
from pipeline.data.products import open_product
from pipeline.data.raster import RasterImage, raster_size
from pipeline.data.scene import Metadata, Scene, StoredImage
from pipeline.errors import InputError
from pipeline.provenance import sha256_of
from pipeline.scenes import DatasetSource, FileSource, Source, SyntheticSource

BLOCK = 2**23  # values that are read at a time when a whole file is looked through
TALLEST = 512  # rows of such a block

log = logging.getLogger(__name__)


def read_scene(source: FileSource) -> Scene:
    """The whole scene of a file, in memory."""
    scene = FileScene(source)
    _, height, width = scene.shape
    return Scene(scene.read(Window(0, height, 0, width)), **vars(scene.metadata))


def source_size(source: Source) -> tuple[int, int] | None:
    """Height and width of a source, where the configuration or the file's header tells.

    No pixel is read; None for a file that is not there or does not tell.
    """
    if isinstance(source, SyntheticSource):
        return source.height, source.width
    if isinstance(source, DatasetSource):
        return image(source.name, source.image).size
    path = Path(source.path)
    try:
        first_bytes(path)
        return array_size(path, source) if path.suffix in SUFFIXES else raster_size(path)
    except InputError:
        return None


class FileScene:
    """A file as an `OpenScene`.

    Opening looks through the whole file once: bands without any valid value are left out, and so are
    bands listed as bad, in the configuration or in the file; the log names them.

    Parameters
    ----------
    source : FileSource

    Raises
    ------
    InputError
        One line naming the file, what was found and what to do.
    """

    def __init__(self, source: FileSource) -> None:
        path = Path(source.path)
        first_bytes(path)
        _check_digest(path, source.sha256)
        self._source = source
        image = self._image = _open(path, source)
        self._kept = self._usable_bands(path)
        self.shape = (len(self._kept), *image.shape[1:])
        self.metadata = Metadata(
            wavelength=None if image.wavelength is None else image.wavelength[self._kept],
            fwhm=None if image.fwhm is None else image.fwhm[self._kept],
            scale=source.scale,
            crs=image.crs,
            transform=image.transform,
            units=image.units,
            detector=None if image.detector is None else image.detector[self._kept],
        )

    def read(self, window: Window) -> NDArray[np.float32]:
        """Values of a window, divided by the scale; no-data is NaN."""
        values, missing = self._read(window, self._kept)
        values[missing] = np.nan
        return values

    def _read(self, window: Window, bands: list[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        stored, missing = self._image.read(window, bands)
        if self._source.nodata is not None:
            missing = missing | _equal(stored, self._source.nodata)
        values = np.empty(stored.shape, np.float32)
        np.divide(stored, self._source.scale, out=values, casting="unsafe", dtype=np.float64)
        return values, missing

    def _usable_bands(self, path: Path) -> list[int]:
        """Bands that are neither listed as bad nor without any valid value."""
        count = self._image.shape[0]
        outside = [band for band in self._source.bad_bands if not 0 <= band < count]
        if outside:
            raise InputError(f"{path}: bad_bands {outside} do not exist; bands are 0 to {count - 1}")
        bad = {*self._source.bad_bands, *self._image.bad_bands}
        listed = [band for band in range(count) if band not in bad]
        filled, wrong, first = self._look_through(listed)
        empty = {band for band, has_data in zip(listed, filled, strict=True) if not has_data}
        for reason, group in (("listed as bad", bad), ("without valid values", empty)):
            if group:
                log.warning("%s: left out bands %s (0-based), %s", path, sorted(group), reason)
        if len(empty) == len(listed):
            raise InputError(f"{path}: no band is left, all are no-data or listed as bad")
        if wrong.any():
            at = int(np.argmax(wrong > 0))
            y, x = divmod(int(first[at]), self._image.shape[2])
            raise InputError(
                f"{path}: band {listed[at]} holds {wrong[at]} NaN or infinite values, the first at row {y}, "
                f"column {x}; declare `nodata: .nan` or leave the band out by `bad_bands`"
            )
        return [band for band in listed if band not in empty]

    def _look_through(self, bands: list[int]) -> tuple[NDArray[np.bool_], NDArray[np.intp], NDArray[np.intp]]:
        """Of each band: has it data, how many values are neither finite nor missing, where is the first."""
        _, height, width = self._image.shape
        filled = np.zeros(len(bands), bool)
        wrong = np.zeros(len(bands), np.intp)
        first = np.full(len(bands), height * width)
        for window in _blocks(self._image) if bands else ():
            values, missing = self._read(window, bands)
            filled |= ~missing.all(axis=(1, 2))
            faulty = ~np.isfinite(values) & ~missing
            counts = np.count_nonzero(faulty, axis=(1, 2))
            wrong += counts
            for band in np.flatnonzero(counts):
                y, x = np.argwhere(faulty[band])[0] + (window.y0, window.x0)
                first[band] = min(first[band], y * width + x)
        return filled, wrong, first


def _open(path: Path, source: FileSource) -> StoredImage:
    if (product := open_product(path, source)) is not None:
        return product
    return ArrayImage(path, source) if path.suffix in SUFFIXES else _raster(path, source)


def _raster(path: Path, source: FileSource) -> RasterImage:
    """A raster file, with the bands that the configuration gives in place of the file's."""
    for key in ("variable", "band_numbers", "shape"):
        if getattr(source, key) is not None:
            raise InputError(f"{path}: `{key}` is for {', '.join(SUFFIXES)} files; leave it out for a raster")
    if source.axes not in (None, "band,y,x"):
        raise InputError(f"{path}: a raster's axes are band,y,x, not {source.axes}; leave `axes` out")
    image = RasterImage(path)
    wavelength, fwhm = per_band(path, image.shape[0], *configured_bands(path, source, None))
    image.wavelength = image.wavelength if wavelength is None else wavelength
    image.fwhm = image.fwhm if fwhm is None else fwhm
    return image


def _blocks(image: StoredImage) -> Iterator[Window]:
    """Windows of some `BLOCK` values that cover the image; whole rows of what is stored together.

    Only where one such row is too large are they narrower.
    """
    bands, height, width = image.shape
    rows, columns = image.storage
    rows = min(rows, TALLEST)
    most = max(1, BLOCK // (bands * rows))  # columns
    if most >= width:
        rows, columns = rows * (most // width), width
    else:
        columns = max(1, most // columns) * columns if columns < width else most
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            yield Window(y, min(y + rows, height), x, min(x + columns, width))


def _check_digest(path: Path, expected: str | None) -> None:
    if expected is None:
        return
    found = sha256_of(path)
    if found != expected:
        raise InputError(
            f"{path}: its sha256 is {found}, expected {expected}; fetch the file again or correct `sha256`"
        )


def _equal(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(values) if np.isnan(nodata) else values == nodata)
