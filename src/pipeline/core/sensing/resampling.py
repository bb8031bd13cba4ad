"""Matrices that sample a kernel along one axis, with symmetric borders.

The convention is MATLAB's `imresize`: half-sample symmetric borders, rows that sum to one, and Keys'
cubic for interpolation. What the kernels mean for a sensor is in `pipeline.core.sensing.spatial`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-12  # share of the largest weight below which a weight is zero
Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def keys_cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution kernel with a = -0.5 (Keys 1981), as in MATLAB's `imresize`."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def response_matrix(
    hr_size: int,
    ratio: Fraction,
    out_size: int,
    kernel: Kernel,
    support: float,
    normalise: bool = True,
    offset: float = 0.0,
) -> NDArray[np.float64]:
    """Return the sampling matrix ``(out_size, hr_size)`` of a kernel, with half-sample symmetric borders.

    Row i holds the kernel centred on ``(i + 1/2) ratio - 1/2 + offset``, folded at the borders as
    MATLAB's `imresize` does. A `ratio` below 1 upsamples.
    """
    taps, weights = _taps(hr_size, ratio, np.arange(out_size), kernel, support, normalise, offset)
    return _dense(taps, weights, hr_size)


def response_rows(
    hr_size: int,
    ratio: Fraction,
    rows: NDArray[np.intp],
    kernel: Kernel,
    support: float,
    normalise: bool = True,
    offset: float = 0.0,
) -> tuple[NDArray[np.float64], int]:
    """Return some rows of `response_matrix`, cut to the range of columns that they use.

    Returns
    -------
    matrix : (len(rows), n) float64
    first : int
        The column of the whole matrix at which it begins.
    """
    taps, weights = _taps(hr_size, ratio, rows, kernel, support, normalise, offset)
    used = taps[weights != 0]
    first, last = int(used.min()), int(used.max())
    inside = np.clip(taps, first, last)  # taps of zero weight may lie outside
    return _dense(inside - first, weights, last - first + 1), first


def _taps(
    hr_size: int,
    ratio: Fraction,
    rows: NDArray[np.intp],
    kernel: Kernel,
    support: float,
    normalise: bool,
    offset: float,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the columns that each row uses, folded at the borders, and their weights."""
    centres = (rows + 0.5) * float(ratio) - 0.5 + offset
    first = np.floor(centres - support / 2).astype(int)
    taps = first[:, None] + np.arange(ceil(support) + 2)
    weights = kernel(centres[:, None] - taps)
    weights[np.abs(weights) <= ROUNDING * np.abs(weights).max()] = 0  # rounding is not support
    if normalise:
        weights /= weights.sum(axis=1, keepdims=True)
    folded = np.mod(taps, 2 * hr_size)
    return np.where(folded < hr_size, folded, 2 * hr_size - 1 - folded), weights


def _dense(taps: NDArray[np.intp], weights: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    matrix = np.zeros((len(taps), columns))
    np.add.at(matrix, (np.arange(len(taps))[:, None], taps), weights)
    return matrix


def upsampling_matrix(lr_size: int, hr_size: int, shift: float = 0.0) -> NDArray[np.float64]:
    """Return the bicubic interpolation ``(hr_size, lr_size)`` in MATLAB's `imresize` convention.

    LR pixels lie `shift` LR pixels further along the axis than the HR pixels under them.
    """
    ratio = Fraction(lr_size, hr_size)
    return response_matrix(lr_size, ratio, hr_size, keys_cubic, 4.0, offset=-shift)


def sampled_kernel(profile: NDArray[np.float64]) -> tuple[Kernel, float]:
    """Return the kernel of a profile sampled at unit spacing: linear between samples, zero outside."""
    positions = np.arange(profile.size) - (profile.size - 1) / 2
    padded = np.concatenate([[positions[0] - 1], positions, [positions[-1] + 1]])
    values = np.concatenate([[0.0], profile, [0.0]])

    # the matrix asks for kernel(centre - tap); a PSF array runs along the taps
    return (lambda x: np.interp(-x, padded, values, left=0, right=0)), float(profile.size + 1)
