"""Local files as scenes: MATLAB, NumPy, HDF5, rasters and the products of sensors.

The configuration says what a file does not; what it says overrides the file. Pixels are read window
by window. Every file that cannot be used is refused with one line; nothing is downloaded here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import DatasetSource, FileSource, Source, StoredSource, SyntheticSource
from pipeline.core.scene import Metadata, Scene, StoredImage
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.datasets.catalogue import image, located
from pipeline.inputs.formats.array_image import ArrayImage, array_size
from pipeline.inputs.formats.arrays import HDF5_SUFFIXES, SUFFIXES
from pipeline.inputs.formats.band_order import by_wavelength
from pipeline.inputs.formats.band_stack import BandStack
from pipeline.inputs.formats.bands import configured_bands, configured_sensor, detectors_of, per_band
from pipeline.inputs.formats.damage import first_bytes
from pipeline.inputs.formats.hdf5_image import Hdf5Image
from pipeline.inputs.formats.raster import RasterImage, equals_any, raster_size
from pipeline.inputs.formats.tiled_image import TiledImage
from pipeline.inputs.missions import open_product, product_name, product_of
from pipeline.inputs.source_files import file_digests, joint_digest, source_files, source_paths

BLOCK = 2**23  # values that are read at a time when a whole file is looked through
TALLEST = 512  # rows of such a block
METADATA = (".xml", ".txt", ".json")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz")

log = logging.getLogger(__name__)


def read_scene(source: StoredSource) -> Scene:
    """The whole scene of a file, in memory."""
    scene = FileScene(located(source))
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
    try:
        paths = source_paths(source)
        path = paths[0]
        if len(paths) > 1 or product_of(path) is not None:
            _, height, width = open_image(source).shape
            return height, width
        first_bytes(path)
        return array_size(path, source) if path.suffix in SUFFIXES else raster_size(path)
    except InputError:
        return None


class FileScene:
    """A file as an `OpenScene`.

    Opening looks through the whole file once. Left out are bands listed as bad, in the configuration
    or in the file, bands without any valid value, bands that are zero everywhere, and what
    `by_wavelength` leaves out; the log and `report` name them. Bands are in the order of their
    wavelengths.

    Parameters
    ----------
    source : FileSource

    Attributes
    ----------
    report : dict
        What became of the file, for JSON: `path`, `product` (its name, or None), `files` (those that are
        read, metadata included), `shape` of the scene, `file_bands` (their number),
        `bands` (those kept, 0-based in the file, in the scene's order), `names` (theirs, in a product
        with a file for each), `left_out` (a list of
        `reason` and `bands`), `nodata_share` (of the kept bands' values), `scale` and `units`.

    Raises
    ------
    InputError
        One line naming the file, what was found and what to do.
    """

    def __init__(self, source: FileSource) -> None:
        path = Path(source.path)
        _check_digest(source)
        self._source = source
        image = self._image = open_image(source)
        own = isinstance(image, RasterImage | BandStack | TiledImage)  # compares the numbers it stores
        self._nodata = () if own or source.nodata is None else (source.nodata,)
        self._kept, left_out, missing = self._usable_bands(path)
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
        self.report: dict[str, Any] = {
            "path": source.path,
            "product": product_name(source_paths(source)[0]),
            "files": list(source_files(source)),
            "shape": list(self.shape),
            "file_bands": image.shape[0],
            "bands": self._kept,
            "names": [image.names[band] for band in self._kept] if isinstance(image, BandStack) else None,
            "left_out": [{"reason": reason, "bands": bands} for reason, bands in left_out.items()],
            "nodata_share": missing,
            "scale": source.scale,
            "units": image.units,
        }

    def read(self, window: Window) -> NDArray[np.float32]:
        """Values of a window, divided by the scale; no-data is NaN."""
        values, missing = self._read(window, self._kept)
        values[missing] = np.nan
        return values

    def _read(self, window: Window, bands: list[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        stored, missing = self._image.read(window, bands)
        missing = missing | equals_any(stored, self._nodata)
        values = np.empty(stored.shape, np.float32)
        np.divide(stored, self._source.scale, out=values, casting="unsafe", dtype=np.float64)
        return values, missing

    def _usable_bands(self, path: Path) -> tuple[list[int], dict[str, list[int]], float]:
        """Bands to keep in their order, those left out by reason, and the share of no-data."""
        count = self._image.shape[0]
        outside = [band for band in self._source.bad_bands if not 0 <= band < count]
        if outside:
            raise InputError(f"{path}: bad_bands {outside} do not exist; bands are 0 to {count - 1}")
        bad = {*self._source.bad_bands, *self._image.bad_bands}
        listed = [band for band in range(count) if band not in bad]
        seen = self._look_through(listed)
        left_out = {
            "listed as bad": sorted(bad),
            "without valid values": _where(listed, seen.valid == 0),
            "zero everywhere": _where(listed, (seen.valid > 0) & ~seen.filled),
        }
        self._refuse_infinite(path, listed, seen)
        usable = _where(listed, seen.filled)
        kept, overlapping = by_wavelength(usable, self._image.wavelength, self._image.detector)
        left_out = {reason: bands for reason, bands in (left_out | overlapping).items() if bands}
        for reason, bands in left_out.items():
            log.warning("%s: left out bands %s (0-based), %s", path, bands, reason)
        if not kept:
            raise InputError(f"{path}: no band is left, all are no-data, zero or listed as bad")
        if kept != sorted(kept):
            log.warning("%s: its wavelengths do not increase; bands are put in their order", path)
        valid = seen.valid[np.isin(listed, kept)]
        return kept, left_out, float(1 - valid.mean() / (self._image.shape[1] * self._image.shape[2]))

    def _refuse_infinite(self, path: Path, bands: list[int], seen: _Seen) -> None:
        if seen.wrong.any():
            at = int(np.argmax(seen.wrong > 0))
            y, x = divmod(int(seen.first[at]), self._image.shape[2])
            raise InputError(
                f"{path}: band {bands[at]} holds {seen.wrong[at]} NaN or infinite values, the first at row "
                f"{y}, column {x}; declare `nodata: .nan` or leave the band out by `bad_bands`"
            )

    def _look_through(self, bands: list[int]) -> _Seen:
        """What each of some bands holds; the whole file is read once, in blocks."""
        _, height, width = self._image.shape
        zero = np.zeros(len(bands), np.intp)
        seen = _Seen(zero.copy(), zero.astype(bool), zero.copy(), np.full(len(bands), height * width))
        for window in _blocks(self._image) if bands else ():
            values, missing = self._read(window, bands)
            seen.valid += np.count_nonzero(~missing, axis=(1, 2))
            seen.filled |= ((values != 0) & ~missing).any(axis=(1, 2))
            faulty = ~np.isfinite(values) & ~missing
            counts = np.count_nonzero(faulty, axis=(1, 2))
            seen.wrong += counts
            for band in np.flatnonzero(counts):
                y, x = np.argwhere(faulty[band])[0] + (window.y0, window.x0)
                seen.first[band] = min(seen.first[band], y * width + x)
        return seen


@dataclass
class _Seen:
    """What bands hold, one value for each.

    Attributes
    ----------
    valid : (C,) int
        Values that are not missing.
    filled : (C,) bool
        Is one of them not zero.
    wrong, first : (C,) int
        How many are neither finite nor missing, and where the first is, in row-major order.
    """

    valid: NDArray[np.intp]
    filled: NDArray[np.bool_]
    wrong: NDArray[np.intp]
    first: NDArray[np.intp]


def open_image(source: FileSource) -> StoredImage:
    """The image that a source's `path` leads to: of a file, a product, or tiles side by side."""
    paths = source_paths(source)
    images = [_open(path, source) for path in paths]
    image = images[0] if len(images) == 1 else TiledImage([str(path) for path in paths], images)
    if image.detector is None:
        image.detector = detectors_of(image.wavelength)
    return image


def _open(path: Path, source: FileSource) -> StoredImage:
    _refuse_companion(path)
    if not path.is_dir():
        first_bytes(path)
    image = open_product(path, source)
    if source.bands is not None and not isinstance(image, BandStack):
        raise InputError(
            f"{path}: `bands` chooses among the files of a product; leave bands out by `bad_bands`"
        )
    if image is None and path.suffix in HDF5_SUFFIXES:
        return Hdf5Image(path, source)
    if image is None and path.suffix in SUFFIXES:
        return ArrayImage(path, source)
    for key in ("variable", "band_numbers", "shape"):
        if getattr(source, key) is not None:
            raise InputError(
                f"{path}: `{key}` is for {', '.join(SUFFIXES)} files; leave it out for a raster or product"
            )
    if source.axes not in (None, "band,y,x"):
        raise InputError(f"{path}: a raster's axes are band,y,x, not {source.axes}; leave `axes` out")
    image = image or RasterImage(path)
    if isinstance(image, RasterImage | BandStack) and source.nodata is not None:
        image.nodata = (*image.nodata, source.nodata)
    configured = configured_bands(path, source, None)
    wavelength, fwhm = per_band(path, image.shape[0], *configured, tuple(source.bad_bands))
    image.wavelength = image.wavelength if wavelength is None else wavelength
    image.fwhm = image.fwhm if fwhm is None else fwhm
    if (sensor := configured_sensor(source, None)) is not None:
        image.detector = sensor.detector
    return image


def _refuse_companion(path: Path) -> None:
    """Refuse what comes with an image but is none."""
    suffix = path.suffix.lower()
    if suffix in METADATA:
        raise InputError(f"{path}: is metadata, not an image; give the product's folder, {path.parent}")
    if suffix in ARCHIVES:
        raise InputError(f"{path}: is an archive; unpack it and give the image, or the product's folder")


def _where(bands: list[int], chosen: NDArray[np.bool_]) -> list[int]:
    return [band for band, is_chosen in zip(bands, chosen, strict=True) if is_chosen]


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


def _check_digest(source: FileSource) -> None:
    if source.sha256 is None:
        return
    found = joint_digest(file_digests(source))
    if found != source.sha256:
        raise InputError(
            f"{source.path}: its sha256 is {found}, expected {source.sha256}; "
            "fetch the file again or correct `sha256`"
        )
