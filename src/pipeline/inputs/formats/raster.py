"""Rasters that rasterio opens (GeoTIFF, ENVI): pixels and place; their bands are read in `raster_bands`."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Interleaving
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.damage import first_bytes, refuse_large_chunk
from pipeline.inputs.formats.image import Block, StoredImage
from pipeline.inputs.formats.orientation import turning_of
from pipeline.inputs.formats.raster_bands import RasterTags, described_bands
from pipeline.inputs.formats.wavelengths import as_number

T = TypeVar("T")

DRIVERS = ("GTiff", "ENVI", "JP2OpenJPEG", "HFA", "EHdr", "PCIDSK", "PNG", "JPEG", "NITF", "SAGA", "RST")
"""GDAL's drivers of formats whose pixels lie in the file itself, or beside it under its name."""
REFERENCES = (b"<VRT", b"<GDAL_", b"<OGR", b"<WMS", b"<WCS", b"<WMTS", b"/vsi")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
AHEAD = 256 * 2**20  # bytes of a strip file that are kept decoded
CACHE = 64 * 2**20  # bytes of GDAL's own cache of blocks


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


def raster_image(path: Path, configured: Collection[str] = ()) -> StoredImage:
    """Open a raster file as an image, with its own scale and offset; an alpha band is no band of it.

    Parameters
    ----------
    path : Path
        A file that rasterio opens.
    configured : collection of str
        Keys of the source, `wavelengths` and `fwhm`, whose values in the file are not read.

    Raises
    ------
    InputError
        Here or on reading: rasterio cannot read the file.
    """
    file = open_raster(path)
    if file.compression is not None:  # else a part of a block can be read
        together = file.count if file.interleaving == Interleaving.pixel else 1
        block = prod(file.block_shapes[0]) * np.dtype(file.dtypes[0]).itemsize * together
        refuse_large_chunk(path, "it", block)
    meanings = zip(file.indexes, file.colorinterp, strict=True)
    indexes = [i for i, meaning in meanings if meaning != ColorInterp.alpha]
    assumed = []
    if len(indexes) < file.count:
        assumed.append("its last band is declared to be alpha, which marks missing pixels")

    def of_bands(listed: Sequence[T]) -> tuple[T, ...]:
        return tuple(listed[i - 1] for i in indexes)

    with gdal(path):
        header = file.tags(ns="ENVI")
        tags = [file.tags(i) | file.tags(i, ns="IMAGERY") for i in indexes]
        texts = [text or "" for text in of_bands(file.descriptions)]
        bands = described_bands(RasterTags(path, header, tags, file.tags(), texts), configured)
    _refuse_cut_off(path, file, header)
    crs, transform = place(file)
    if crs is None and file.gcps[0]:
        assumed.append("only ground control points give its place, which are not used: orthorectify it first")
    units = set(of_bands(file.units))
    divisor = _divisor(path, header)
    return StoredImage(
        name=str(path),
        shape=(len(indexes), file.height, file.width),
        storage=file.block_shapes[0],
        pixels=RasterPixels(path, file, indexes),
        wavelength=bands.wavelength,
        fwhm=bands.fwhm,
        bad_bands=bands.bad,
        band_names=bands.names,
        crs=crs,
        transform=transform,
        units=f"reflectance x {divisor:g}" if divisor != 1 else units.pop() if len(units) == 1 else None,
        gain=np.array(of_bands(file.scales)),
        offset=np.array(of_bands(file.offsets)),
        assumed=(*assumed, *bands.assumed),
        repeats=bands.repeats,
        nodata=_ignored(path, header),
        declares_nodata="data_ignore_value" in header
        or any(v is not None for v in of_bands(file.nodatavals)),
        integers=np.dtype(file.dtypes[0]).kind in "iu",
        divisor=divisor,
    )


def _refuse_cut_off(path: Path, file: Any, header: dict[str, str]) -> None:
    """Refuse an ENVI file that is shorter than its header says: GDAL would read zeros where it ends."""
    if file.driver != "ENVI" or header.get("file_compression", "0").strip() == "1":
        return
    itemsize = np.dtype(file.dtypes[0]).itemsize
    needed = int(header.get("header_offset", "0")) + file.count * file.height * file.width * itemsize
    actual = path.stat().st_size
    if actual < needed:
        raise InputError(
            f"{path}: has {actual} bytes, its header describes {needed}; the file is cut off, or the header "
            "is "
            "that of another file: fetch both again"
        )


def _ignored(path: Path, header: dict[str, str]) -> tuple[float, ...]:
    """Return the number that an ENVI header declares to be no data, compared in the type of the values."""
    text = header.get("data_ignore_value")
    try:
        return () if text is None else (as_number(text),)
    except ValueError:
        raise InputError(f"{path}: its data ignore value {text!r} is no number; correct the header") from None


def _divisor(path: Path, header: dict[str, str]) -> float:
    """Return the number that divides an ENVI file's values to reflectance, 1 where it names none."""
    text = header.get("reflectance_scale_factor")
    try:
        divisor = 1.0 if text is None else as_number(text)
    except ValueError:
        divisor = 0.0
    if not 0 < divisor < float("inf"):
        raise InputError(
            f"{path}: its reflectance scale factor {text!r} is no positive number; correct the header"
        )
    return divisor


def raster_size(path: Path) -> tuple[int, int]:
    """Return height and width of a raster file, north up, from its header."""
    with open_raster(path) as file:
        crs, transform = place(file)
        turning = turning_of(transform, located=crs is not None)
        exchanged = turning is not None and turning.exchanged
        return (file.width, file.height) if exchanged else (file.height, file.width)


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
