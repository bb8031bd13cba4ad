"""Differences from one HR pixel to the next that leave no trace in the HR-MSI: the nugget of geostatistics.

Examples are glint, an edge that some bands show more sharply than others, and noise of the scene's own
recording; no method can place them. H averages nearly all of it away, so it contributes little to the
differences of LR pixels, and that contribution does not depend on their distance. Other differences mostly
grow with distance. The variogram of the LR-HSI (Matheron 1963) separates the two: its intercept at distance
zero, divided by the fraction of white noise's power that H leaves, is the variance of the nugget.

Structure that is finer than an LR pixel but not white contributes to the intercept as well, although H leaves
more of it. The intercept is therefore multiplied by the white share of the differences between the bands of
the HR-MSI (`contrasts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import coupled_pixels, degraded_msi
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.gaussian import coefficients_of
from pipeline.methods.graph_subspace.contrasts import Image, semivariances

Array = NDArray[np.float64]

FEWEST_PAIRS = 64  # pairs of LR pixels, below which the variogram is too uncertain to be extrapolated
LEAST_POWER = 2.0  # of the differences of H(Y), in units of its noise: below it, noise decides the regression
LARGEST_OVERLAP = 0.25  # correlation of H of white noise between LR pixels that count as independent
LEAST_GAIN = 0.0265  # from white variance to the variogram's intercept: bicubic, ratio 4
WIDE = 256  # LR pixels: side of an image whose borders hardly count


def nugget(parts: Sequence[Observation], basis: Array, noise: Array, white: float) -> Array:
    """Return the variance ``(C,)`` on the HR grid of detail that is white and not linear in the HR-MSI.

    The variogram is that of the residuals of X after a regression on H(Y). It is evaluated at two distances,
    the smallest at which LR pixels hardly overlap and twice that, for the model ::

        gamma(h) = noise + nugget * gain(h) + slope * h

    The nugget times `white` is returned. The gain is taken to be at least the gain of a bicubic kernel of
    ratio 4: with the gain of wider PSFs and larger ratios, a little detail that is not white would pass for
    a lot of white detail. The variance is zero if there are few pairs of LR pixels.

    Parameters
    ----------
    parts : sequence of Observation
        Parts of the scene.
    basis : (d, C)
        E, onto which X is projected.
    noise : (C,)
        Variance, within the subspace, of the LR-HSI's noise and of the model's errors.
    white : float
        White share of the differences between the bands of the HR-MSI (`contrasts.white_share`).
    """
    response, sigma_msi = parts[0].spatial_response, parts[0].sigma_msi
    near = _near(response)
    gains = [semivariance_gain(response, lag) for lag in (near, 2 * near)]
    images = [_images(part, basis) for part in parts]
    variogram = [semivariances(images, lag) for lag in (near, 2 * near)]
    if min(pairs for _, pairs in variogram) < FEWEST_PAIRS:
        return np.zeros(basis.shape[1])
    at_near, at_twice = (
        _left_by_regression(matrix, basis, gain * sigma_msi**2) - noise
        for (matrix, _), gain in zip(variogram, gains, strict=True)
    )
    # a straight line through both distances; noise was subtracted, so only the nugget is left at zero
    intercept = (2 * at_near - at_twice) / max(2 * gains[0] - gains[1], LEAST_GAIN)
    return np.asarray(white * np.maximum(intercept, 0))


def semivariance_gain(response: SpatialResponse, lag: int) -> float:
    """Return the semivariance of H of unit white noise at a distance, far from borders.

    Parameters
    ----------
    response : SpatialResponse
        H.
    lag : int
        Distance along an axis in LR pixels.
    """
    side = response.ratio.numerator * ceil(WIDE / response.ratio.denominator)
    covariance = response.noise_gain(side, side, (lag, 0)) + response.noise_gain(side, side, (0, lag))
    return response.noise_gain(side, side) - covariance / 2


def _near(response: SpatialResponse) -> int:
    """Return the smallest distance at which LR pixels hardly overlap."""
    lag, enough = 1, (1 - LARGEST_OVERLAP) * semivariance_gain(response, WIDE)
    while semivariance_gain(response, lag) < enough:
        lag += 1
    return lag


def _images(part: Observation, basis: Array) -> Image:
    """Return H(Y) and the coefficients of X, with the LR pixels that depend only on data of the part.

    A margin is left out, since the part's border need not be the scene's.
    """
    margin = part.spatial_response.support_lr
    inner = np.zeros(part.lr_shape, bool)
    inner[margin:-margin, margin:-margin] = True
    return np.concatenate([degraded_msi(part), coefficients_of(part, basis)]), coupled_pixels(part) & inner


def _left_by_regression(matrix: Array, basis: Array, of_msi: Array) -> Array:
    """Return the semivariances ``(C,)`` of the residuals of X after a regression on H(Y), without its noise.

    Parameters
    ----------
    matrix : (c + d, c + d)
        Semivariances of H(Y) and of X's coefficients.
    basis : (d, C)
        E.
    of_msi : (c,)
        Semivariances of the noise of H(Y).
    """
    c = len(of_msi)
    known, cross = matrix[:c, :c], matrix[:c, c:] @ basis
    linear = _regression(known, cross, of_msi)
    left = (basis * (matrix[c:, c:] @ basis)).sum(axis=0)
    left += (linear * (known @ linear - 2 * cross)).sum(axis=0)
    return np.asarray(left - of_msi @ np.square(linear))


def _regression(known: Array, cross: Array, of_msi: Array) -> Array:
    """Return the coefficients ``(c, C)`` of a regression on H(Y), corrected for its noise (Fuller 1987).

    Directions of H(Y) whose power hardly exceeds the noise are left out: there the correction diverges.
    """
    scale = np.sqrt(of_msi)
    power, directions = np.linalg.eigh(known / np.outer(scale, scale))
    kept = power > LEAST_POWER
    chosen = directions[:, kept] / scale[:, None]
    return np.asarray(chosen / (power[kept] - 1) @ chosen.T @ cross)
