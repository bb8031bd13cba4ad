"""Rasters that rasterio opens (GeoTIFF, ENVI): pixels, bands and place.

Band centres and widths are read from wherever the format keeps them: ENVI header lists, band tags
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
from rasterio.io import DatasetReader

from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.bands import MICROMETRES_BELOW
from pipeline.inputs.formats.damage import first_bytes
from pipeline.inputs.formats.image import Block, StoredImage

T = TypeVar("T")

log = logging.getLogger(__name__)

NM_PER_UNIT = {"nanometers": 1.0, "nm": 1.0, "micrometers": 1e3, "um": 1e3, "µm": 1e3}
DRIVERS = ("GTiff", "ENVI", "JP2OpenJPEG", "HFA", "EHdr", "PCIDSK", "PNG", "JPEG", "NITF", "SAGA", "RST")
"""GDAL's drivers of formats whose pixels lie in the file itself, or beside it under its name."""
REFERENCES = (b"<VRT", b"<GDAL_", b"<OGR", b"<WMS", b"<WCS", b"<WMTS", b"/vsi")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
AHEAD = 256 * 2**20  # bytes of a strip file that are kept decoded
CACHE = 64 * 2**20  # bytes of GDAL's own cache of blocks
DESCRIPTION = re.compile(r"\(([\d.]+) (nanometers|micrometers|nm|um)\)", re.IGNORECASE)


class RasterPixels:
    """Pixels of a raster file; missing where a band's no-data value, a mask band or an alpha band says so.

    A file stored in strips would be decoded again for each of the windows side by side: for it, a
    read continues to the right as far as `AHEAD` allows, and is kept for the next window.

    Parameters
    ----------
    path : Path
        The file, for messages.
    file : rasterio.DatasetReader
        The opened file.
    indexes : list of int
        rasterio's 1-based numbers of the image's bands.
    """

    def __init__(self, path: Path, file: Any, indexes: list[int]) -> None:
        self._path, self._file, self._indexes = path, file, indexes
        self._ahead: tuple[Window, list[int], np.ma.MaskedArray[Any, Any]] | None = None

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return stored numbers of some bands of a window, and where the file declares them missing."""
        masked = self._decoded(window, bands)
        return masked.data, np.ma.getmaskarray(masked)

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
        """Return the window, and what fits into `AHEAD` to its right if the file is stored in strips."""
        height, width = window.shape
        if self._file.block_shapes[0][1] < self._file.width:
            return window
        column = bands * height * (np.dtype(self._file.dtypes[0]).itemsize + 1)  # with the mask
        return replace(window, x1=min(self._file.width, window.x0 + max(width, AHEAD // column)))


def raster_image(path: Path) -> StoredImage:
    """Open a raster file as an image, with its own scale and offset; an alpha band is no band of it.

    Parameters
    ----------
    path : Path
        A file that rasterio opens.

    Raises
    ------
    InputError
        Here or on reading: rasterio cannot read the file.
    """
    file = open_raster(path)
    meanings = zip(file.indexes, file.colorinterp, strict=True)
    indexes = [i for i, meaning in meanings if meaning != ColorInterp.alpha]
    if len(indexes) < file.count:
        log.warning("%s: its last band is declared to be alpha, which marks missing pixels", path)

    def of_bands(listed: Sequence[T]) -> tuple[T, ...]:
        return tuple(listed[i - 1] for i in indexes)

    with gdal(path):
        header = file.tags(ns="ENVI")
        tags = [file.tags(i) | file.tags(i, ns="IMAGERY") for i in indexes]
    unit = file.tags().get("wavelength_units")
    wavelength, fwhm = _bands(header, tags, unit, of_bands(file.descriptions))
    good = _envi_list(header.get("bbl")) or [float(tag.get("bbl", 1)) for tag in tags]
    crs, transform = place(file)
    units = set(of_bands(file.units))
    return StoredImage(
        name=str(path),
        shape=(len(indexes), file.height, file.width),
        storage=file.block_shapes[0],
        pixels=RasterPixels(path, file, indexes),
        wavelength=wavelength,
        fwhm=fwhm,
        bad_bands=tuple(np.flatnonzero(np.array(good) == 0).tolist()),
        crs=crs,
        transform=transform,
        units=units.pop() if len(units) == 1 else None,
        gain=np.array(of_bands(file.scales)),
        offset=np.array(of_bands(file.offsets)),
    )


def raster_size(path: Path) -> tuple[int, int]:
    """Return height and width of a raster file, from its header."""
    with open_raster(path) as file:
        return file.height, file.width


def open_raster(path: Path) -> Any:
    """Open a raster file by rasterio; refuse what is missing, a web page, or refers to other files."""
    start = first_bytes(path).lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(REFERENCES):
        raise InputError(
            f"{path}: is text that refers to other files or addresses, not a raster itself; write what it "
            "shows to a GeoTIFF (gdal_translate)"
        )
    _refuse_companions(path)
    with gdal(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # what needs a place asks for it
        # rasterio.open takes one driver alone, and some names of files as addresses
        file = DatasetReader(str(path.absolute()), driver=list(DRIVERS))
    elsewhere = any(Path(name).parent != path.absolute().parent for name in file.files)
    if elsewhere or (file.driver == "PCIDSK" and _has_external_channels(path)):
        raise InputError(f"{path}: its pixels lie in other files; write them into one (gdal_translate)")
    return file


def _refuse_companions(path: Path) -> None:
    """Refuse a mask or overviews beside a raster that are no TIFF: GDAL would open them by any driver."""
    for suffix in (".msk", ".ovr"):
        beside = path.with_name(path.name + suffix)
        if beside.is_file() and not first_bytes(beside).startswith(TIFF):
            raise InputError(f"{beside}: belongs to {path.name} but is no TIFF; move it elsewhere")


def _has_external_channels(path: Path) -> bool:
    """Return whether a channel of a PCIDSK file names a file; names inside it begin with `/SIS=`."""
    with path.open("rb") as stream:
        header = stream.read(512)
        stream.seek(512 * (int(header[336:352]) - 1))
        names = [stream.read(1024)[64:128].strip(b" \0") for _ in range(int(header[376:384]))]
    return any(name and not name.startswith(b"/SIS=") for name in names)


def place(file: Any) -> tuple[str | None, Transform | None]:
    """Return CRS and affine of an open raster as its file has them, rotated and south-up affines included."""
    a = file.transform
    crs = file.crs.to_string() if file.crs else None
    return crs, None if a.is_identity else (a.a, a.b, a.c, a.d, a.e, a.f)


@contextmanager
def gdal(path: Path) -> Iterator[None]:
    """Set GDAL's options for reading `path`, and turn its errors into one line."""
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
    """Return centres and widths in nm, each None where it is unknown for some band."""
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
    """Return centres from descriptions such as `band 1 (0.455400 Micrometers)`, or nothing."""
    matches = [DESCRIPTION.search(text or "") for text in descriptions]
    return [float(m[1]) * NM_PER_UNIT[m[2].lower()] for m in matches if m] if all(matches) else []


def _envi_list(text: str | None) -> list[float]:
    """Return the numbers of an ENVI header's `{a, b, c}`, or nothing where it holds others."""
    try:
        return [float(item) for item in (text or "").strip("{} ").split(",") if item.strip()]
    except ValueError:
        return []
