"""How the grids of an LR-HSI and an HR-MSI lie on each other, from their georeferences alone.

Two grids nest if LR pixels cover a rational number of HR pixels along the same axes; a shift of the
LR grid by a fraction of a pixel does no harm, since the spatial response takes it up. No pixel is
read here; `core.estimation.shift` finds the errors of the georeferences.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from pipeline.core.scene import Metadata
from pipeline.core.sensing.spatial import as_ratio
from pipeline.core.window import Window
from pipeline.errors import InputError

COARSEST_STEP = 10  # LR pixels in which a ratio that is not configured must be whole HR pixels
LARGEST_DRIFT = 0.25  # HR pixels by which two grids may disagree at the image's far corner
ROUNDING = 1e-6  # pixels, of a corner that follows from coordinates in metres
Shape = tuple[int, int]
Offset = tuple[float, float]


@dataclass(frozen=True)
class Raster:
    """The grid of an image.

    Attributes
    ----------
    name : str
        The file, for messages.
    shape : (int, int)
        Height and width.
    place : Metadata
        CRS and transform.
    """

    name: str
    shape: Shape
    place: Metadata

    @property
    def located(self) -> bool:
        """Whether the image says where on Earth it lies."""
        return self.place.crs is not None and self.place.transform is not None

    @property
    def affine(self) -> Affine:
        """Affine from (column, row) of a corner to (x, y)."""
        return Affine.identity() if self.place.transform is None else Affine(*self.place.transform)


@dataclass(frozen=True)
class Nesting:
    """The common footprint of two nested grids.

    Attributes
    ----------
    ratio : Fraction
        LR pixel size over HR pixel size.
    lr, hr : Window
        The same ground in LR pixels of the HSI and in HR pixels of the MSI, up to `shift`.
    shift : (float, float)
        Rows and columns in LR pixels by which the LR window lies further down and right than the HR
        window: at most half an HR pixel.
    """

    ratio: Fraction
    lr: Window
    hr: Window
    shift: Offset


def nested_ratio(hsi: Raster, msi: Raster, ratio: int | float | str | None = None) -> Fraction | None:
    """Return the ratio of two grids, or None where they do not nest and the MSI has to be resampled.

    Parameters
    ----------
    hsi, msi : Raster
        The two grids.
    ratio : optional
        LR pixel size over HR pixel size as configured; the georeferences must agree with it.

    Raises
    ------
    InputError
        One image alone is georeferenced, the axes run in other directions, the MSI is coarser than
        the HSI, the ratio of images without georeference is unknown, or the configured one is below 1.
    """
    if ratio is not None and as_ratio(ratio) < 1:
        raise InputError(f"ratio: {ratio} is below 1; give LR pixel size over HR pixel size")
    if hsi.located != msi.located:
        bare, other = (hsi, msi) if msi.located else (msi, hsi)
        if bare.place.transform is not None:
            raise InputError(
                f"{bare.name}: has no CRS for its coordinates, while {other.name} has one; name it by `crs`"
            )
        raise InputError(
            f"{bare.name}: has no CRS and transform, while {other.name} has; give it one "
            "(gdal_edit.py -a_srs ... -a_ullr ...), or strip the other's if their corners coincide"
        )
    if not hsi.located:
        return _ratio_of_sizes(hsi, msi, ratio)
    if CRS.from_user_input(hsi.place.crs) != CRS.from_user_input(msi.place.crs):
        return None
    _check_axes(msi, hsi)
    on_msi = _on_msi(hsi, msi)
    sizes = (on_msi.e * on_msi.a) ** 0.5
    fraction = Fraction(sizes).limit_denominator(COARSEST_STEP) if ratio is None else as_ratio(ratio)
    if sizes < 1 - LARGEST_DRIFT / max(msi.shape):
        raise InputError(
            f"{msi.name}: its pixels are {1 / sizes:.4g} times those of {hsi.name}, coarser than the HSI; "
            "exchange `hsi` and `msi`, or use a sharper image"
        )
    if _drift(on_msi, fraction, hsi.shape) <= LARGEST_DRIFT:
        return fraction
    if ratio is not None and abs(sizes / float(fraction) - 1) > 0.1:
        raise InputError(
            f"ratio: {ratio} does not fit {hsi.name} and {msi.name}, whose pixels are 1 : {sizes:.4g}; "
            "correct it or leave it out"
        )
    return None


def _drift(on_msi: Affine, ratio: Fraction, shape: Shape) -> float:
    """Return by how many HR pixels an HSI on the MSI's grid departs from the ratio at its far corner."""
    height, width = shape
    return max(
        abs(on_msi.a - ratio) * width,
        abs(on_msi.e - ratio) * height,
        abs(on_msi.b) * height,
        abs(on_msi.d) * width,
    )


def offset(hsi: Raster, msi: Raster) -> Offset:
    """Return row and column in HR pixels of the HSI's upper left corner on the MSI's grid."""
    on_msi = _on_msi(hsi, msi)
    return on_msi.f, on_msi.c


def nest(hsi: Raster, msi: Raster, ratio: Fraction, shift: Offset = (0.0, 0.0)) -> Nesting:
    """Return the largest common footprint that is a whole number of pixels of both images.

    Parameters
    ----------
    hsi, msi : Raster
        The two grids.
    ratio : Fraction
        The ratio, see `nested_ratio`.
    shift : (float, float)
        Rows and columns in LR pixels by which the HSI lies further down and right than its
        georeference says.

    Raises
    ------
    InputError
        The images do not overlap.
    """
    corner = offset(hsi, msi) if hsi.located else (0.0, 0.0)
    parts = [
        _nest_axis(corner[axis] + shift[axis] * float(ratio), hsi.shape[axis], msi.shape[axis], ratio)
        for axis in (0, 1)
    ]
    if any(count == 0 for _, count, _, _ in parts):
        raise InputError(
            f"{hsi.name} and {msi.name}: their footprints have no {ratio.denominator}x{ratio.denominator} "
            f"pixels of the HSI in common; the HSI lies at {_extent(hsi)}, the MSI at {_extent(msi)}"
        )
    (y, rows, top, dy), (x, columns, left, dx) = parts
    lr = Window(y, y + rows, x, x + columns)
    hr = Window(top, top + int(rows * ratio), left, left + int(columns * ratio))
    return Nesting(ratio, lr, hr, (dy, dx))


def cropped(nesting: Nesting, lr: Window) -> Nesting:
    """Return the part of a nesting in a window of its LR pixels.

    Parameters
    ----------
    nesting : Nesting
        The common footprint.
    lr : Window
        LR pixels of it, at multiples of the ratio's denominator.

    Raises
    ------
    InputError
        The window cuts HR pixels.
    """
    step = nesting.ratio.denominator
    if any(bound % step for bound in (lr.y0, lr.y1, lr.x0, lr.x1)):
        raise InputError(
            f"crop: {lr} of LR pixels does not cut whole HR pixels at ratio {nesting.ratio}; use multiples "
            f"of {step}"
        )
    y, x = nesting.lr.y0, nesting.lr.x0
    top, left = (int(low * nesting.ratio) for low in (lr.y0, lr.x0))
    height, width = (int(side * nesting.ratio) for side in lr.shape)
    top, left = nesting.hr.y0 + top, nesting.hr.x0 + left
    return Nesting(
        nesting.ratio,
        Window(y + lr.y0, y + lr.y1, x + lr.x0, x + lr.x1),
        Window(top, top + height, left, left + width),
        nesting.shift,
    )


def _nest_axis(corner: float, lr_size: int, hr_size: int, ratio: Fraction) -> tuple[int, int, int, float]:
    """Return first LR pixel, their number, first HR pixel, and the remaining shift, along one axis."""
    first = max(0, ceil((-0.5 - corner) / float(ratio) - ROUNDING))
    exact = corner + first * float(ratio)
    start = max(0, floor(exact + 0.5 + ROUNDING))
    most = min(lr_size - first, floor((hr_size - start) / ratio))
    count = max(0, most) // ratio.denominator * ratio.denominator
    return first, count, start, (exact - start) / float(ratio)


def _ratio_of_sizes(hsi: Raster, msi: Raster, ratio: int | float | str | None) -> Fraction:
    ratios = {Fraction(fine, coarse) for fine, coarse in zip(msi.shape, hsi.shape, strict=True)}
    if ratio is not None:
        if len(ratios) == 1 and ratios != {as_ratio(ratio)}:
            raise InputError(
                f"ratio: {ratio} does not fit {hsi.name} and {msi.name}, whose {_size(hsi)} and {_size(msi)} "
                f"pixels are 1 : {ratios.pop()}; correct it, leave it out, or georeference both"
            )
        return as_ratio(ratio)
    if len(ratios) != 1 or min(ratios) < 1:
        raise InputError(
            f"{hsi.name} and {msi.name}: have no CRS, and their {_size(hsi)} and {_size(msi)} pixels do "
            "not determine the ratio; give `ratio`, or georeference both"
        )
    return ratios.pop()


def _check_axes(msi: Raster, hsi: Raster) -> None:
    """Refuse images whose rows or columns run against each other."""
    a, b = (np.array([[r.affine.a, r.affine.b], [r.affine.d, r.affine.e]]) for r in (msi, hsi))
    turn = np.linalg.solve(a, b)  # of the HSI's axes on the MSI's
    if abs(turn[0, 0]) < abs(turn[0, 1]) or abs(turn[1, 1]) < abs(turn[1, 0]):
        how = "are exchanged or turned by a quarter"
    elif turn[0, 0] < 0 and turn[1, 1] < 0:
        how = "are rotated by 180 degrees"
    elif turn[0, 0] < 0 or turn[1, 1] < 0:
        how = f"run against each other along {'columns' if turn[0, 0] < 0 else 'rows'}"
    else:
        return
    raise InputError(
        f"{hsi.name}: its axes and those of {msi.name} {how}; bring both to north-up first "
        "(gdalwarp INPUT OUTPUT)"
    )


def _on_msi(hsi: Raster, msi: Raster) -> Affine:
    """Return the affine from (column, row) of the HSI to (column, row) of the MSI."""
    return ~msi.affine @ hsi.affine


def _size(raster: Raster) -> str:
    return f"{raster.shape[0]}x{raster.shape[1]}"


def _extent(raster: Raster) -> str:
    height, width = raster.shape
    corners = [raster.affine @ corner for corner in ((0, 0), (width, height))]
    (x0, x1), (y0, y1) = (sorted(axis) for axis in zip(*corners, strict=True))
    return f"x {x0:.9g} to {x1:.9g}, y {y0:.9g} to {y1:.9g}"
