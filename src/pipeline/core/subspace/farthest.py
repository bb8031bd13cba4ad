"""Farthest-point sampling (Gonzalez 1985): a few points that represent the largest differences among many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import TIED, first_largest


def farthest_points(points: NDArray[np.float64], first: int, count: int) -> list[int]:
    """Choose points, each the farthest from those already chosen; the first of equally far points.

    Parameters
    ----------
    points : (n, k)
        The points.
    first : int
        Index of the first point chosen.
    count : int
        Number of points; fewer are chosen if all others coincide with them up to rounding.

    Returns
    -------
    list of int
        Indices of the chosen points.

    >>> farthest_points(np.array([[0.0], [1.0], [5.0], [5.0]]), 0, 4)
    [0, 2, 1]
    """
    chosen, size = [first], float(np.square(points).sum(axis=1).max())
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        if distance.max() <= TIED**2 * size:
            break
        chosen.append(first_largest(distance))
    return chosen
