"""Farthest-point sampling (Gonzalez 1985): a few points that represent what differs most among many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def farthest_points(points: NDArray[np.float64], first: int, count: int) -> list[int]:
    """Indices of points ``(n, k)``, each the farthest from those before; fewer where points coincide.

    >>> farthest_points(np.array([[0.0], [1.0], [5.0], [5.0]]), 0, 4)
    [0, 2, 1]
    """
    chosen = [first]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        if distance.max() == 0:
            break
        chosen.append(int(np.argmax(distance)))
    return chosen
