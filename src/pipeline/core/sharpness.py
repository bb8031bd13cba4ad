"""How the bands of a scene differ in sharpness: optics are in focus at some wavelengths, less at others.

To first order, a band that is blurred by a Gaussian differs from the sharp one by half the Gaussian's
variance times the Laplacian. H averages most of that away, but what it leaves is in the LR-HSI, and the
HR-MSI shows where. What it says is rough, as materials that are at home at edges leave the same trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from pipeline.core.gaussian import coefficients_of
from pipeline.core.nodata import coupled_pixels, fill_nearest
from pipeline.core.observation import Observation
from pipeline.core.window import Window

Array = NDArray[np.float64]

SIDE = 8  # LR pixels, of squares in which one linear map leads from the HR-MSI's bands to the LR-HSI's
PIXELS_PER_TERM = 3  # LR pixels for each number of that map, at least
FEWEST_SQUARES = 6
SIGNIFICANT = 2.0  # standard errors


def laplacian(image: Array) -> Array:
    """Sum of the second differences along both axes of ``(..., H, W)``, the border repeated."""
    kernel = [1.0, -2.0, 1.0]
    return sum(correlate1d(image, kernel, axis=axis, mode="nearest") for axis in (-2, -1))


def relative_blur(parts: Sequence[Observation], basis: Array) -> Array:
    """``g`` ``(C,)``, in HR pixels squared: each band is off by ``g`` times its Laplacian.

    That is half the variance of the Gaussian by which a band is blurrier than what the HR-MSI's bands make of
    it, or sharper where negative; zero where it is less than `SIGNIFICANT` of its standard errors.

    In each square of LR pixels, X and H of the Laplacian that the HR-MSI predicts are cleared of what is
    linear in H(Y); their regression, over all squares, is g. Its standard error is the jackknife's over the
    squares: it counts what the trace of materials differs by from place to place.

    Parameters
    ----------
    parts : sequence of Observation
    basis : (d, C)
        E, to which X is projected.
    """
    found = [moments for part in parts for moments in _moments(part, basis)]
    if len(found) < FEWEST_SQUARES:
        return np.zeros(basis.shape[1])
    cross, power = np.array(found).transpose(1, 0, 2)
    tiny = np.finfo(np.float64).tiny
    blur = cross.sum(axis=0) / (power.sum(axis=0) + tiny)
    without = (cross.sum(axis=0) - cross) / (power.sum(axis=0) - power + tiny)
    error = np.sqrt((len(found) - 1) * without.var(axis=0))
    return np.where(np.abs(blur) > SIGNIFICANT * error, blur, 0.0)


def _moments(part: Observation, basis: Array) -> Iterator[tuple[Array, Array]]:
    """Of each square: sums of the residuals' product, and of the Laplacian's square, per band ``(C,)``."""
    sharp = fill_nearest(part.hr_msi).astype(np.float64)
    terms = np.concatenate([part.operator.forward(sharp), np.ones((1, *part.lr_shape))])
    edges = part.operator.forward(laplacian(sharp))
    bands = np.tensordot(basis.T, coefficients_of(part, basis), axes=1)
    valid = coupled_pixels(part)
    by_msi = _least_squares(terms[:, valid].T, bands[:, valid].T)[:-1]
    side = max(SIDE, ceil(sqrt(PIXELS_PER_TERM * len(terms))))
    for square in Window(0, part.lr_shape[0], 0, part.lr_shape[1]).split(side):
        chosen = valid[square.slices]
        if chosen.sum() < PIXELS_PER_TERM * len(terms):
            continue
        known = terms[:, *square.slices][:, chosen].T
        values = np.concatenate([bands, edges])[:, *square.slices][:, chosen].T
        left = values - known @ _least_squares(known, values)
        band, edge = left[:, : len(bands)], left[:, len(bands) :] @ by_msi
        yield (band * edge).sum(axis=0), (edge**2).sum(axis=0)


def _least_squares(known: Array, values: Array) -> Array:
    return np.asarray(np.linalg.lstsq(known, values, rcond=None)[0], np.float64)
