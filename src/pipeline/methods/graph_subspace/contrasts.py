"""Differences between the bands of an HR-MSI: their white share, and how much of them H averages away.

The HR-MSI is the only image of the fine grid. Detail that all its bands share says little about detail that
it does not show. The residual of each band after a regression on the others represents the latter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import FLAT_POWER
from pipeline.core.sensing.nodata import coupled_pixels, degraded_msi, footprint, missing_pixels
from pipeline.core.sensing.observation import Observation

Array = NDArray[np.float64]
Image = tuple[Array, NDArray[np.bool_]]
"""Bands ``(n, height, width)``, and the mask ``(height, width)`` of the pixels that count."""


def white_share(images: Sequence[Image], sigma: Array) -> float:
    """Estimate the white share of the differences between bands, at the scale of neighbouring pixels.

    The residual of each band after a regression on the others has a variogram gamma. The share is its
    intercept ``2 gamma(1) - gamma(2)``, without noise, over ``gamma(1)``, with noise, all bands together.
    Smooth detail, whose variogram is convex, lowers it; detail that is alike over two or three pixels raises
    it. Noise lowers it, since a noise level is seldom known well. A single band is its own residual.

    Parameters
    ----------
    images : sequence of Image
        Parts of the HR-MSI.
    sigma : (c,)
        Noise standard deviations.
    """
    at_one, at_two = (semivariances(images, lag)[0] for lag in (1, 2))
    # both lags by the regression of lag 2: one set of residuals has one variogram
    first, second = (_residual_power(matrix, sigma**2, at_two) for matrix in (at_one, at_two))
    with_noise = _residual_power(at_one, np.zeros_like(sigma), at_two)
    return min(max(0.0, 2 * first - second) / with_noise, 1.0) if with_noise > 0 else 0.0


def fine_power(parts: Sequence[Observation], white: float) -> float:
    """Return the power on the HR grid of detail that is not in the HR-MSI and has unit power after H.

    The model is a mixture, found by trial: of the white share, H leaves its noise gain; of the rest, H leaves
    as much as it leaves, within the parts, of the differences between the bands of the HR-MSI. Noise counts
    as detail that H leaves in full.

    Parameters
    ----------
    parts : sequence of Observation
        Parts of the scene.
    white : float
        White share, from `white_share`.
    """
    response, shape = parts[0].spatial_response, parts[0].hr_shape
    coarse, pixels = _covariance([degraded_msi(part)[:, coupled_pixels(part)] for part in parts])
    fine, _ = _covariance([_coupled_msi(part) for part in parts])
    gain, bands = response.noise_gain(*shape), len(coarse)
    # the regression was fitted to these LR pixels, whose residuals are too small by its degrees of freedom
    free = max(0, pixels - bands) / max(1, pixels - 1)
    of_rest = min(max(1.0, free * _residual_power(fine, parts[0].sigma_msi ** 2, coarse)), 1 / gain)
    return 1 / (white * gain + (1 - white) / of_rest)


def semivariances(images: Sequence[Image], lag: int) -> tuple[Array, int]:
    """Return half the mean products of differences between pixels at a distance along an axis.

    Parameters
    ----------
    images : sequence of Image
        Images of the same bands.
    lag : int
        Distance in pixels.

    Returns
    -------
    semivariances : (n, n)
        Matrix over the bands.
    pairs : int
        Number of pairs of pixels.
    """
    total, pairs = np.zeros((len(images[0][0]),) * 2), 0
    for bands, valid in images:
        down = (bands[:, lag:] - bands[:, :-lag])[:, valid[lag:] & valid[:-lag]]
        right = (bands[:, :, lag:] - bands[:, :, :-lag])[:, valid[:, lag:] & valid[:, :-lag]]
        total += down @ down.T + right @ right.T
        pairs += down.shape[1] + right.shape[1]
    return total / max(2 * pairs, 1), pairs


def _coupled_msi(part: Observation) -> Array:
    """Return the pixels ``(c, m)`` of the HR-MSI that lie in coupled LR pixels."""
    inside = footprint(coupled_pixels(part), part.hr_shape, part.spatial_response.shift)
    return part.hr_msi[:, inside & ~missing_pixels(part.hr_msi)].astype(np.float64)


def _covariance(samples: Sequence[Array]) -> tuple[Array, int]:
    """Return the covariance ``(n, n)`` of pixels ``(n, m)`` about each sample's mean, and their number."""
    total, count = np.zeros((len(samples[0]),) * 2), 0
    for pixels in samples:
        centred = pixels - pixels.sum(axis=1, keepdims=True) / max(1, pixels.shape[1])
        total, count = total + centred @ centred.T, count + pixels.shape[1]
    return total / max(1, count), count


def _residual_power(matrix: Array, noise: Array, base: Array) -> float:
    """Return the mean power of each band's residual after a regression on the others, without noise.

    The regression is that of bands with the covariance `base`, and the power is in units of its residuals
    there. Bands that do not vary there are left out; bands that are equal there up to rounding are regressed
    as one.

    Parameters
    ----------
    matrix : (n, n)
        Covariance, or semivariances, of the bands whose residuals are sought.
    noise : (n,)
        Noise variances in `matrix`.
    base : (n, n)
        Covariance, or semivariances, from which the regression is computed.
    """
    power = np.diag(base)
    varies = power > FLAT_POWER * power.max()
    if not varies.any():
        return 0.0
    chosen, scale = np.ix_(varies, varies), np.sqrt(power[varies])
    # row b of the inverse covariance is the contrast of band b with its regression on the others
    weights = np.linalg.pinv(base[chosen] / np.outer(scale, scale), rcond=FLAT_POWER, hermitian=True)
    left = weights @ ((matrix - np.diag(noise))[chosen] / np.outer(scale, scale)) @ weights
    return float(np.mean(np.diag(left) / np.diag(weights)))
