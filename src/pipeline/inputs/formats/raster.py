"""Rasters that rasterio opens (GeoTIFF, ENVI): windows of values and no-data, bands and place.

Band centres and widths are taken from wherever the format keeps them: ENVI header lists, band tags
(GDAL's older names), GDAL's `IMAGERY` tags, or the band's description.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.bands import MICROMETRES_BELOW
from pipeline.inputs.formats.damage import first_bytes

T = TypeVar("T")

log = logging.getLogger(__name__)

NM_PER_UNIT = {"nanometers": 1.0, "nm": 1.0, "micrometers": 1e3, "um": 1e3, "µm": 1e3}
AHEAD = 256 * 2**20  # bytes of a strip file that are kept decoded
CACHE = 64 * 2**20  # bytes of GDAL's own cache of blocks
DESCRIPTION = re.compile(r"\(([\d.]+) (nanometers|micrometers|nm|um)\)", re.IGNORECASE)


class RasterImage:
    """A raster file as a `StoredImage`, with the file's own scale and offset applied.

    A pixel is missing where the band's no-data value, a mask band or an alpha band says so; alpha
    itself is no band of the image.

    A file stored in strips would be decoded again for each of the windows side by side: for it, a
    read continues to the right as far as `AHEAD` allows, and is kept for the next window.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        Here or on reading: rasterio cannot read the file.
    """

    detector: NDArray[np.str_] | None = None
    nodata: tuple[float, ...] = ()  # stored numbers that mean no data, besides what the file declares

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_raster(path)
        meanings = zip(self._file.indexes, self._file.colorinterp, strict=True)
        self._indexes = [i for i, meaning in meanings if meaning != ColorInterp.alpha]
        with gdal(path):
            header = self._file.tags(ns="ENVI")
            tags = [self._file.tags(i) | self._file.tags(i, ns="IMAGERY") for i in self._indexes]
        if len(self._indexes) < self._file.count:
            log.warning("%s: its last band is declared to be alpha, which marks missing pixels", path)
        self.shape = (len(self._indexes), self._file.height, self._file.width)
        self.storage = self._file.block_shapes[0]
        unit = self._file.tags().get("wavelength_units")
        self.wavelength, self.fwhm = _bands(header, tags, unit, self._of_bands(self._file.descriptions))
        good = _envi_list(header.get("bbl")) or [float(tag.get("bbl", 1)) for tag in tags]
        self.bad_bands = tuple(np.flatnonzero(np.array(good) == 0).tolist())
        self.crs: str | None
        self.transform: Transform | None
        self.crs, self.transform = place(self._file)
        units = set(self._of_bands(self._file.units))
        self.units = units.pop() if len(units) == 1 else None
        self.gain = np.array(self._of_bands(self._file.scales))
        self.offset = np.array(self._of_bands(self._file.offsets))
        self._ahead: tuple[Window, list[int], np.ma.MaskedArray[Any, Any]] | None = None

    def read(self, window: Window, bands: list[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values of some bands of a window, and where the file declares them missing."""
        masked = self._decoded(window, bands)
        values = masked.data
        missing = np.ma.getmaskarray(masked) | equals_any(values, self.nodata)
        gain, offset = self.gain[bands, None, None], self.offset[bands, None, None]
        if (gain != 1).any() or offset.any():
            values = values * gain + offset
        return values, missing

    def _of_bands(self, of_file: Sequence[T]) -> tuple[T, ...]:
        """What the file lists for all of its bands, alpha left out."""
        return tuple(of_file[i - 1] for i in self._indexes)

    def _decoded(self, window: Window, bands: list[int]) -> Any:
        if self._ahead is None or self._ahead[1] != bands or not _holds(self._ahead[0], window):
            self._ahead = None
            longer = self._longer(window, len(bands))
            place = ((longer.y0, longer.y1), (longer.x0, longer.x1))
            with gdal(self._path):
                decoded = self._file.read([self._indexes[band] for band in bands], window=place, masked=True)
            if longer == window:
                return decoded
            self._ahead = longer, bands, decoded
        held, _, decoded = self._ahead
        return decoded[:, *window.relative_to(held).slices]

    def _longer(self, window: Window, bands: int) -> Window:
        """The window, and what fits into `AHEAD` to its right if the file is stored in strips."""
        height, width = window.shape
        if self.storage[1] < self.shape[2]:
            return window
        column = bands * height * (np.dtype(self._file.dtypes[0]).itemsize + 1)  # with the mask
        return replace(window, x1=min(self.shape[2], window.x0 + max(width, AHEAD // column)))


def raster_size(path: Path) -> tuple[int, int]:
    """Height and width, from the header."""
    with open_raster(path) as file:
        return file.height, file.width


def open_raster(path: Path) -> Any:
    """A raster file opened by rasterio; one that is not there or a web page is refused."""
    first_bytes(path)
    with gdal(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # what needs a place asks for it
        return rasterio.open(path)


def equals_any(values: NDArray[Any], numbers: Sequence[float]) -> NDArray[np.bool_]:
    """Where values are one of some numbers, NaN among them, in the precision of the values."""
    found = np.zeros(values.shape, bool)
    for number in numbers:
        found |= np.isnan(values) if np.isnan(number) else values == number
    return found


def place(file: Any) -> tuple[str | None, Transform | None]:
    """CRS and affine of an open raster, as the file has them: rotated and south-up ones too."""
    a = file.transform
    crs = file.crs.to_string() if file.crs else None
    return crs, None if a.is_identity else (a.a, a.b, a.c, a.d, a.e, a.f)


@contextmanager
def gdal(path: Path) -> Iterator[None]:
    """GDAL's options, and its errors in one line."""
    try:
        # gzipped ENVI: GDAL would otherwise leave a .properties file beside the data
        with rasterio.Env(CPL_VSIL_GZIP_WRITE_PROPERTIES="NO", GDAL_CACHEMAX=CACHE):
            yield
    except RasterioError as error:
        hint = "; give the data file, not its header" if path.suffix.lower() == ".hdr" else ""
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"{path}: no raster that can be read ({reason}){hint}") from None


def _holds(ahead: Window, window: Window) -> bool:
    rows = ahead.y0 <= window.y0 and window.y1 <= ahead.y1
    return rows and ahead.x0 <= window.x0 and window.x1 <= ahead.x1


def _bands(
    header: dict[str, str], tags: list[dict[str, str]], unit: str | None, descriptions: tuple[str | None, ...]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Centres and widths in nm, each None where some band has none."""
    unit = header.get("wavelength_units") or tags[0].get("wavelength_units") or unit or ""
    centres = _values(header, tags, "wavelength")
    widths = _values(header, tags, "fwhm")
    if centres:
        guess = 1e3 if max(centres) < MICROMETRES_BELOW else 1.0
        factor = NM_PER_UNIT.get(unit.lower(), guess)
        centres, widths = [factor * c for c in centres], [factor * w for w in widths]
    else:
        centres, widths = _imagery(tags, "CENTRAL_WAVELENGTH_UM") or _described(descriptions), []
    widths = widths or _imagery(tags, "FWHM_UM")
    return (np.array(centres) if centres else None), (np.array(widths) if widths else None)


def _values(header: dict[str, str], tags: list[dict[str, str]], name: str) -> list[float]:
    values = _envi_list(header.get(name)) or [float(tag.get(name, "nan")) for tag in tags]
    return values if len(values) == len(tags) and np.isfinite(values).all() else []


def _imagery(tags: list[dict[str, str]], name: str) -> list[float]:
    values = [1e3 * float(tag.get(name, "nan")) for tag in tags]
    return values if np.isfinite(values).all() else []


def _described(descriptions: tuple[str | None, ...]) -> list[float]:
    """Centres from descriptions such as `band 1 (0.455400 Micrometers)`."""
    found = [DESCRIPTION.search(text or "") for text in descriptions]
    return [float(m[1]) * NM_PER_UNIT[m[2].lower()] for m in found if m] if all(found) else []


def _envi_list(text: str | None) -> list[float]:
    """The numbers of an ENVI header's `{a, b, c}`."""
    try:
        return [float(item) for item in (text or "").strip("{} ").split(",") if item.strip()]
    except ValueError:
        return []
