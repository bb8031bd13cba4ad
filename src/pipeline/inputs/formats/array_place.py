"""Where an array lies: CRS and affine from coordinates and grid mappings (CF, GDAL, rioxarray, GeoZarr).

Coordinates and an affine that contradict each other are refused.
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
from pyproj.exceptions import CRSError as ProjectionError
from rasterio.errors import CRSError

from pipeline.core.scene import Transform
from pipeline.errors import InputError
from pipeline.inputs.formats.dimensions import DEGREES, role_of_name
from pipeline.inputs.formats.labels import Coordinate, Labels

GEOGRAPHIC = {"latitude", "longitude"}
EQUAL_STEPS = 0.01  # pixels by which a coordinate may depart from equal steps
SAME_PLACE = 0.1  # pixels by which coordinates and affine may differ
KILOMETRES = {"km", "kilometer", "kilometre", "kilometers", "kilometres"}
WRITTEN_BY_GDAL = ("GDAL",)  # its affine describes a file that is stored from south to north as north-up


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
