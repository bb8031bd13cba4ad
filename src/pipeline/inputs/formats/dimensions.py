"""What the axes of an array mean: bands, rows and columns, by names of dimensions and coordinates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.errors import InputError
from pipeline.inputs.formats.band_coordinates import CENTRE_NAME
from pipeline.inputs.formats.labels import Coordinate, Labels

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
DEGREES = {"degrees_north": "y", "degree_north": "y", "degrees_east": "x", "degree_east": "x"}


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


def named_by_length(labels: Labels, shape: Sequence[int]) -> Labels:
    """Return labels whose dimensions are named by arrays of the same lengths: `y`, `x`, `wavelength`.

    Nothing is named where a dimension has a name already, or where lengths leave it open which axis is which;
    of an image as high as wide, rows come before columns.

    Parameters
    ----------
    labels : Labels
        Labels of the image.
    shape : sequence of int
        Its shape.
    """
    if any(labels.dims):
        return labels
    by_role: dict[str | None, list[Coordinate]] = {}
    for coordinate in labels.loose:
        by_role.setdefault(role_of_name(coordinate.name), []).append(coordinate)
    if any(len(by_role.get(role, [])) != 1 for role in ("y", "x")):
        return labels
    rows, columns = by_role["y"][0], by_role["x"][0]
    bands = by_role.get("band", [])
    dims: list[str | None] = [None] * len(shape)
    for coordinate in (rows, columns, *(bands if len(bands) == 1 else [])):
        same = [axis for axis, side in enumerate(shape) if side == coordinate.values.size]
        square = rows.values.size == columns.values.size == coordinate.values.size and len(same) == 2
        free = [axis for axis in same if dims[axis] is None]
        if not free or (len(same) > 1 and not square):
            return labels
        dims[free[0]] = coordinate.name
    named = {c.name: replace(c, dim=c.name) for c in (rows, columns, *bands) if c.name in dims}
    others = [coordinate for coordinate in labels.coordinates if coordinate.name not in named]
    return replace(labels, dims=tuple(dims), coordinates=(*named.values(), *others))
