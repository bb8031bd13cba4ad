"""Structural similarity (SSIM, Wang et al. 2004) from moments in sliding windows.

Only windows that lie wholly inside the image count, as in scikit-image's mean. Functions take one
band at a time and know nothing of no-data: callers choose the windows that are valid.

>>> x = np.random.default_rng(0).random((32, 32))
>>> bool(np.allclose(ssim_map(local_moments(products(x, x), uniform_window(7)), 1.0), 1, atol=1e-12))
True
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz

Array = NDArray[np.float64]

TILE = 16  # means computed in one product of matrices; longer ones multiply more zeros


def uniform_window(size: int) -> Array:
    """Return `size` equal weights whose sum is 1.

    Parameters
    ----------
    size : int
        Side of the window in pixels.
    """
    return np.ones(size) / size


def gaussian_window(sigma: float = 1.5, radius: int = 5) -> Array:
    """Return Gaussian weights over ``2 radius + 1`` pixels whose sum is 1.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels.
    radius : int
        Pixels on either side of the centre.
    """
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    normalised: Array = weights / weights.sum()
    return normalised


class Moments(NamedTuple):
    """Weighted moments of two images in each window; arrays of one shape.

    Attributes
    ----------
    mean_x, mean_y : array
        Means.
    power : array
        Mean of ``x^2 + y^2``.
    mixed : array
        Mean of ``x y``.
    """

    mean_x: Array
    mean_y: Array
    power: Array
    mixed: Array


def products(x: Array, y: Array) -> Array:
    """Stack ``x``, ``y``, ``x^2 + y^2`` and ``x y`` of two images ``(H, W)``, to be averaged.

    Parameters
    ----------
    x, y : (H, W)
        Two images.
    """
    return np.stack([x, y, x * x + y * y, x * y])


def local_moments(images: Array, window: Array) -> Moments:
    """Average the `products` of two images in every window of ``n x n`` pixels inside them.

    Parameters
    ----------
    images : (4, H, W)
        The products.
    window : (n,)
        Weights along either axis.

    Returns
    -------
    Moments
        Arrays ``(H - n + 1, W - n + 1)``, at the windows' upper left pixels.
    """
    return Moments(*sliding_mean(images, window))


def sliding_mean(images: Array, window: Array) -> Array:
    """Average images ``(..., H, W)`` in sliding windows: ``(..., H - n + 1, W - n + 1)``.

    Each window is summed by itself (no running sums), so that its value does not depend on where
    the image was cut. Products with a small banded matrix are the fastest way in NumPy; they are too
    small for BLAS to share among threads, which would change the last bits.

    Parameters
    ----------
    images : (..., H, W)
        Any number of images.
    window : (n,)
        Weights along either axis.
    """
    n = window.size
    height, width = images.shape[-2] - n + 1, images.shape[-1] - n + 1
    matrix = _banded(tuple(window))
    rows = np.empty((*images.shape[:-2], height, images.shape[-1]))
    for start in range(0, height, TILE):
        size = min(TILE, height - start)
        part = images[..., start : start + size + n - 1, :]
        np.matmul(matrix[:size, : size + n - 1], part, out=rows[..., start : start + size, :])
    means = np.empty((*images.shape[:-2], height, width))
    matrix = matrix.T.copy()
    for start in range(0, width, TILE):
        size = min(TILE, width - start)
        part = rows[..., start : start + size + n - 1]
        np.matmul(part, matrix[: size + n - 1, :size], out=means[..., start : start + size])
    return means


@cache
def _banded(weights: tuple[float, ...]) -> Array:
    """Return a matrix ``(TILE, TILE + n - 1)`` that turns a column into `TILE` weighted means."""
    matrix: Array = toeplitz([weights[0], *[0.0] * (TILE - 1)], [*weights, *[0.0] * (TILE - 1)])
    return matrix


def ssim_map(moments: Moments, data_range: float, covariance_norm: float = 1.0) -> Array:
    """Compute SSIM in each window, with the constants 0.01 and 0.03.

    Parameters
    ----------
    moments : Moments
        Of the two images.
    data_range : float
        Range of the reference, positive.
    covariance_norm : float
        ``n / (n - 1)`` for sample covariances over n pixels, 1 for weighted windows.
    """
    mean_x, mean_y, power, mixed = moments
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_xy = mean_x * mean_y
    mean_power = mean_x * mean_x + mean_y * mean_y
    covariance = covariance_norm * (mixed - mean_xy)
    variances = covariance_norm * (power - mean_power)
    result: Array = (2 * mean_xy + c1) * (2 * covariance + c2)
    result /= (mean_power + c1) * (variances + c2)
    return result
