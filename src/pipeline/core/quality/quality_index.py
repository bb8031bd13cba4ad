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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.ssim import Moments
from pipeline.core.rounding import FLAT_POWER, SUMS, varies

Array = NDArray[np.float64]

BLOCK = 32  # side of a Q2n block in pixels
SUMMED_AT_ONCE = 128  # values; what BLAS libraries take for a product in one piece


def uiqi_map(moments: Moments) -> Array:
    """Compute UIQI: ``2 cov / (var_x + var_y)`` times ``2 mean_x mean_y / (mean_x^2 + mean_y^2)``.

    Variances and means that are no more than rounding are zero. Where a factor is 0 / 0 (both windows
    constant, or both with zero mean) it counts as 1.

    Parameters
    ----------
    moments : Moments
        Of two images in each window, in float64; they are overwritten.
    """
    level, error, power_u, power_v = moments
    np.square(level, out=level)
    np.square(error, out=error)
    power = power_u + power_v
    power_u -= level
    power_v -= error
    structure = _ratio_of_difference(power_u, power_v, FLAT_POWER, power)
    structure *= _ratio_of_difference(level, error, SUMS**2, power)
    return structure


def _ratio_of_difference(first: Array, second: Array, rounding: float, power: Array) -> Array:
    """Return ``(first - second) / (first + second)``, 1 where the sum is only rounding of the power."""
    result = first - second
    first += second
    # a look at the extremes spares the comparison of each window where none is that close to zero
    if first.min(initial=np.inf) <= rounding * power.max(initial=0):
        zero = first <= rounding * power
        result[zero] = first[zero] = 1
    result /= first
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
        values[row, col] = q2n(CentredSpectra.of(reference[:, *area]), CentredSpectra.of(cube[:, *area]))
    return values


class CentredSpectra(NamedTuple):
    """Spectra of a block of pixels, and the mean that was subtracted from them.

    Attributes
    ----------
    mean : (C,)
        Mean spectrum; NaN in bands with a value that is NaN.
    values : (C, pixels) float64
        Deviations from the mean.
    """

    mean: Array
    values: Array

    @classmethod
    def of(cls, image: NDArray[Any]) -> CentredSpectra:
        """Centre the spectra of an image ``(C, ...)``."""
        values = image.reshape(len(image), -1).astype(np.float64)
        mean = values.mean(axis=1)
        values -= mean[:, None]
        return cls(mean, values)


def q2n(x: CentredSpectra, y: CentredSpectra) -> float:
    """Compute Q2n of two sets of spectra; NaN where one holds NaN.

    Both are scaled band by band so that the reference has mean 1 and standard deviation 1. A band in which
    the reference is constant is only shifted. A band that varies by rounding only does not vary.

    Parameters
    ----------
    x, y : CentredSpectra
        Reference and cube, at the same pixels.
    """
    bands, pixels = x.values.shape
    if np.isnan(x.mean).any() or np.isnan(y.mean).any():
        return np.nan
    freedom = pixels - 1
    variance_x, variance_y = (np.vecdot(z.values, z.values) / freedom for z in (x, y))
    constant = ~varies(np.sqrt(variance_x), np.abs(x.mean))
    flat = ~varies(np.sqrt(variance_y), np.abs(y.mean))
    scale = np.where(constant, 1, np.sqrt(variance_x))
    variance_x[constant] = variance_y[flat] = 0
    variance = np.sum((variance_x + variance_y) / scale**2)

    # bands are filled up with zeros to a power of two; normalised they are 1, without variance
    size = len(hypercomplex_signs(bands))
    mean_y = (y.mean - x.mean) / scale + 1
    power_x, power_y = size, mean_y @ mean_y + size - bands
    luminance = 2 * np.sqrt(power_x * power_y) / (power_x + power_y)
    if variance <= FLAT_POWER * (power_x + power_y):
        return float(luminance)
    covariance = cross_products(x.values, y.values) / freedom / np.outer(scale, scale)
    covariance[constant] = covariance[:, flat] = 0
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
    signs, units = _conjugate_products(len(moments))
    return float(np.linalg.norm(np.bincount(units, (moments * signs).ravel())))


@cache
def _conjugate_products(bands: int) -> tuple[Array, NDArray[np.intp]]:
    """Return signs (C, C) and units (C C,) of the products of hypercomplex units ``e_i conj(e_j)``."""
    signs = hypercomplex_signs(bands)[:bands, :bands].copy()
    signs[:, 1:] *= -1
    i, j = np.indices((bands, bands))
    return signs, (i ^ j).ravel()


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
