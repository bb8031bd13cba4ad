"""Structural similarity (SSIM, Wang et al. 2004) from moments in sliding windows.

Only windows that lie wholly inside the image count, as in scikit-image's mean. One band at a time;
which pixels are valid is the caller's concern.

>>> x = np.random.default_rng(0).random((32, 32))
>>> float(ssim_map(local_moments(x, x, uniform_window(7)), 1.0).min())
1.0
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

Array = NDArray[np.float64]

ROUNDING = 1e-14  # share of the mean square below which a variance is rounding of float32 data


def uniform_window(size: int) -> Array:
    """Equal weights, summing to one."""
    return np.ones(size) / size


def gaussian_window(sigma: float = 1.5, radius: int = 5) -> Array:
    """Gaussian weights over ``2 radius + 1`` pixels, summing to one."""
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    normalised: Array = weights / weights.sum()
    return normalised


@dataclass(frozen=True)
class Moments:
    """Weighted moments of two images in each window; arrays of one shape."""

    mean_x: Array
    mean_y: Array
    var_x: Array
    var_y: Array
    cov: Array


def local_moments(x: Array, y: Array, window: Array) -> Moments:
    """Moments of two images ``(H, W)`` in every window of ``n x n`` pixels inside them.

    Each window is summed by itself (no running sums), so that its value does not depend on where
    the image was cut. A variance that is no more than rounding is set to zero.

    Returns
    -------
    Moments
        Arrays ``(H - n + 1, W - n + 1)``, at the windows' upper left pixels.
    """
    mean_x, mean_y, xx, yy, xy = sliding_mean(np.stack([x, y, x * x, y * y, x * y]), window)
    var_x, var_y = xx - mean_x**2, yy - mean_y**2
    var_x[var_x < ROUNDING * xx] = 0
    var_y[var_y < ROUNDING * yy] = 0
    cov = np.where((var_x > 0) & (var_y > 0), xy - mean_x * mean_y, 0.0)
    return Moments(mean_x, mean_y, var_x, var_y, cov)


def sliding_mean(images: Array, window: Array) -> Array:
    """Separable weighted mean ``(..., H - n + 1, W - n + 1)`` of ``(..., H, W)``."""
    before = window.size // 2
    for axis in (-2, -1):
        inside = [slice(None)] * images.ndim
        inside[axis] = slice(before, before + images.shape[axis] - window.size + 1)
        images = correlate1d(images, window, axis=axis, mode="constant")[tuple(inside)]
    return images


def ssim_map(moments: Moments, data_range: float, covariance_norm: float = 1.0) -> Array:
    """SSIM in each window, with the constants 0.01 and 0.03.

    Parameters
    ----------
    moments : Moments
    data_range : float
        Range of the reference, positive.
    covariance_norm : float
        ``n / (n - 1)`` for sample covariances over n pixels, 1 for weighted windows.
    """
    m = moments
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * m.mean_x * m.mean_y + c1) / (m.mean_x**2 + m.mean_y**2 + c1)
    structure = (2 * covariance_norm * m.cov + c2) / (covariance_norm * (m.var_x + m.var_y) + c2)
    return luminance * structure
