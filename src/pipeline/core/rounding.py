"""The scale below which a difference is rounding, for decisions on values that are zero in exact arithmetic.

Whether a band varies, two values are equal or a direction is known must not hang on the last bits of a sum,
which differ between processors, libraries and numbers of threads. Images are float32, which rounds a value by
up to 6e-8 of it, and no image is credited with less noise than 1e-6 of its root mean square
(`pipeline.core.sensing.noise.noise_floor`): a variation below that level is no information. Results of
computations in float64 are equal where they differ by less than 1e-9 of their scale, and sums over pixels
where they differ by less than 1e-13, some hundred times their rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLAT = 1e-6  # standard deviation or range, in units of an image's level, up to which it is constant
FLAT_POWER = FLAT**2  # the same for variances and mean squares
TIED = 1e-9  # difference in units of their scale below which two results of float64 are equal
SUMS = 1e-13  # the same for sums over pixels whose small differences matter


def varies(deviation: Any, level: Any) -> NDArray[np.bool_]:
    """Return where a standard deviation or range is more than rounding.

    Parameters
    ----------
    deviation : array or float
        Standard deviations or ranges.
    level : array or float
        Root mean squares or largest magnitudes of the same values.

    >>> varies(np.array([0.0, 6e-8, 1e-3]), np.array([0.0, 1.0, 1.0])).tolist()
    [False, False, True]
    """
    return np.asarray(deviation > FLAT * level)


def centred(values: Array) -> Array:
    """Subtract the mean of each row; a row that is constant up to rounding becomes zero.

    Parameters
    ----------
    values : (n, pixels)
        Bands.

    >>> centred(np.array([[1.0, 2.0, 3.0], [0.1, 0.1, 0.1 + 1e-9]])).tolist()
    [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    level = np.square(values).sum(axis=1)
    result = np.asarray(values - values.sum(axis=1, keepdims=True) / max(1, values.shape[1]))
    result[np.square(result).sum(axis=1) <= FLAT_POWER * level] = 0.0
    return result


def correlations(first: Array, second: Array) -> Array:
    """Return Pearson's correlation ``(n,)`` of rows; 0 where one of the two is constant up to rounding.

    Parameters
    ----------
    first, second : (n, pixels)
        Bands to compare, row by row.
    """
    a, b = centred(first), centred(second)
    norms = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    return np.divide((a * b).sum(axis=1), norms, out=np.zeros(len(a)), where=norms > 0)


def first_largest(values: Array, scale: float | None = None, tied: float = TIED) -> int:
    """Return the index of the largest value, or of the first value that equals it up to rounding.

    Parameters
    ----------
    values : (n,)
        Finite values.
    scale : float, optional
        Magnitude to which their errors are proportional; default: the largest value's.
    tied : float
        Difference in units of the scale below which two values are equal.

    >>> first_largest(np.array([0.3, 0.7, 0.7 + 1e-15]))
    1
    """
    scale = float(np.abs(values).max()) if scale is None else scale
    return int(np.argmax(values >= values.max() - tied * scale))


def signed(vectors: Array) -> Array:
    """Return eigenvectors or singular vectors, the rows ``(k, n)``, with signs that rounding cannot turn.

    The sum of a row is positive; where it is zero up to rounding, the first of its largest components is.

    >>> signed(np.array([[-0.6, -0.8], [0.8, -0.8]])).tolist()
    [[0.6, 0.8], [0.8, -0.8]]
    """
    total, size = vectors.sum(axis=1), np.abs(vectors)
    largest = (size >= (1 - TIED) * size.max(axis=1, keepdims=True)).argmax(axis=1)
    decisive = np.where(
        np.abs(total) > TIED * size.sum(axis=1), total, vectors[np.arange(len(vectors)), largest]
    )
    return np.asarray(vectors * np.where(decisive < 0, -1.0, 1.0)[:, None])
