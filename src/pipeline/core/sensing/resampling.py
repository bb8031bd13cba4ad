"""Matrices that sample a kernel along one axis, with symmetric borders or zeros beyond them.

The convention is MATLAB's `imresize`: half-sample symmetric borders, rows that sum to 1, and Keys' cubic for
interpolation.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-12  # relative to the largest weight, below which a weight is zero
Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Ends = tuple[bool, bool]
"""Whether values are zero beyond the first pixel of an axis, and beyond its last."""
MIRRORED: Ends = (False, False)


class Profile(NamedTuple):
    """A kernel along an axis.

    Attributes
    ----------
    kernel : callable
        From distances in pixels to weights.
    support : float
        Full width of the kernel in pixels.
    normalise : bool
        Whether the weights of a pixel are scaled to a sum of 1.
    """

    kernel: Kernel
    support: float
    normalise: bool = True


def keys_cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution kernel with a = -0.5 (Keys 1981), as in MATLAB's `imresize`."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


KEYS = Profile(keys_cubic, 4.0)
"""Keys' cubic between pixels at unit spacing."""


def response_matrix(
    hr_size: int,
    ratio: Fraction,
    out_size: int,
    profile: Profile,
    offset: float = 0.0,
    zero: Ends = MIRRORED,
) -> NDArray[np.float64]:
    """Return the sampling matrix ``(out_size, hr_size)`` of a kernel, with symmetric (half-sample) borders.

    Row i is the kernel centred on ``(i + 1/2) ratio - 1/2 + offset``, folded at the borders as in MATLAB's
    `imresize`, or cut off where values beyond are zero.

    Parameters
    ----------
    hr_size : int
        Number of input pixels.
    ratio : Fraction
        Size of an output pixel in input pixels; below 1 the matrix upsamples.
    out_size : int
        Number of output pixels.
    profile : Profile
        The kernel.
    offset : float
        Offset of the kernel in input pixels.
    zero : (bool, bool)
        Whether values are zero beyond either end.
    """
    taps, weights = _taps(hr_size, ratio, np.arange(out_size), profile, offset, zero)
    return _dense(taps, weights, hr_size)


def response_rows(
    hr_size: int,
    ratio: Fraction,
    rows: NDArray[np.intp],
    profile: Profile,
    offset: float = 0.0,
    zero: Ends = MIRRORED,
) -> tuple[NDArray[np.float64], int]:
    """Return rows of `response_matrix`, over the columns that they use.

    Parameters
    ----------
    hr_size : int
        Number of input pixels.
    ratio : Fraction
        Size of an output pixel in input pixels.
    rows : (n,) int
        Output pixels.
    profile : Profile
        The kernel.
    offset : float
        Offset of the kernel in input pixels.
    zero : (bool, bool)
        Whether values are zero beyond either end.

    Returns
    -------
    matrix : (n, columns) float64
        The rows.
    first : int
        Column of the whole matrix at which they start.
    """
    taps, weights = _taps(hr_size, ratio, rows, profile, offset, zero)
    used = taps[weights != 0]
    if not used.size:  # the rows lie beyond the end
        used = np.clip(taps[:1, 0], 0, hr_size - 1)
    first, last = int(used.min()), int(used.max())
    inside = np.clip(taps, first, last)  # taps of zero weight may lie outside
    return _dense(inside - first, weights, last - first + 1), first


def _taps(
    hr_size: int, ratio: Fraction, rows: NDArray[np.intp], profile: Profile, offset: float, zero: Ends
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the columns that each row uses, folded at the borders, and their weights."""
    taps, weights = _unfolded(ratio, rows, profile, offset)
    for beyond, cut in zip((taps < 0, taps >= hr_size), zero, strict=True):
        if cut:
            weights[beyond] = 0
    folded = np.mod(taps, 2 * hr_size)
    return np.where(folded < hr_size, folded, 2 * hr_size - 1 - folded), weights


def _unfolded(
    ratio: Fraction, rows: NDArray[np.intp], profile: Profile, offset: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the positions that each row uses, which may lie outside of the image, and their weights."""
    centres = (rows + 0.5) * float(ratio) - 0.5 + offset
    first = np.floor(centres - profile.support / 2).astype(int)
    taps = first[:, None] + np.arange(ceil(profile.support) + 2)
    weights = profile.kernel(centres[:, None] - taps)
    weights[np.abs(weights) <= ROUNDING * np.abs(weights).max()] = 0  # rounding is not support
    if profile.normalise:
        weights /= weights.sum(axis=1, keepdims=True)
    return taps, weights


def weight_beyond(
    hr_size: int, ratio: Fraction, out_size: int, profile: Profile, offset: float = 0.0
) -> NDArray[np.float64]:
    """Return the share ``(2, out_size)`` of each output pixel's absolute weights beyond the two ends.

    Parameters
    ----------
    hr_size : int
        Number of input pixels.
    ratio : Fraction
        Size of an output pixel in input pixels.
    out_size : int
        Number of output pixels.
    profile : Profile
        The kernel.
    offset : float
        Offset of the kernel in input pixels.
    """
    taps, weights = _unfolded(ratio, np.arange(out_size), profile, offset)
    weights = np.abs(weights)
    beyond = [(weights * outside).sum(axis=1) for outside in (taps < 0, taps >= hr_size)]
    return np.stack(beyond) / weights.sum(axis=1)


def _dense(taps: NDArray[np.intp], weights: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    matrix = np.zeros((len(taps), columns))
    np.add.at(matrix, (np.arange(len(taps))[:, None], taps), weights)
    return matrix


def upsampling_matrix(lr_size: int, hr_size: int, shift: float = 0.0) -> NDArray[np.float64]:
    """Return the matrix ``(hr_size, lr_size)`` of bicubic interpolation, in the convention of `imresize`.

    Parameters
    ----------
    lr_size, hr_size : int
        Number of input and of output pixels.
    shift : float
        Shift of the input pixels along the axis, in input pixels.
    """
    ratio = Fraction(lr_size, hr_size)
    return response_matrix(lr_size, ratio, hr_size, KEYS, -shift)


def sampled_profile(samples: NDArray[np.float64]) -> Profile:
    """Return the profile of samples at unit spacing about its centre: linear between, zero outside."""
    positions = np.arange(samples.size) - (samples.size - 1) / 2
    padded = np.concatenate([[positions[0] - 1], positions, [positions[-1] + 1]])
    values = np.concatenate([[0.0], samples, [0.0]])

    # the matrix evaluates kernel(centre - tap), while a PSF array runs along the taps
    kernel: Kernel = lambda x: np.interp(-x, padded, values, left=0, right=0)  # noqa: E731
    return Profile(kernel, float(samples.size + 1), normalise=False)
