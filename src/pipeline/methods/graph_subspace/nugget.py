"""What differs from one HR pixel to the next without a trace in the HR-MSI: the nugget of geostatistics.

Glint, an edge that some bands show more sharply than others, noise that the scene's own recording had:
no method can tell where it is. H averages nearly all of it away, so that LR pixels differ by little of it,
and what they differ by for other reasons mostly grows with their distance. The LR-HSI's variogram (Matheron
1963) tells the two apart: what remains of it at a distance of zero is divided by what H leaves of white
noise.

Structure finer than an LR pixel looks the same there, although H leaves more of it. How much of what the
bands do not share is white at all is seen in the HR-MSI, where its bands differ from each other.
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

FEWEST_PAIRS = 64
LEAST_SEEN = 2.0  # power of the differences of H(Y) in units of its noise's
LARGEST_OVERLAP = 0.25  # of what LR pixels see in common, as the correlation of H of white noise
LEAST_GAIN = 0.0265  # of white variance, to the intercept of the variogram: bicubic, ratio 4
WIDE = 256  # LR pixels, of an image whose borders hardly count


def nugget(parts: Sequence[Observation], basis: Array, noise: Array, white: float) -> Array:
    """Variance ``(C,)`` on the HR grid, of what is white there and not linear in the HR-MSI.

    The variogram of what is left of X after a regression on H(Y), at two distances: the nearest at which LR
    pixels hardly overlap, and twice that::

        gamma(h) = noise + nugget * gain(h) + slope * h

    The nugget times `white` is returned. The gain is taken to be no less than a bicubic kernel's of ratio 4:
    with that of wider PSFs and larger ratios, little that is not white would be taken for much that is. Zero
    where there are few pairs of LR pixels.

    Parameters
    ----------
    parts : sequence of Observation
    basis : (d, C)
        E, to which X is projected.
    noise : (C,)
        Variance, within the subspace, of the LR-HSI's noise and of the model's errors.
    white : float
        Share of what the HR-MSI's bands differ by that is white (`contrasts.white_share`).
    """
    response, sigma_msi = parts[0].spatial_response, parts[0].sigma_msi
    near = _near(response)
    gains = [semivariance_gain(response, lag) for lag in (near, 2 * near)]
    images = [_images(part, basis) for part in parts]
    found = [semivariances(images, lag) for lag in (near, 2 * near)]
    if min(pairs for _, pairs in found) < FEWEST_PAIRS:
        return np.zeros(basis.shape[1])
    one, two = (
        _left_by_regression(matrix, basis, gain * sigma_msi**2) - noise
        for (matrix, _), gain in zip(found, gains, strict=True)
    )
    intercept = (2 * one - two) / max(2 * gains[0] - gains[1], LEAST_GAIN)
    return np.asarray(white * np.maximum(intercept, 0))


def semivariance_gain(response: SpatialResponse, lag: int) -> float:
    """The semivariance of H of unit white noise, so many LR pixels apart, far from borders."""
    side = response.ratio.numerator * ceil(WIDE / response.ratio.denominator)
    covariance = response.noise_gain(side, side, (lag, 0)) + response.noise_gain(side, side, (0, lag))
    return response.noise_gain(side, side) - covariance / 2


def _near(response: SpatialResponse) -> int:
    """Distance at which LR pixels hardly overlap."""
    lag, enough = 1, (1 - LARGEST_OVERLAP) * semivariance_gain(response, WIDE)
    while semivariance_gain(response, lag) < enough:
        lag += 1
    return lag


def _images(part: Observation, basis: Array) -> Image:
    """H(Y) and the coefficients of X; LR pixels count that see data of the part alone.

    Its border need not be the scene's.
    """
    margin = part.spatial_response.support_lr
    inner = np.zeros(part.lr_shape, bool)
    inner[margin:-margin, margin:-margin] = True
    return np.concatenate([degraded_msi(part), coefficients_of(part, basis)]), coupled_pixels(part) & inner


def _left_by_regression(matrix: Array, basis: Array, of_msi: Array) -> Array:
    """Semivariances ``(C,)`` of what a regression on H(Y) leaves of X, the noise of H(Y) aside.

    Parameters
    ----------
    matrix : (c + d, c + d)
        Semivariances of H(Y) and of X's coefficients.
    basis : (d, C)
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
    """Coefficients ``(c, C)`` on H(Y) without its noise (Fuller 1987), where it stands out of that."""
    scale = np.sqrt(of_msi)
    power, directions = np.linalg.eigh(known / np.outer(scale, scale))
    seen = directions[:, power > LEAST_SEEN] / scale[:, None]
    return np.asarray(seen / (power[power > LEAST_SEEN] - 1) @ seen.T @ cross)
