"""Farthest-point sampling (Gonzalez 1985): a few points that represent what differs most among many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import TIED, first_largest


def farthest_points(points: NDArray[np.float64], first: int, count: int) -> list[int]:
    """Return indices of points ``(n, k)``, each farthest from the previous ones; fewer if points coincide.

    Points coincide where they differ by rounding; of points that are equally far, the first is taken.

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
