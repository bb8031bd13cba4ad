"""Width and shift of a Gaussian PSF, from MSI bands and the HSI's combinations of bands that match them.

Non-linear least squares on the residual. The degraded MSI explains the HSI, not the reverse:
averaging has taken most of the MSI's noise away, and a wide PSF would otherwise win by flattening
what is to be explained. R is taken as known.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from pipeline.core.estimation.responses.sample import PairSample
from pipeline.core.estimation.responses.spectral import unexplained
from pipeline.core.rounding import FLAT, centred
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError

Vector = NDArray[np.float64]
DIFFERENCE = 0.01  # LR pixels on either side in the Jacobian's differences
PASSES = 2  # the second with the bands' variances of the first
NARROWEST, WIDEST = 0.2, 3.0  # FWHM in LR pixels
NARROWEST_HR = 0.5  # in HR pixels: below, a shifted Gaussian may fall between the samples
FARTHEST = 1.5  # LR pixels of shift; the sample holds what lies within 2.5 of a pixel's centre


def fit_gaussian(sample: PairSample, matched: Vector, theta: Vector, offset: bool) -> Vector:
    """The Gaussian PSF through which the MSI explains the matched bands best.

    Each band has a gain of its own, and an offset where asked for, and weighs by the inverse of the
    variance that it leaves unexplained.

    Parameters
    ----------
    sample : PairSample
    matched : (c, n)
        ``R X``.
    theta : (3,)
        FWHM and shift (rows, columns) in LR pixels at which the search begins.
    offset : bool

    Returns
    -------
    (3,) float64
        FWHM and shift.

    Raises
    ------
    InputError
        Every matched band is constant, so that its residual does not depend on the PSF.
    """
    if offset and not centred(matched).any():
        raise InputError(
            "lr_hsi: no band that matches an MSI band varies, so that nothing tells the PSF; use a part with "
            "more texture, or give the spatial response"
        )

    def residual(theta: Vector) -> Vector:
        return unexplained(matched, sample.degraded(gaussian(theta, sample)), offset)

    def jacobian(theta: Vector) -> Vector:
        ways = DIFFERENCE * np.eye(3)
        return np.array([residual(theta + way) - residual(theta - way) for way in ways]) / (2 * DIFFERENCE)

    floor = max(FLAT * float(np.sqrt(np.square(matched).mean())), float(np.finfo(np.float64).tiny))
    for _ in range(PASSES):
        weight = 1 / np.maximum(np.sqrt(np.square(residual(theta)).mean(axis=1, keepdims=True)), floor)
        found = least_squares(
            lambda theta, w=weight: (w * residual(theta)).ravel(),
            theta,
            lambda theta, w=weight: (w * jacobian(theta)).reshape(3, -1).T,
            bounds=bounds(sample.ratio),
            xtol=1e-6,
        )
        theta = found.x
    return theta


def gaussian(theta: Vector, sample: PairSample) -> SpatialResponse:
    """The Gaussian of a FWHM and a shift (rows, columns)."""
    fwhm, dy, dx = map(float, theta)
    return SpatialResponse.gaussian(ratio=sample.ratio, fwhm=fwhm).shifted(dy, dx)


def bounds(ratio: Fraction) -> tuple[Vector, Vector]:
    """Lowest and highest FWHM and shift (rows, columns) of the search, in LR pixels."""
    narrowest = max(NARROWEST, NARROWEST_HR / float(ratio))
    return np.array([narrowest, -FARTHEST, -FARTHEST]), np.array([WIDEST, FARTHEST, FARTHEST])
