"""Displacement, rotation and width of the PSF, from the gradients of the images.

A displaced image differs from the other by the displacement times its gradient, an image blurred by a wider
Gaussian by half the additional variance times its Laplacian. Both are fitted to the difference by least
squares, which holds to first order: for displacements up to about an LR pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import degrees, hypot
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.estimation.agreement.planes import Planes, stacked
from pipeline.core.estimation.agreement.radiometry import OUTLIER, cost, robust_scale

Array = NDArray[np.float64]

FAR_OFF = 10.0  # robust standard deviations of the difference
FEWEST = 16  # LR pixels with data all around, below which there is no gradient to fit
ROUNDS = 3  # of a fit without the outliers of the fit before
SHIFT, TURN, WIDTH = slice(0, 2), slice(0, 6), slice(6, 7)
"""Columns of the design: displacement of rows and columns; rotation and scale with it; Laplacian."""


class Cause(NamedTuple):
    """A geometric explanation of the difference.

    Attributes
    ----------
    explained : float
        Fraction of the robust cost of the difference that it removes.
    coefficients : (k,)
        Of its columns of the design.
    """

    explained: float
    coefficients: Array


@dataclass(frozen=True)
class Geometry:
    """Displacement of the HR-MSI against the LR-HSI, and additional width of the PSF.

    Attributes
    ----------
    shift, turn, width : Cause
        Displacement alone; with rotation and scale; PSF alone.
    half : (float, float)
        Half the height and width in LR pixels of the area that was compared.
    residual : Planes
        Difference that none of these explains.
    """

    shift: Cause
    turn: Cause
    width: Cause
    half: tuple[float, float]
    residual: Planes

    @property
    def displacement(self) -> tuple[float, float]:
        """Rows and columns in LR pixels by which the HR-MSI lies further down and right."""
        rows, columns = self.shift.coefficients
        return float(rows), float(columns)

    @property
    def corner(self) -> float:
        """Displacement in LR pixels that rotation and scale add at the corners."""
        rows, columns = np.abs(self.turn.coefficients[2:4]).sum(), np.abs(self.turn.coefficients[4:6]).sum()
        return hypot(rows, columns)

    @property
    def rotation(self) -> float:
        """Degrees, clockwise."""
        rows_along_x, columns_along_y = self.turn.coefficients[3], self.turn.coefficients[4]
        return degrees((rows_along_x / self.half[1] - columns_along_y / self.half[0]) / 2)

    @property
    def variance(self) -> float:
        """Variance in squared LR pixels by which the HSI's PSF is wider than H; negative if narrower."""
        return -2 * float(self.width.coefficients[0])


def explain(degraded: Planes, predicted: Planes) -> Geometry:
    """Fit displacement, rotation and width of the PSF to the difference of two images.

    Parameters
    ----------
    degraded : Planes
        H(Y).
    predicted : Planes
        Its prediction from X.
    """
    difference = degraded.combined(predicted, np.subtract)
    # gradients of the mean of both hold to second order
    middle = _without_outliers(degraded.combined(predicted, lambda a, b: (a + b) / 2), difference)
    centre, half = _extent(middle)
    designs = [
        _design(image, np.subtract(corner, centre), half)
        for image, corner in zip(middle.images, middle.corners, strict=True)
    ]
    columns = np.concatenate([part.reshape(*part.shape[:2], -1) for part in designs], axis=2)
    target, image = stacked(difference.images), stacked(middle.images)
    known = np.isfinite(target).all(axis=0) & np.isfinite(columns).all(axis=(0, 1))
    if known.sum() < FEWEST:  # scattered gaps leave hardly a pixel with all its neighbours
        shift, turn, width = (Cause(0.0, np.zeros(len(columns[part]))) for part in (SHIFT, TURN, WIDTH))
        return Geometry(shift, turn, width, half, difference)
    columns, target, image = columns[..., known], target[:, known], image[:, known]
    scale = robust_scale(target, image)
    base = cost(target, scale)

    def cause(chosen: slice) -> Cause:
        coefficients = _fit(columns[chosen], target, scale)
        left = cost(target - np.tensordot(coefficients, columns[chosen], axes=1), scale)
        return Cause(1 - left / base if base > 0 else 0.0, coefficients)

    everything = _fit(columns, target, scale)
    residual = [
        plane - np.tensordot(everything, np.nan_to_num(part), axes=1)
        for plane, part in zip(difference.images, designs, strict=True)
    ]
    return Geometry(cause(SHIFT), cause(TURN), cause(WIDTH), half, Planes(residual, difference.corners))


def _without_outliers(middle: Planes, difference: Planes) -> Planes:
    """Return the images without pixels that no geometry explains, whose gradients would decide the fit."""
    limit = FAR_OFF * robust_scale(difference.values, middle.values)[:, None, None]
    return middle.combined(
        difference, lambda image, other: np.where((np.abs(other) > limit).any(axis=0), np.nan, image)
    )


def _extent(planes: Planes) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return centre and half sides in LR pixels of the area that the windows span."""
    starts = np.array(planes.corners, float)
    ends = starts + [image.shape[1:] for image in planes.images]
    low, high = starts.min(axis=0), ends.max(axis=0)
    (y, x), (height, width) = (low + high) / 2, (high - low) / 2
    return (float(y), float(x)), (float(height), float(width))


def _design(image: Array, corner: Array, half: tuple[float, float]) -> Array:
    """Return the columns ``(7, c, h, w)`` of the design; NaN where a neighbour is missing.

    Parameters
    ----------
    image : (c, h, w)
        Mean of both images in a window.
    corner : (2,)
        Its first pixel, from the centre of the area.
    half : (float, float)
        Half sides of the area.
    """
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), constant_values=np.nan)
    up, down = padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]
    left, right = padded[:, 1:-1, :-2], padded[:, 1:-1, 2:]
    along_y, along_x = (down - up) / 2, (right - left) / 2
    y, x = np.mgrid[: image.shape[1], : image.shape[2]] + 0.5
    y, x = (y + corner[0]) / half[0], (x + corner[1]) / half[1]
    return np.stack(
        [
            -along_y,
            -along_x,
            -along_y * y,
            -along_y * x,
            -along_x * y,
            -along_x * x,
            up + down + left + right - 4 * image,
        ]
    )


def _fit(columns: Array, target: Array, scale: Array) -> Array:
    """Fit columns ``(k, c, n)`` to a target ``(c, n)`` without outliers, and return the coefficients."""
    weighted, goal = columns / scale[:, None], target / scale[:, None]
    keep = np.ones(target.shape, np.bool_)
    for _ in range(ROUNDS):
        chosen = weighted[:, keep]
        solution = np.linalg.lstsq(chosen @ chosen.T, chosen @ goal[keep], rcond=None)[0]
        residual = goal - np.tensordot(solution, weighted, axes=1)
        keep = np.abs(residual) <= OUTLIER * robust_scale(residual, goal)[:, None]
    return np.asarray(solution)
