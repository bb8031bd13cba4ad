"""Universal quality indices: UIQI (Wang and Bovik 2002) and Q2n (Garzelli and Nencini 2009).

Q2n takes a pixel's spectrum as one hypercomplex number and compares covariance, mean and variance
of two images in blocks, normalised as in the Open Remote Sensing pansharpening toolbox; unlike
there, values are not rounded to 16-bit integers.

>>> x = np.random.default_rng(0).random((4, 32, 32))
>>> round(float(q2n_blocks(x, x)[0, 0]), 12)
1.0
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.ssim import Moments
from pipeline.core.rounding import FLAT_POWER, SUMS, varies

Array = NDArray[np.float64]

BLOCK = 32  # side of a Q2n block in pixels
SUMMED_AT_ONCE = 128  # pixels; what BLAS libraries take for a product in one piece


def uiqi_map(moments: Moments) -> Array:
    """Compute UIQI: ``2 cov / (var_x + var_y)`` times ``2 mean_x mean_y / (mean_x^2 + mean_y^2)``.

    Variances and means that are no more than rounding are zero. Where a factor is 0 / 0 (both windows
    constant, or both with zero mean) it counts as 1.

    Parameters
    ----------
    moments : Moments
        Of two images in each window.
    """
    mean_x, mean_y, power, mixed = moments
    mean_xy = mean_x * mean_y
    mean_power = mean_x * mean_x + mean_y * mean_y
    variances = power - mean_power
    varies = variances > FLAT_POWER * power
    structure = _ratio_or_one(2 * varies * (mixed - mean_xy), varies * variances)
    level = mean_power > SUMS**2 * power
    return structure * _ratio_or_one(2 * level * mean_xy, level * mean_power)


def _ratio_or_one(numerator: Array, denominator: Array) -> Array:
    """Divide, with 1 where both are zero; faster than a division with `where`."""
    both_zero = denominator == 0
    result: Array = (numerator + both_zero) / (denominator + both_zero)
    return result


def q2n_blocks(reference: Array, cube: Array) -> Array:
    """Compute Q2n of each block of 32 x 32 pixels.

    Parameters
    ----------
    reference, cube : (C, 32 m, 32 n)
        A block that holds NaN gives NaN.

    Returns
    -------
    (m, n) float64
        Values in [0, 1].
    """
    m, n = reference.shape[1] // BLOCK, reference.shape[2] // BLOCK
    values = np.empty((m, n))
    for row, col in np.ndindex(m, n):
        area = (slice(row * BLOCK, (row + 1) * BLOCK), slice(col * BLOCK, (col + 1) * BLOCK))
        x, y = (image[:, *area].astype(np.float64).reshape(image.shape[0], -1) for image in (reference, cube))
        missing = np.isnan(x).any() or np.isnan(y).any()
        values[row, col] = np.nan if missing else _q2n(x, y)
    return values


def _q2n(x: Array, y: Array) -> float:
    """Compute Q2n of two sets of spectra ``(C, pixels)``.

    Both are shifted and scaled band by band so that the reference has mean 1 and standard
    deviation 1. A band in which the reference is constant is only shifted. A band that varies by rounding
    only does not vary.
    """
    mean_x, mean_y = x.mean(axis=1), y.mean(axis=1)
    x, y = x - mean_x[:, None], y - mean_y[:, None]
    freedom = x.shape[1] - 1
    variance_x, variance_y = (np.einsum("bp,bp->b", z, z) / freedom for z in (x, y))
    constant, flat = (~varies(np.sqrt(v), np.abs(m)) for v, m in ((variance_x, mean_x), (variance_y, mean_y)))
    scale = np.where(constant, 1, np.sqrt(variance_x))
    x[constant] = variance_x[constant] = 0
    y[flat] = variance_y[flat] = 0
    variance = np.sum((variance_x + variance_y) / scale**2)

    # bands are filled up with zeros to a power of two; normalised they are 1, without variance
    size, bands = len(hypercomplex_signs(len(x))), len(x)
    mean_y = (mean_y - mean_x) / scale + 1
    power_x, power_y = size, mean_y @ mean_y + size - bands
    luminance = 2 * np.sqrt(power_x * power_y) / (power_x + power_y)
    if variance <= FLAT_POWER * (power_x + power_y):
        return float(luminance)
    covariance = cross_products(x, y) / freedom / np.outer(scale, scale)
    return float(luminance * 2 * _hypercomplex_modulus(covariance) / variance)


def cross_products(x: Array, y: Array) -> Array:
    """Multiply ``x y^T``.

    Summed over few pixels at a time: over many, BLAS cuts the sum according to its number of threads.

    Parameters
    ----------
    x : (A, pixels)
        Values of A bands.
    y : (B, pixels)
        Values of B bands at the same pixels.
    """
    rest = -x.shape[1] % SUMMED_AT_ONCE
    x, y = (np.pad(z, ((0, 0), (0, rest))) if rest else z for z in (x, y))
    x, y = (z.reshape(len(z), -1, SUMMED_AT_ONCE) for z in (x, y))
    products: Array = (x.transpose(1, 0, 2) @ y.transpose(1, 2, 0)).sum(axis=0)
    return products


def _hypercomplex_modulus(moments: Array) -> float:
    """Return the modulus of ``sum_ij moments[i, j] e_i conj(e_j)``, with hypercomplex units e."""
    signs = hypercomplex_signs(len(moments))
    size, bands = signs.shape[0], len(moments)
    i, j = np.indices((bands, bands))
    terms = moments * signs[:bands, :bands]
    terms[:, 1:] *= -1  # conj
    return float(np.linalg.norm(np.bincount((i ^ j).ravel(), terms.ravel(), minlength=size)))


@cache
def hypercomplex_signs(bands: int) -> Array:
    """Return the signs of products of hypercomplex units: ``e_i e_j = signs[i, j] e_(i xor j)``.

    Cayley-Dickson doubling ``(a, b)(c, d) = (a c - d* b, d a + b c*)`` up to the next power of two
    at or above `bands`: complex numbers, Hamilton's quaternions, octonions and so on.

    Parameters
    ----------
    bands : int
        Number of components that are needed.
    """
    signs = np.ones((1, 1))
    while len(signs) < bands:
        conj = np.where(np.arange(len(signs)) == 0, 1.0, -1.0)
        signs = np.block([[signs, signs.T], [signs * conj, -conj * signs.T]])
    return signs
