"""What labels of arrays mean: axes, bands, place and calibration by the CF conventions and usual names.

Read are dimension names, `standard_name`, `axis` and `units` of coordinates, grid mappings (CF, GDAL,
rioxarray, GeoZarr), `scale_factor`, `add_offset`, fill values and valid ranges. What contradicts itself is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from pyproj.exceptions import CRSError as ProjectionError
from rasterio.errors import CRSError

from pipeline.core.scene import Transform
from pipeline.errors import InputError
from pipeline.inputs.formats.labels import Coordinate, Labels
from pipeline.inputs.formats.wavelengths import Centres, Spelled, centres_nm, spelled, unit_of, widths_nm

Vector = NDArray[np.float64]

ROWS = {"y", "yc", "ydim", "lat", "latitude", "northing", "row", "line", "nrows", "nlines", "height"}
ROWS |= {"downtrack", "along_track", "alongtrack", "ny"}
COLUMNS = {
    "x",
    "xc",
    "xdim",
    "lon",
    "longitude",
    "easting",
    "col",
    "column",
    "sample",
    "pixel",
    "ncols",
    "width",
}
COLUMNS |= {"crosstrack", "across_track", "acrosstrack", "nsamples", "nx"}
BANDS = {"band", "wavelength", "wl", "wvl", "lambda", "wave", "spectral", "channel", "nbands", "wavenumber"}
BANDS |= {"spectral_band", "frequency", "bandnumber", "nb", "variable"}
DATES = {"time", "date", "datetime", "t", "epoch", "acquisition"}
STANDARD = {
    "projection_y_coordinate": "y",
    "latitude": "y",
    "grid_latitude": "y",
    "projection_x_coordinate": "x",
    "longitude": "x",
    "grid_longitude": "x",
    "time": "date",
}
GEOGRAPHIC = {"latitude", "longitude"}
DEGREES = {"degrees_north": "y", "degree_north": "y", "degrees_east": "x", "degree_east": "x"}

CENTRE_NAME = re.compile(
    r"((central|centre|center|band)_?)?(wave_?lengths?|wvls?|wls?|lambdas?|cwls?|wave_?numbers?)"
    r"(_?(centers?|centres?))?(_?(?P<unit>nm|um|microns?|nanomet(er|re)s?|micromet(er|re)s?))?",
    re.IGNORECASE,
)
WIDTH_NAME = re.compile(r"(fwhms?|band_?widths?)(_?(?P<unit>nm|um|nanometers?|micrometers?))?", re.IGNORECASE)

EQUAL_STEPS = 0.01  # pixels by which a coordinate may depart from equal steps
SAME_PLACE = 0.1  # pixels by which coordinates and affine may differ
KILOMETRES = {"km", "kilometer", "kilometre", "kilometers", "kilometres"}
WRITTEN_BY_GDAL = ("GDAL",)  # its affine describes a file that is stored from south to north as north-up


def roles(label: str, labels: Labels, shape: Sequence[int]) -> list[str | None]:
    """Return the meaning of each axis, `band`, `y`, `x`, `1` (of length 1) or None where no label tells it.

    Parameters
    ----------
    label : str
        The array, for messages.
    labels : Labels
        Its labels.
    shape : sequence of int
        Its shape.

    Raises
    ------
    InputError
        It has several dates, or more axes than an image.
    """
    known = [_role(labels, axis) for axis in range(len(shape))]
    dates = [axis for axis, role in enumerate(known) if role == "date"]
    for axis in dates:
        if shape[axis] > 1:
            raise InputError(
                f"{label}: its dimension {labels.dims[axis]!r} has {shape[axis]} dates, an image has one; "
                "write the "
                f"date that you want to a file of its own (xarray: .isel({labels.dims[axis]}=0))"
            )
    known = ["1" if axis in dates else role for axis, role in enumerate(known)]
    if known.count("y") != 1 or known.count("x") != 1:
        return _partly(known)
    rest = [axis for axis, role in enumerate(known) if role in (None, "band")]
    long = [axis for axis in rest if shape[axis] > 1] or rest[:1]
    if len(long) > 1:
        names = ", ".join(str(labels.dims[axis]) for axis in long)
        raise InputError(
            f"{label}: beside rows and columns it has the dimensions {names}; an image has one of bands"
        )
    return ["band" if axis in long else "1" if axis in rest else role for axis, role in enumerate(known)]


def _partly(known: list[str | None]) -> list[str | None]:
    """Return the axes of an array of which a name tells the bands alone: the others are rows and columns."""
    others = [axis for axis, role in enumerate(known) if role not in ("band", "1")]
    if known.count("band") != 1 or len(others) != 2:
        return [None] * len(known)
    named = [known[axis] for axis in others]
    names = ["x", "y"] if named[0] == "x" or named[1] == "y" else ["y", "x"]
    meaning = dict(zip(others, names, strict=True))
    return [meaning.get(axis, role) for axis, role in enumerate(known)]


def _role(labels: Labels, axis: int) -> str | None:
    dim = labels.dims[axis]
    for coordinate in labels.on(axis):
        attributes = {key.lower(): str(value) for key, value in coordinate.attributes.items()}
        standard = attributes.get("standard_name", "").lower()
        if "wavelength" in standard or "wavenumber" in standard:
            return "band"
        by_attributes = (
            STANDARD.get(standard)
            or DEGREES.get(attributes.get("units", "").lower())
            or {"Y": "y", "X": "x", "T": "date"}.get(attributes.get("axis", ""))
        )
        if by_attributes:
            return by_attributes
    return None if dim is None else role_of_name(dim)


def role_of_name(dim: str) -> str | None:
    """Return the meaning of a dimension by its name.

    >>> [role_of_name(name) for name in ("Latitude", "x_lr", "msi_band", "samples", "number")]
    ['y', 'x', 'band', 'x', None]
    """
    word = re.sub(r"^(msi|hsi)_|_(lr|hr)$|[\d_]+$", "", dim.strip().lower())
    for name, names in (("y", ROWS), ("x", COLUMNS), ("band", BANDS), ("date", DATES)):
        if word in names or word.removesuffix("s") in names:
            return name
    return "band" if CENTRE_NAME.fullmatch(word) else None


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


@dataclass(frozen=True)
class Placed:
    """Where an array lies, as its file stores it.

    Attributes
    ----------
    crs : str or None
        Its CRS.
    transform : tuple of six floats or None
        Its affine.
    assumed : tuple of str
        What was guessed, a sentence each.
    """

    crs: str | None = None
    transform: Transform | None = None
    assumed: tuple[str, ...] = ()


def placed(path: Path, labels: Labels, axes: Sequence[str], shape: tuple[int, int]) -> Placed:
    """Return CRS and affine from coordinates and grid mapping.

    Parameters
    ----------
    path : Path
        The file, for messages.
    labels : Labels
        The labels of the image.
    axes : sequence of str
        Its axes.
    shape : (int, int)
        Height and width.

    Raises
    ------
    InputError
        A coordinate has no equal steps, a CRS is not understood, or coordinates and affine contradict each
        other.
    """
    crs = _crs(path, labels)
    if "y" not in axes:
        return Placed(crs)
    y, x = (_map_coordinate(labels, axes.index(axis), axis) for axis in ("y", "x"))
    assumed: tuple[str, ...] = ()
    if crs is None and y is not None and x is not None and _geographic(y) and _geographic(x):
        crs, assumed = "EPSG:4326", ("longitude and latitude without a datum: WGS 84 assumed",)
    by_affine = _affine(path, labels)
    by_coordinates = None if y is None or x is None else _from_coordinates(path, y, x, by_affine)
    if by_coordinates is None or (crs is None and by_affine is None and _counts_pixels(by_coordinates)):
        return Placed(crs, by_affine, assumed)
    if by_affine is None:
        return Placed(crs, by_coordinates, assumed)
    _check_same_place(path, labels, by_affine, by_coordinates, shape)
    return Placed(crs, by_affine if _close(by_affine, by_coordinates, shape) else by_coordinates, assumed)


def _map_coordinate(labels: Labels, axis: int, role: str) -> Coordinate | None:
    """Return the coordinate of rows or columns, a number for each."""
    for coordinate in labels.on(axis):
        numeric = coordinate.values.dtype.kind in "iuf" and bool(np.isfinite(coordinate.values).all())
        if numeric and (coordinate.name == labels.dims[axis] or role_of_name(coordinate.name) == role):
            return coordinate
    return None


def _geographic(coordinate: Coordinate) -> bool:
    attributes = coordinate.attributes
    return (
        str(attributes.get("standard_name", "")).lower() in GEOGRAPHIC
        or str(attributes.get("units", "")).lower() in DEGREES
        or coordinate.name.lower() in ("lat", "lon", "latitude", "longitude")
    )


def _from_coordinates(path: Path, y: Coordinate, x: Coordinate, affine: Transform | None) -> Transform | None:
    """Return the affine of cell centres; an axis of a single pixel has the other's step."""
    (top, down), (left, across) = _steps(path, y), _steps(path, x)
    if down is None and across is None:
        return None
    down = down if down is not None else -abs(across or 0.0)
    across = across if across is not None else abs(down)
    return across, 0.0, left - across / 2, 0.0, down, top - down / 2


def _steps(path: Path, coordinate: Coordinate) -> tuple[float, float | None]:
    """Return a coordinate's first value and its step, None for a single value."""
    factor = 1e3 if str(coordinate.attributes.get("units", "")).lower() in KILOMETRES else 1.0
    values = factor * np.asarray(coordinate.values, np.float64)
    if values.size < 2:
        return float(values[0]), None
    step = float(values[-1] - values[0]) / (values.size - 1)
    kind = coordinate.values.dtype
    rounding = 2 * float(np.finfo(kind).eps) * np.abs(values).max() if kind.kind == "f" else 0.0
    apart = np.abs(values - (values[0] + step * np.arange(values.size))).max()
    if step == 0 or apart > max(EQUAL_STEPS * abs(step), rounding):
        raise InputError(
            f"{path}: its coordinate {coordinate.name!r}, {values[0]:.10g} to {values[-1]:.10g}, does not "
            "have equal "
            "steps; resample the image to a regular grid before"
        )
    return float(values[0]), step


def _counts_pixels(transform: Transform) -> bool:
    """Return whether coordinates without a CRS only number rows and columns."""
    a, _, c, _, e, f = transform
    return abs(a) == abs(e) == 1 and abs(c) <= 1 and abs(f) <= 1


def _check_same_place(
    path: Path, labels: Labels, affine: Transform, coordinates: Transform, shape: tuple[int, int]
) -> None:
    """Refuse an affine that puts the image elsewhere than its coordinates."""
    a, b, c, d, e, f = affine
    upside_down = (a, b, c + b * shape[0], d, -e, f + e * shape[0])
    if _close(affine, coordinates, shape):
        return
    flipped = _close(upside_down, coordinates, shape)
    if flipped and any(key in labels.file for key in WRITTEN_BY_GDAL):
        return
    how = f"by its coordinates the first pixel's corner is x {coordinates[2]:.10g}, y {coordinates[5]:.10g}"
    if flipped:
        first, way = coordinates[5] + coordinates[4] / 2, "rises" if coordinates[4] > 0 else "falls"
        how = f"its coordinate of the rows begins at {first:.10g} and {way}"
    mapping = labels.mapping or "spatial_ref"
    raise InputError(
        f"{path}: {how}, with pixels of {coordinates[0]:g} by {coordinates[4]:g}, but the affine of "
        f"{mapping!r} "
        f"says x {affine[2]:.10g}, y {affine[5]:.10g}, {affine[0]:g} by {affine[4]:g}; they contradict each "
        f"other: remove the wrong one (ncatted -a GeoTransform,{mapping},d,, if the coordinates are right)"
    )


def _close(affine: Transform, other: Transform, shape: tuple[int, int]) -> bool:
    """Return whether two affines put the corners of an image at the same place."""
    (a, b, c, d, e, f), (a2, b2, c2, d2, e2, f2) = affine, other
    pixel = max(np.hypot(a, d), np.hypot(b, e))
    apart = [
        np.hypot(a * x + b * y + c - (a2 * x + b2 * y + c2), d * x + e * y + f - (d2 * x + e2 * y + f2))
        for y in (0, shape[0])
        for x in (0, shape[1])
    ]
    rounding = 4 * float(np.finfo(np.float32).eps) * max(abs(f), abs(c))
    return bool(max(apart) <= max(SAME_PLACE * pixel, min(rounding, pixel / 4)))


def _affine(path: Path, labels: Labels) -> Transform | None:
    """Return the affine as GDAL, rioxarray or GeoZarr write it, or xarray once did."""
    numbers = _six(labels.grid.get("GeoTransform"))
    if numbers is not None:
        return from_gdal(numbers)
    affine = _six(labels.file.get("spatial:transform")) or _six(labels.attributes.get("transform"))
    if affine is None:
        return None
    a, b, c, d, e, f = affine
    return a, b, c, d, e, f


def _six(value: Any) -> list[float] | None:
    """Return the six numbers of an affine, of which a third row is left out; None for anything else."""
    if value is None:
        return None
    parts = re.split(r"[\s,]+", value.strip("[]() ")) if isinstance(value, str) else np.ravel(value).tolist()
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        return None
    return numbers[:6] if len(numbers) in (6, 9) and np.isfinite(numbers).all() else None


def _crs(path: Path, labels: Labels) -> str | None:
    """Return the CRS of the grid mapping: WKT, code, or CF parameters."""
    grid = labels.grid
    for key in ("crs_wkt", "spatial_ref", "epsg_code", "proj4"):
        if grid.get(key) not in (None, ""):
            return crs_of(path, grid[key])
    if grid.get("grid_mapping_name"):
        try:
            return crs_of(path, pyproj.CRS.from_cf(dict(grid)).to_wkt())
        except (ProjectionError, KeyError, ValueError, TypeError):
            raise InputError(
                f"{path}: its grid mapping {labels.mapping!r} ({grid['grid_mapping_name']}) is not "
                "understood; "
                "add the attribute crs_wkt"
            ) from None
    codes = [labels.file.get(key) for key in ("proj:code", "proj:wkt2")] + [labels.attributes.get("crs")]
    return next((crs_of(path, code) for code in codes if code), None)


def crs_of(path: Path, text: Any) -> str:
    """Return a CRS, given as WKT, `EPSG:n` or a number, in the form that rasterio writes."""
    try:
        return str(rasterio.CRS.from_user_input(text).to_string())
    except (CRSError, ValueError):
        raise InputError(
            f"{path}: its CRS {str(text)[:60]!r} is not understood; expected WKT or EPSG"
        ) from None


def from_gdal(numbers: Any) -> Transform:
    """Return the affine of GDAL's six numbers, which begin with the corner's x."""
    x, a, b, y, d, e = (float(number) for number in numbers)
    return a, b, x, d, e, y


@dataclass(frozen=True)
class Packing:
    """How numbers of an array become values.

    Attributes
    ----------
    gain, offset : (C,) float64 or None
        A value is ``gain * number + offset``; None where numbers are values.
    fill : tuple of float
        Numbers that mean no data.
    valid : (float, float)
        Smallest and largest valid number.
    """

    gain: Vector | None
    offset: Vector | None
    fill: tuple[float, ...]
    valid: tuple[float, float]


def packing(label: str, labels: Labels, bands: int) -> Packing:
    """Return the calibration and the missing values that an array's attributes declare.

    Parameters
    ----------
    label : str
        The array, for messages.
    labels : Labels
        Its labels.
    bands : int
        Number of its bands.

    Raises
    ------
    InputError
        An attribute is neither a number nor a number for each band.
    """
    known = labels.attributes
    gain = _per_band(label, "scale_factor", known.get("scale_factor", 1.0), bands)
    offset = _per_band(label, "add_offset", known.get("add_offset", 0.0), bands)
    fill = [
        number for key in ("_FillValue", "missing_value") for number in _numbers(label, key, known.get(key))
    ]
    span = _numbers(label, "valid_range", known.get("valid_range"))
    low = (_numbers(label, "valid_min", known.get("valid_min")) or span[:1] or [-np.inf])[0]
    high = (_numbers(label, "valid_max", known.get("valid_max")) or span[1:2] or [np.inf])[0]
    calibrated = bool((gain != 1).any() or offset.any())
    return Packing(gain if calibrated else None, offset if calibrated else None, tuple(fill), (low, high))


def _per_band(label: str, key: str, value: Any, bands: int) -> Vector:
    numbers = _numbers(label, key, value)
    if len(numbers) not in (1, bands):
        raise InputError(f"{label}: its {key} has {len(numbers)} numbers for {bands} bands; correct the file")
    return np.broadcast_to(np.array(numbers, np.float64), (bands,)).copy()


def _numbers(label: str, key: str, value: Any) -> list[float]:
    if value is None:
        return []
    try:
        return [float(number) for number in np.ravel(value)]
    except (TypeError, ValueError):
        raise InputError(f"{label}: its {key} {str(value)[:60]!r} is no number; correct the file") from None
