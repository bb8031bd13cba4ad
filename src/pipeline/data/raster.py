"""Rasters that rasterio opens (GeoTIFF, ENVI): values, no-data, bands and place.

Band centres and widths are taken from wherever the format keeps them: ENVI header lists, band tags
(GDAL's older names), GDAL's `IMAGERY` tags, or the band's description.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from pipeline.data.scene import Transform
from pipeline.errors import InputError

NM_PER_UNIT = {"nanometers": 1.0, "nm": 1.0, "micrometers": 1e3, "um": 1e3, "µm": 1e3}
MICROMETRES_BELOW = 100.0  # no band lies at 100 nm, and none of interest at 100 micrometres
DESCRIPTION = re.compile(r"\(([\d.]+) (nanometers|micrometers|nm|um)\)", re.IGNORECASE)


@dataclass(frozen=True)
class Raster:
    """What a raster file holds.

    Attributes
    ----------
    values : (C, H, W)
        With the file's own scale and offset applied.
    missing : (C, H, W) bool
        No-data by the file's declaration.
    wavelength, fwhm : (C,) float64 or None
        In nm.
    bad_bands : list of int
        0-based, from ENVI's bad band list.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    wavelength: NDArray[np.float64] | None
    fwhm: NDArray[np.float64] | None
    bad_bands: list[int]
    crs: str | None
    transform: Transform | None


def open_raster(path: Path) -> Raster:
    """Read a raster file.

    Raises
    ------
    InputError
        rasterio cannot open it.
    """
    try:
        # gzipped ENVI: GDAL would otherwise leave a .properties file beside the data
        with rasterio.Env(CPL_VSIL_GZIP_WRITE_PROPERTIES="NO"), rasterio.open(path) as file:
            return _read(file)
    except RasterioError as error:
        hint = "; give the data file, not its header" if path.suffix.lower() == ".hdr" else ""
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: no raster that can be read ({reason}){hint}") from None


def _read(file: Any) -> Raster:
    masked = file.read(masked=True)
    values = masked.data
    if any(scale != 1 for scale in file.scales) or any(file.offsets):
        values = values * np.array(file.scales)[:, None, None] + np.array(file.offsets)[:, None, None]
    header = file.tags(ns="ENVI")
    tags = [file.tags(i) | file.tags(i, ns="IMAGERY") for i in file.indexes]
    wavelength, fwhm = _bands(header, tags, file.tags().get("wavelength_units"), file.descriptions)
    good = _envi_list(header.get("bbl")) or [float(tag.get("bbl", 1)) for tag in tags]
    a = file.transform
    return Raster(
        values=values,
        missing=np.ma.getmaskarray(masked),
        wavelength=wavelength,
        fwhm=fwhm,
        bad_bands=np.flatnonzero(np.array(good) == 0).tolist(),
        crs=file.crs.to_string() if file.crs else None,
        transform=None if a.is_identity else (a.a, a.b, a.c, a.d, a.e, a.f),
    )


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
