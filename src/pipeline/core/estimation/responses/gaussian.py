"""Width and shift of a Gaussian PSF, from MSI bands and the matching combinations of HSI bands.

Non-linear least squares with a known R. The degraded MSI predicts the HSI, not the reverse: averaging has
removed most of the MSI's noise, and a wide PSF would otherwise win by flattening the image to be predicted.
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
DIFFERENCE = 0.01  # LR pixels: step of the Jacobian's central differences
PASSES = 2  # the second weights the bands by the variances of the first
NARROWEST, WIDEST = 0.2, 3.0  # FWHM in LR pixels
NARROWEST_HR = 0.5  # in HR pixels: below, a shifted Gaussian may fall between the samples
FARTHEST = 1.5  # LR pixels of shift; the sample has HR pixels up to 2.5 LR pixels from a pixel's centre


def fit_gaussian(sample: PairSample, matched: Vector, theta: Vector, offset: bool) -> Vector:
    """Fit the Gaussian PSF with which the MSI predicts the matched bands best.

    Each band has its own gain and, optionally, offset. Its weight is the inverse of the variance that stays
    unexplained.

    Parameters
    ----------
    sample : PairSample
        LR pixels of the pair.
    matched : (c, n)
        ``R X``.
    theta : (3,)
        FWHM and shift (rows, columns) in LR pixels at which the search starts.
    offset : bool
        Whether each band has an offset.

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
            "lr_hsi: no band that matches an MSI band varies, so the PSF cannot be estimated; use a part "
            "with more texture, or give the spatial response"
        )

    def residual(theta: Vector) -> Vector:
        return unexplained(matched, sample.degraded(gaussian(theta, sample)), offset)

    def jacobian(theta: Vector) -> Vector:
        steps = DIFFERENCE * np.eye(3)
        return np.array([residual(theta + s) - residual(theta - s) for s in steps]) / (2 * DIFFERENCE)

    floor = max(FLAT * float(np.sqrt(np.square(matched).mean())), float(np.finfo(np.float64).tiny))
    for _ in range(PASSES):
        weight = 1 / np.maximum(np.sqrt(np.square(residual(theta)).mean(axis=1, keepdims=True)), floor)
        theta = least_squares(
            lambda theta, w=weight: (w * residual(theta)).ravel(),
            theta,
            lambda theta, w=weight: (w * jacobian(theta)).reshape(3, -1).T,
            bounds=bounds(sample.ratio),
            xtol=1e-6,
        ).x
    return theta


def gaussian(theta: Vector, sample: PairSample) -> SpatialResponse:
    """Return the Gaussian response of a FWHM and a shift (rows, columns), at a sample's ratio."""
    fwhm, dy, dx = map(float, theta)
    return SpatialResponse.gaussian(ratio=sample.ratio, fwhm=fwhm).shifted(dy, dx)


def bounds(ratio: Fraction) -> tuple[Vector, Vector]:
    """Return the lowest and highest FWHM and shift (rows, columns) of the search, in LR pixels."""
    narrowest = max(NARROWEST, NARROWEST_HR / float(ratio))
    return np.array([narrowest, -FARTHEST, -FARTHEST]), np.array([WIDEST, FARTHEST, FARTHEST])
