"""What the bands of an HR-MSI differ by: how much of it is white, and how much H averages away.

The HR-MSI is all that is seen of the fine grid. Where its bands go together they say little of what it does
not show; what is left of each band after a regression on the others stands for that.
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
"""Bands ``(n, height, width)``, and which pixels ``(height, width)`` count."""


def white_share(images: Sequence[Image], sigma: Array) -> float:
    """How much of what bands differ by is white, where neighbouring pixels are compared.

    The intercept of the variogram, ``2 gamma(1) - gamma(2)``, noise aside, over its first value, noise
    included, of what is left of each band after a regression on the others; all bands together. Smooth
    detail, whose variogram is convex, lowers it; so does noise, whose level is seldom known well; detail that
    is alike over two or three pixels raises it. A single band is taken as it is.
    """
    one, two = (semivariances(images, lag)[0] for lag in (1, 2))
    at_one, at_two = (_contrast(matrix, sigma**2, two) for matrix in (one, two))
    noisy = _contrast(one, np.zeros_like(sigma), two)
    return min(max(0.0, 2 * at_one - at_two) / noisy, 1.0) if noisy > 0 else 0.0


def fine_power(parts: Sequence[Observation], white: float) -> float:
    """Power on the HR grid of detail that the HR-MSI does not show, of which H leaves a power of one.

    A mixture that was found by trial: a share of it is white, of which H leaves its gain; of the rest H
    leaves as much as, within the parts, of what the bands of the HR-MSI differ by. Noise counts as if H left
    it.

    Parameters
    ----------
    parts : sequence of Observation
    white : float
        The share, by `white_share`.
    """
    response, shape = parts[0].spatial_response, parts[0].hr_shape
    coarse, pixels = _covariance([degraded_msi(part)[:, coupled_pixels(part)] for part in parts])
    fine, _ = _covariance([_seen(part) for part in parts])
    gain, bands = response.noise_gain(*shape), len(coarse)
    free = max(0, pixels - bands) / max(1, pixels - 1)  # the regression is on the very LR pixels
    of_rest = min(max(1.0, free * _contrast(fine, parts[0].sigma_msi ** 2, coarse)), 1 / gain)
    return 1 / (white * gain + (1 - white) / of_rest)


def semivariances(images: Sequence[Image], lag: int) -> tuple[Array, int]:
    """Half the mean products ``(n, n)`` of differences of pixels so far apart along an axis; how many."""
    total, pairs = np.zeros((len(images[0][0]),) * 2), 0
    for bands, valid in images:
        down = (bands[:, lag:] - bands[:, :-lag])[:, valid[lag:] & valid[:-lag]]
        right = (bands[:, :, lag:] - bands[:, :, :-lag])[:, valid[:, lag:] & valid[:, :-lag]]
        total += down @ down.T + right @ right.T
        pairs += down.shape[1] + right.shape[1]
    return total / max(2 * pairs, 1), pairs


def _seen(part: Observation) -> Array:
    """Pixels ``(c, m)`` of the HR-MSI that lie in coupled LR pixels."""
    inside = footprint(coupled_pixels(part), part.hr_shape, part.spatial_response.shift)
    return part.hr_msi[:, inside & ~missing_pixels(part.hr_msi)].astype(np.float64)


def _covariance(samples: Sequence[Array]) -> tuple[Array, int]:
    """Covariance ``(n, n)`` of pixels ``(n, m)`` about each sample's own mean, and their number."""
    total, count = np.zeros((len(samples[0]),) * 2), 0
    for pixels in samples:
        centred = pixels - pixels.sum(axis=1, keepdims=True) / max(1, pixels.shape[1])
        total, count = total + centred @ centred.T, count + pixels.shape[1]
    return total / max(1, count), count


def _contrast(matrix: Array, noise: Array, base: Array) -> float:
    """Mean power of what a regression on the others leaves of each band, noise aside.

    In units of what it leaves where the bands have the covariance `base`, from which it is; of bands that
    vary there. Bands that are equal there up to rounding are regressed as one.

    Parameters
    ----------
    matrix, base : (n, n)
        Covariances, or semivariances, of bands.
    noise : (n,)
        Variance.
    """
    power = np.diag(base)
    varies = power > FLAT_POWER * power.max()
    if not varies.any():
        return 0.0
    chosen, scale = np.ix_(varies, varies), np.sqrt(power[varies])
    weights = np.linalg.pinv(base[chosen] / np.outer(scale, scale), rcond=FLAT_POWER, hermitian=True)
    left = weights @ ((matrix - np.diag(noise))[chosen] / np.outer(scale, scale)) @ weights
    return float(np.mean(np.diag(left) / np.diag(weights)))
