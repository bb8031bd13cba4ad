"""Random fields that are functions of the seed and the absolute position: noise and brick patterns.

Lattice points are hashed (splitmix64, Steele et al. 2014), and everything is elementwise: a value
does not depend on the window it is computed in. No spectra and no land cover here.

>>> y, x = np.mgrid[0:40.0, 0:30.0]
>>> whole = fractal(7, y, x, period=12)
>>> bool((whole[10:20, 5:9] == fractal(7, y[10:20, 5:9], x[10:20, 5:9], period=12)).all())
True
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Bits = NDArray[np.uint64]

OCTAVE_SHIFT = 1013  # lattice points between the octaves' origins, so that they do not align


def hashed(key: int, *values: NDArray[np.integer] | int) -> Bits:
    """64 random bits for each combination of integers, broadcast against each other."""
    state = np.asarray(key % 2**64, np.uint64)
    for value in values:
        state = _mixed(state ^ np.asarray(value).astype(np.uint64))
    return state


def uniform(key: int, *values: NDArray[np.integer] | int) -> Field:
    """Uniform in [0, 1)."""
    return np.asarray((hashed(key, *values) >> np.uint64(11)) * 2.0**-53)


def _mixed(state: Bits) -> Bits:
    with np.errstate(over="ignore"):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))


def value_noise(key: int, y: Field, x: Field) -> Field:
    """Smooth noise in [-1, 1] over a lattice of unit spacing."""
    row, col = np.floor(y), np.floor(x)
    v, u = _smooth(y - row), _smooth(x - col)
    iy, ix = row.astype(np.int64), col.astype(np.int64)
    top = (1 - u) * uniform(key, iy, ix) + u * uniform(key, iy, ix + 1)
    bottom = (1 - u) * uniform(key, iy + 1, ix) + u * uniform(key, iy + 1, ix + 1)
    return 2 * ((1 - v) * top + v * bottom) - 1


def fractal(key: int, y: Field, x: Field, period: float, octaves: int = 4, gain: float = 0.55) -> Field:
    """Octaves of value noise from `period` pixels downwards, with about unit variance."""
    total = np.zeros(np.broadcast_shapes(y.shape, x.shape))
    for octave in range(octaves):
        scale = 2**octave / period
        shift = octave * OCTAVE_SHIFT
        total += gain**octave * value_noise(key + octave, y * scale + shift, x * scale + shift)
    return np.asarray(total * 2.4 * np.sqrt((1 - gain**2) / (1 - gain ** (2 * octaves))))


@dataclass(frozen=True)
class Bricks:
    """The brick of a wall of rectangles that each position lies in.

    Attributes
    ----------
    id : uint64
        Random and its own for each brick.
    y, x : float64
        Position relative to the brick's upper left corner.
    height, width : float64
        Size of the brick.
    """

    id: Bits
    y: Field
    x: Field
    height: Field
    width: Field

    @property
    def edge(self) -> Field:
        """Distance to the nearest edge."""
        vertical = np.minimum(self.y, self.height - self.y)
        return np.asarray(np.minimum(vertical, np.minimum(self.x, self.width - self.x)))


def bricks(
    key: int, y: Field, x: Field, height: float, width: float, jitter: float, wall: Bits | int = 0
) -> Bricks:
    """Rows of uneven height, cut into bricks of uneven width (`jitter` below 0.5).

    Positions with another `wall` lie in another pattern.
    """
    row, y0, y1 = _strip(key, y / height, jitter, wall, 0)
    col, x0, x1 = _strip(key + 1, x / width, jitter, wall, row)
    identity = hashed(key + 2, wall, row, col)
    return Bricks(identity, y - y0 * height, x - x0 * width, (y1 - y0) * height, (x1 - x0) * width)


def _strip(
    key: int, t: Field, jitter: float, wall: Bits | int, line: NDArray[np.int64] | int
) -> tuple[NDArray[np.int64], Field, Field]:
    """Number, start and end of the interval between jittered integers that holds t."""

    def boundary(k: NDArray[np.int64]) -> Field:
        return np.asarray(k + jitter * (2 * uniform(key, wall, line, k) - 1))

    k = np.floor(t).astype(np.int64)
    k = np.where(t < boundary(k), k - 1, np.where(t >= boundary(k + 1), k + 1, k))
    return k, boundary(k), boundary(k + 1)


def _smooth(t: Field) -> Field:
    return t * t * t * (t * (6 * t - 15) + 10)
