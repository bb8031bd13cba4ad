"""Band centres, widths and names among the coordinates of an array."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.labels import Coordinate, Labels
from pipeline.inputs.formats.wavelengths import Centres, Spelled, centres_nm, spelled, unit_of, widths_nm

Vector = NDArray[np.float64]
CENTRE_NAME = re.compile(
    r"((central|centre|center|band)_?)?(wave_?lengths?|wvls?|wls?|lambdas?|cwls?|wave_?numbers?)"
    r"(_?(centers?|centres?))?(_?(?P<unit>nm|um|microns?|nanomet(er|re)s?|micromet(er|re)s?))?",
    re.IGNORECASE,
)
WIDTH_NAME = re.compile(r"(fwhms?|band_?widths?)(_?(?P<unit>nm|um|nanometers?|micrometers?))?", re.IGNORECASE)


@dataclass(frozen=True)
class LabelledBands:
    """Centres and widths of bands in a file's coordinates.

    Attributes
    ----------
    centres : Centres or None
        The centres.
    fwhm : (C,) float64 or None
        Widths in nm.
    names : tuple of str or None
        Different names of the bands.
    origin : str or None
        Name of the array of the centres, where it lies on no dimension of the image.
    """

    centres: Centres | None = None
    fwhm: Vector | None = None
    names: tuple[str, ...] | None = None
    origin: str | None = None


def labelled_bands(path: Path, labels: Labels, axis: int | None, count: int) -> LabelledBands:
    """Return the bands as coordinates on the axis of the bands, or arrays of such a name, describe them.

    Parameters
    ----------
    path : Path
        The file, for messages.
    labels : Labels
        The labels of the image.
    axis : int or None
        Axis of the bands; None for a single band without an axis.
    count : int
        Number of bands.

    Raises
    ------
    InputError
        The unit of the wavelengths is not known.
    """
    own = [] if axis is None else labels.on(axis)
    loose = [coordinate for coordinate in labels.loose if coordinate.values.size == count]
    coordinate = next((c for c in own if _is_spectral(c)), None) or _only(loose, CENTRE_NAME)
    names = _names(own)
    if coordinate is None:
        return LabelledBands(names=names)
    try:
        centres = centres_nm(_spelled(coordinate, CENTRE_NAME))
    except InputError as error:
        raise InputError(
            f"{path}: array {coordinate.name!r}: {error}; correct it, or give `wavelengths` in nm"
        ) from None
    width = next((c for c in own if WIDTH_NAME.fullmatch(c.name.removeprefix("msi_"))), None) or _only(
        loose, WIDTH_NAME
    )
    fwhm = None
    if width is not None:
        fwhm = widths_nm(_spelled(width, WIDTH_NAME), centres.nm, centres.unit)
        fwhm = fwhm if (np.isfinite(fwhm) & (fwhm > 0)).all() else None
    return LabelledBands(centres, fwhm, names, coordinate.name if coordinate in loose else None)


def _is_spectral(coordinate: Coordinate) -> bool:
    """Return whether a coordinate on the axis of the bands holds wavelengths."""
    if coordinate.values.dtype.kind not in "iufSO":
        return False
    attributes = " ".join(
        str(coordinate.attributes.get(key, "")) for key in ("standard_name", "long_name")
    ).lower()
    if WIDTH_NAME.fullmatch(coordinate.name) or "width" in attributes:
        return False
    if CENTRE_NAME.fullmatch(coordinate.name.removeprefix("msi_")) or "wavelength" in attributes:
        return True
    units = str(coordinate.attributes.get("units", "")).strip()
    try:
        return units not in ("", "1") and coordinate.values.dtype.kind in "iuf" and unit_of(units) is not None
    except InputError:
        return False


def _spelled(coordinate: Coordinate, pattern: re.Pattern[str]) -> Spelled:
    match = pattern.fullmatch(coordinate.name.removeprefix("msi_"))
    text = str(coordinate.attributes.get("units", "")) or (match["unit"] if match else None) or ""
    if coordinate.values.dtype.kind in "SO":
        return spelled([_text(value) for value in coordinate.values], unit_of(text))
    return Spelled(np.asarray(coordinate.values, np.float64), unit_of(text))


def _only(loose: list[Coordinate], pattern: re.Pattern[str]) -> Coordinate | None:
    named = [c for c in loose if pattern.fullmatch(c.name) and c.values.dtype.kind in "iuf"]
    return named[0] if len(named) == 1 else None


def _names(coordinates: list[Coordinate]) -> tuple[str, ...] | None:
    """Return names of the bands, from a coordinate of text."""
    for coordinate in coordinates:
        if coordinate.values.dtype.kind in "SOUT":
            names = tuple(_text(value) for value in coordinate.values)
            return names if len(set(names)) == len(names) and all(names) else None
    return None


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
