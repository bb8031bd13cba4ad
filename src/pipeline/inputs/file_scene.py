"""Files as scenes: usable bands in the order of their wavelengths, scaled, without values that mean no data.

Settings of the configuration override the file. Pixels are read window by window. Every file that cannot be
used is refused with one line; nothing is downloaded here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource, Source, StoredSource, SyntheticSource
from pipeline.core.scene import Metadata, OpenScene, Scene
from pipeline.core.sensing.spectral import band_spacing
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.band_order import by_wavelength
from pipeline.inputs.formats.damage import refuse_expansion
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.source import ImageFiles, locate

BLOCK = 2**23  # values that are read at a time when a whole file is looked through
LARGEST = 1e18  # of float32 values, whose squares would not be finite
TALLEST = 512  # rows of such a block

log = logging.getLogger(__name__)


def open_scene(source: Source, digest: str | None = None) -> OpenScene:
    """Open any source as a scene.

    Parameters
    ----------
    source : Source
        A file, an image of the catalogue, or a synthetic scene.
    digest : str, optional
        Joint SHA-256 that the files must have; a synthetic scene has none.

    Raises
    ------
    InputError
        The files cannot be used.
    """
    if not isinstance(source, SyntheticSource):
        return open_file(source, digest)
    from pipeline.inputs.synthetic.scene import SyntheticScene  # here: loads much that no file needs

    return SyntheticScene(source)


def open_file(source: StoredSource, digest: str | None = None) -> FileScene:
    """Open a file or an image of the catalogue as a scene; see `open_scene`."""
    files = locate(source)
    return FileScene(files if digest is None else files.pinned(digest))


def read_scene(source: StoredSource) -> Scene:
    """Read the whole scene of a file into memory."""
    scene = open_file(source)
    _, height, width = scene.shape
    return Scene(scene.read(Window(0, height, 0, width)), **vars(scene.metadata))


def source_size(source: Source) -> tuple[int, int] | None:
    """Return height and width of a source from the configuration, the catalogue or the file's headers.

    No pixel is read; None for a file that is missing or does not say.
    """
    if isinstance(source, SyntheticSource):
        return source.height, source.width
    try:
        return locate(source).size
    except InputError:  # of an image that the catalogue does not have
        return None


class FileScene(OpenScene):
    """A file as a scene.

    Opening looks through the whole file once. Left out are bands listed as bad, in the configuration
    or in the file, bands without any valid value, bands that are zero everywhere, and what
    `by_wavelength` leaves out; the log and `report` name them. Bands are in the order of their
    wavelengths.

    Parameters
    ----------
    files : ImageFiles
        The files, and how they are read.

    Attributes
    ----------
    name : str
        The path as the configuration gives it.
    shape : (int, int, int)
        Bands, height and width.
    metadata : Metadata
        Bands, scale, units and place.
    band_names : list of str or None
        Names of the bands, in a product with a file for each.
    assumed : list of str
        What was guessed in reading the file, a sentence each.
    report : dict
        How the file was read, JSON-ready: `path`, `product` (its name, or None), `files` (all files
        read, metadata included), `shape` of the scene, `file_bands` (their number),
        `bands` (kept bands, 0-based in the file, in the scene's order), `names` (their names, in a product
        with a file for each), `left_out` (a list of
        `reason` and `bands`), `nodata_share` (of the kept bands' values), `scale`, `units` and `assumed`
        (what was guessed in reading, a sentence each).

    Raises
    ------
    InputError
        One line naming the file, the fault and what to do.
    """

    def __init__(self, files: ImageFiles) -> None:
        files.check_digest()
        self.name, self._reading = files.name, files.reading
        image = self._image = files.open()
        if len(files.paths) == 1:
            refuse_expansion(files.paths[0], prod(image.shape))
        self._scale = image.divisor if self._reading.scale is None else self._reading.scale
        self._kept, left_out, missing = self._usable_bands()
        self.shape = (len(self._kept), *image.shape[1:])
        self.metadata = Metadata(
            wavelength=None if image.wavelength is None else image.wavelength[self._kept],
            fwhm=None if image.fwhm is None else image.fwhm[self._kept],
            scale=self._scale,
            crs=image.crs,
            transform=image.transform,
            units=image.units,
            detector=None if image.detector is None else image.detector[self._kept],
        )
        names = image.band_names
        self.band_names = None if names is None else [names[band] for band in self._kept]
        self.assumed = [*image.assumed, *assumptions(image, self.metadata, self._reading)]
        self.report: dict[str, Any] = {
            "path": self.name,
            "product": files.product,
            "files": list(files.files),
            "shape": list(self.shape),
            "file_bands": image.shape[0],
            "bands": self._kept,
            "names": self.band_names,
            "left_out": [{"reason": reason, "bands": bands} for reason, bands in left_out.items()],
            "nodata_share": missing,
            "scale": self._scale,
            "units": image.units,
            "assumed": self.assumed,
        }
        for sentence in self.assumed:
            log.info("%s: %s", self.name, sentence)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return values of a window, divided by the scale; no-data is NaN."""
        values, missing = self._read(window, self._kept)
        values[missing] = np.nan
        return values

    def _read(self, window: Window, bands: list[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        stored, missing = self._image.read(window, bands)
        values = np.empty(stored.shape, np.float32)
        np.divide(stored, self._scale, out=values, casting="unsafe", dtype=np.float64)
        return values, missing

    def _usable_bands(self) -> tuple[list[int], dict[str, list[int]], float]:
        """Return the bands to keep in order, the omitted bands by reason, and the share of no-data."""
        listed, bad = self._listed_bands()
        content = self._look_through(listed)
        self._refuse_infinite(listed, content)
        usable = _where(listed, content.filled)
        kept, overlapping = by_wavelength(usable, self._image.wavelength, self._image.detector)
        left_out = {
            "listed as bad": bad,
            "left out by name": sorted(set(self._image.dropped) - set(bad)),
            "without valid values": _where(listed, content.valid == 0),
            "zero everywhere": _where(listed, (content.valid > 0) & ~content.filled),
        }
        left_out = {reason: bands for reason, bands in (left_out | overlapping).items() if bands}
        for reason, bands in left_out.items():
            log.warning("%s: left out bands %s (0-based), %s", self.name, bands, reason)
        if not kept:
            raise InputError(f"{self.name}: no band is left, all are no-data, zero or listed as bad")
        if kept != sorted(kept):
            log.warning("%s: its wavelengths do not increase; bands are put in their order", self.name)
        valid = content.valid[np.isin(listed, kept)]
        return kept, left_out, float(1 - valid.mean() / (self._image.shape[1] * self._image.shape[2]))

    def _listed_bands(self) -> tuple[list[int], list[int]]:
        """Return the good bands, and the bands that the configuration or the file lists as bad."""
        count = self._image.shape[0]
        outside = [band for band in self._reading.bad_bands if not 0 <= band < count]
        if outside:
            raise InputError(f"{self.name}: bad_bands {outside} do not exist; bands are 0 to {count - 1}")
        bad = {*self._reading.bad_bands, *self._image.bad_bands}
        return [band for band in range(count) if band not in {*bad, *self._image.dropped}], sorted(bad)

    def _refuse_infinite(self, bands: list[int], content: _Content) -> None:
        if content.faulty.any():
            at = int(np.argmax(content.faulty > 0))
            y, x = divmod(int(content.first[at]), self._image.shape[2])
            raise InputError(
                f"{self.name}: band {bands[at]} holds {content.faulty[at]} infinite values, or values "
                f"beyond {LARGEST:g}, the first, {content.value[at]:.9g}, at row {y}, column {x}; declare it "
                "by `nodata`, as .inf or the number in the file, or leave the band out by `bad_bands`"
            )

    def _look_through(self, bands: list[int]) -> _Content:
        """Count the valid and the faulty values of some bands; the whole file is read once, in blocks."""
        _, height, width = self._image.shape
        zero = np.zeros(len(bands), np.intp)
        first, value = np.full(len(bands), height * width), np.zeros(len(bands))
        content = _Content(zero.copy(), zero.astype(bool), zero.copy(), first, value)
        for window in _blocks(self._image) if bands else ():
            values, missing = self._read(window, bands)
            content.valid += np.count_nonzero(~missing, axis=(1, 2))
            content.filled |= ((values != 0) & ~missing).any(axis=(1, 2))
            faulty = ~(np.abs(values) <= LARGEST) & ~missing
            counts = np.count_nonzero(faulty, axis=(1, 2))
            content.faulty += counts
            for band in np.flatnonzero(counts):
                y, x = np.argwhere(faulty[band])[0]
                place = (window.y0 + y) * width + window.x0 + x
                if place < content.first[band]:
                    content.first[band], content.value[band] = place, values[band, y, x]
        return content


def assumptions(image: StoredImage, metadata: Metadata, reading: FileSource) -> list[str]:
    """Return what nobody said about the values and bands of an image, a sentence each.

    Parameters
    ----------
    image : StoredImage
        The image.
    metadata : Metadata
        Its usable bands, scale and units.
    reading : FileSource
        The configuration.
    """
    sentences = []
    if metadata.wavelength is not None and metadata.fwhm is None:
        sentences.append(guessed_widths(metadata.wavelength))
    if reading.scale is not None and metadata.scale != image.divisor != 1:
        sentences.append(f"values are divided by {metadata.scale:g}, though the file says {image.divisor:g}")
    if metadata.units is None:
        sentences.append(f"units are not stated; values are divided by {metadata.scale:g}")
    if not image.declares_nodata and not image.nodata:
        sentences.append("no number is declared to be no data (`nodata`): each is a value, but for NaN")
    if image.transform is not None and image.crs is None:
        sentences.append("its coordinates have no CRS (`crs` names it)")
    return sentences


def guessed_widths(wavelength: NDArray[np.float64]) -> str:
    """Return that the widths of bands are a guess from their spacing, and which."""
    if wavelength.size < 2:
        return "the width of its band is not stated"
    low, high = f"{(spacing := band_spacing(wavelength)).min():.3g}", f"{spacing.max():.3g}"
    extent = low if low == high else f"{low} to {high}"
    return f"widths of the bands are not stated: their spacing, {extent} nm, is guessed where needed (`fwhm`)"


@dataclass
class _Content:
    """Content of bands, one value for each band.

    Attributes
    ----------
    valid : (C,) int
        Number of values that are not missing.
    filled : (C,) bool
        Whether any of them is not zero.
    faulty : (C,) int
        Number of values that are not missing and infinite or too large.
    first : (C,) int
        Where the first faulty value is, in row-major order.
    value : (C,) float
        The first faulty value.
    """

    valid: NDArray[np.intp]
    filled: NDArray[np.bool_]
    faulty: NDArray[np.intp]
    first: NDArray[np.intp]
    value: NDArray[np.float64]


def _where(bands: list[int], chosen: NDArray[np.bool_]) -> list[int]:
    return [band for band, is_chosen in zip(bands, chosen, strict=True) if is_chosen]


def _blocks(image: StoredImage) -> Iterator[Window]:
    """Yield windows of about `BLOCK` values that cover the image in whole rows of stored blocks.

    A window is narrower only if such a row is too large.
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
