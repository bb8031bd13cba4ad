"""Structural similarity (SSIM, Wang et al. 2004) from moments in sliding windows.

Only windows that lie wholly inside the image count, as in scikit-image's mean. Functions take one
band at a time and know nothing of no-data: callers choose the windows that are valid.

>>> x = np.random.default_rng(0).random((32, 32))
>>> bool(np.all(ssim_map(Moments(*sliding_sum(products(x, x), gaussian_window())), (0.0, 0.0)) == 1))
True
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TILE = 16  # means computed in one product of matrices; longer ones multiply more zeros


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
    """Weighted moments of the sum ``u = x + y`` and the difference ``v = x - y`` of two images in windows.

    Indices of x and y follow from these with less rounding than from moments of x and y themselves, since
    the difference of similar images is small: ``4 cov_xy = var_u - var_v`` and
    ``2 (var_x + var_y) = var_u + var_v``, and likewise for products and squares of the means.

    Attributes
    ----------
    mean_u, mean_v : array
        Means; of one shape like all.
    power_u, power_v : array
        Means of the squares.
    """

    mean_u: Array
    mean_v: Array
    power_u: Array
    power_v: Array


def products(x: Array, y: Array) -> Array:
    """Stack ``u = x + y``, ``v = x - y``, ``u^2`` and ``v^2`` of two images ``(H, W)``, to be averaged.

    Parameters
    ----------
    x, y : (H, W)
        Two images of one type, which the result has.
    """
    stack = np.empty((4, *x.shape), x.dtype)
    np.add(x, y, out=stack[0])
    np.subtract(x, y, out=stack[1])
    np.square(stack[:2], out=stack[2:])
    return stack


def sliding_sum(images: Array, window: Array) -> Array:
    """Sum up images, weighted, ``(..., H, W)`` in sliding windows: ``(..., H - n + 1, W - n + 1)``.

    Each window is summed by itself (no running sums), so that its value does not depend on where
    the image was cut. Products with a small banded matrix are the fastest way in NumPy; they are too
    small for BLAS to share among threads, which would change the last bits.

    Parameters
    ----------
    images : (..., H, W)
        Any number of images, in float32 or float64, which the result has as well.
    window : (n,)
        Weights along either axis.
    """
    n = window.size
    height, width = images.shape[-2] - n + 1, images.shape[-1] - n + 1
    matrix = _banded(tuple(window), images.dtype)
    rows = np.empty((*images.shape[:-2], height, images.shape[-1]), images.dtype)
    for start in range(0, height, TILE):
        size = min(TILE, height - start)
        part = images[..., start : start + size + n - 1, :]
        np.matmul(matrix[:size, : size + n - 1], part, out=rows[..., start : start + size, :])
    rows = rows.reshape(-1, images.shape[-1])
    sums = np.empty((len(rows), width), images.dtype)
    matrix = matrix.T.copy()
    for start in range(0, width, TILE):
        size = min(TILE, width - start)
        part = rows[:, start : start + size + n - 1]
        np.matmul(part, matrix[: size + n - 1, :size], out=sums[:, start : start + size])
    return sums.reshape(*images.shape[:-2], height, width)


@cache
def _banded(weights: tuple[float, ...], dtype: np.dtype[Any]) -> Array:
    """Return a matrix ``(TILE, TILE + n - 1)`` that turns a column into `TILE` weighted sums."""
    rounded = np.array(weights, dtype)
    rounded[[0, -1]] += (sum(weights) - rounded.sum(dtype=np.float64)) / 2  # a bias of their sum would stay
    matrix = np.zeros((TILE, TILE + len(weights) - 1), dtype)
    for row in range(TILE):
        matrix[row, row : row + len(weights)] = rounded
    return matrix


def doubled_mean(images: Array, size: int) -> Array:
    """Average images in sliding windows whose side is a power of two, by doubling their width and height.

    Sums of equal values are exact: a constant image has a variance of exactly zero.

    Parameters
    ----------
    images : (n, H, W) float64
        Any number of images.
    size : int
        Side of the windows in pixels.

    Returns
    -------
    (n, H - size + 1, W - size + 1)
        Means, at the windows' upper left pixels.
    """
    count, height, width = images.shape
    means = np.empty((count, height - size + 1, width - size + 1), images.dtype)
    steps = [unit << k for unit in (width, 1) for k in range(size.bit_length() - 1)]
    target, spare = np.empty((2, height * width), images.dtype)
    for image, mean in zip(images, means, strict=True):
        # as one row of pixels; windows that pass the end of a line are cut off
        sums = image.reshape(-1)
        for step in steps:
            np.add(sums[:-step], sums[step:], out=target[: sums.size - step])
            sums = target[: sums.size - step]
            target, spare = spare, target
        whole = spare.reshape(height, width)
        np.multiply(whole[: mean.shape[0], : mean.shape[1]], 1 / size**2, out=mean)
    return means


def ssim_map(
    sums: Moments, offsets: tuple[float, float], weight: float = 1.0, covariance_norm: float = 1.0
) -> Array:
    """Compute SSIM in each window, with the constants 0.01 and 0.03.

    Parameters
    ----------
    sums : Moments
        Weighted sums of the two images in units of the reference's range; they are overwritten.
    offsets : (float, float)
        What was subtracted from u and v, in the same units.
    weight : float
        Sum of the weights of a window, a number that float32 represents exactly.
    covariance_norm : float
        ``n / (n - 1)`` for sample covariances over n pixels, 1 for weighted windows.
    """
    level, error, variance_u, variance_v = sums
    for mean, variance, offset in zip(sums[:2], sums[2:], offsets, strict=True):
        if weight != 1:
            variance *= weight
        variance -= np.square(mean)
        mean += weight * offset
        np.square(mean, out=mean)
    level += 2 * (0.01 * weight) ** 2
    variance_u += 2 * (0.03 * weight) ** 2 / covariance_norm
    result = level - error
    result *= variance_u - variance_v
    level += error
    variance_u += variance_v
    level *= variance_u
    result /= level
    return result
