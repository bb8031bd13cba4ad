"""Random fields that are functions of the seed and the absolute position: noise and brick patterns.

Lattice points are hashed (splitmix64, Steele et al. 2014), and everything is elementwise: a value
does not depend on the window it is computed in. No spectra and no land cover here.

>>> y, x = np.arange(40.0), np.arange(30.0)
>>> whole = fractal(7, y, x, period=12)
>>> bool((whole[10:20, 5:9] == fractal(7, y[10:20], x[5:9], period=12)).all())
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
    """Return 64 random bits for each combination of integers.

    Parameters
    ----------
    key : int
        Key of the purpose.
    *values : int or array of int
        The integers, broadcast against each other.
    """
    state = np.asarray(key % 2**64, np.uint64)
    for value in values:
        state = _continued(state, value)
    return state


def uniform(key: int, *values: NDArray[np.integer] | int) -> Field:
    """Return random numbers in [0, 1), see `hashed`."""
    return _unit(hashed(key, *values))


def _unit(bits: Bits) -> Field:
    return np.asarray((bits >> np.uint64(11)).astype(np.int64) * 2.0**-53)


def _continued(state: Bits, value: NDArray[np.integer] | int) -> Bits:
    """Return the hash of one more integer: ``hashed(k, a, b)`` continues ``hashed(k, a)`` with b."""
    state = state ^ np.asarray(value).astype(np.uint64, copy=False)
    with np.errstate(over="ignore"):
        state += np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(30)
        state *= np.uint64(0xBF58476D1CE4E5B9)
        state ^= state >> np.uint64(27)
        state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return np.asarray(state)


def value_noise(key: int, y: Field, x: Field) -> Field:
    """Compute smooth noise in [-1, 1] over a lattice of unit spacing.

    Each lattice point is hashed once, and interpolated along x once for all rows that share it.

    Parameters
    ----------
    key : int
        Key of the purpose.
    y, x : (height,), (width,)
        Rows and columns of the grid.
    """
    rows, row, v = _cells(y)
    columns, column, u = _cells(x)
    points = 2 * uniform(key, rows[:, None], columns)
    lines = (1 - u) * points[:, column] + u * points[:, column + 1]
    noise, bottom = lines[row], lines[row + 1]
    noise *= (1 - v)[:, None]
    bottom *= v[:, None]
    noise += bottom
    noise -= 1
    return noise


def _cells(t: Field) -> tuple[NDArray[np.int64], NDArray[np.int64], Field]:
    """Return lattice points around the positions, each position's point among them, and its weight."""
    floor = np.floor(t)
    whole = floor.astype(np.int64)
    points = np.arange(whole.min(), whole.max() + 2)
    return points, whole - points[0], _smooth(t - floor)


def fractal(key: int, y: Field, x: Field, period: float, octaves: int = 4, gain: float = 0.55) -> Field:
    """Sum octaves of value noise from `period` pixels downwards, with about unit variance.

    Parameters
    ----------
    key : int
        Key of the purpose.
    y : (height,)
        Positions of the grid's rows.
    x : (width,)
        Positions of its columns.
    period : float
        Spacing of the first octave's lattice in pixels, halved for each further octave.
    octaves : int
        Number of octaves.
    gain : float
        Amplitude of an octave relative to the octave before.

    Returns
    -------
    (height, width)
    """
    total = np.zeros((y.size, x.size))
    for octave in range(octaves):
        scale = 2**octave / period
        shift = octave * OCTAVE_SHIFT
        noise = value_noise(key + octave, y * scale + shift, x * scale + shift)
        noise *= gain**octave
        total += noise
    total *= 2.4
    total *= np.sqrt((1 - gain**2) / (1 - gain ** (2 * octaves)))
    return total


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
    """Cut rows of uneven height into bricks of uneven width.

    Parameters
    ----------
    key : int
        Key of the purpose.
    y, x : array
        Positions.
    height, width : float
        Mean size of a brick.
    jitter : float
        Displacement of an edge relative to the mean size, below 0.5.
    wall : int or array of int
        Number of the pattern that a position lies in.
    """
    row, y0, y1 = _strip(key, y / height, jitter, wall, 0)
    col, x0, x1 = _strip(key + 1, x / width, jitter, wall, row)
    identity = hashed(key + 2, wall, row, col)
    return Bricks(identity, y - y0 * height, x - x0 * width, (y1 - y0) * height, (x1 - x0) * width)


def _strip(
    key: int, t: Field, jitter: float, wall: Bits | int, line: NDArray[np.int64] | int
) -> tuple[NDArray[np.int64], Field, Field]:
    """Return number, start and end of the interval between jittered integers that holds t."""
    state = np.broadcast_to(hashed(key, wall, line), t.shape)

    def boundary(state: Bits, k: NDArray[np.int64]) -> Field:
        return np.asarray(k + jitter * (2 * _unit(_continued(state, k)) - 1))

    k = np.floor(t).astype(np.int64)
    start, end = boundary(state, k), boundary(state, k + 1)
    before, after = t < start, t >= end
    end[before], start[after] = start[before], end[after]
    k[before] -= 1
    k[after] += 1
    start[before] = boundary(state[before], k[before])
    end[after] = boundary(state[after], k[after] + 1)
    return k, start, end


def _smooth(t: Field) -> Field:
    return t * t * t * (t * (6 * t - 15) + 10)
