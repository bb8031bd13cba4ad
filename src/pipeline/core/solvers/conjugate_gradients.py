"""Preconditioned conjugate gradients for symmetric positive definite systems.

>>> matrix = np.array([[4.0, 1.0], [1.0, 3.0]])
>>> solution = conjugate_gradients(matrix.__matmul__, np.copy, np.array([1.0, 2.0]), np.zeros(2), steps=2)
>>> np.allclose(matrix @ solution, [1, 2])
True
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TINY = np.finfo(np.float64).tiny


def conjugate_gradients(
    apply: Callable[[Array], Array],
    precondition: Callable[[Array], Array],
    rhs: Array,
    start: Array,
    steps: int,
    tolerance: float | None = None,
) -> Array:
    """Take steps towards the solution of ``apply(x) = rhs``.

    Parameters
    ----------
    apply : callable
        The system: linear, symmetric and positive definite.
    precondition : callable
        Approximate inverse of the system, with the same properties.
    rhs : ndarray
        Right-hand side, of any shape that `apply` keeps.
    start : ndarray
        First estimate of the solution.
    steps : int
        Number of steps; with a tolerance, their largest number.
    tolerance : float, optional
        Norm of the residual, relative to that of `rhs`, at which to stop. Without it all steps are taken:
        a stopping rule looks at the whole image, so that a pixel's value would depend on the image's extent.

    Returns
    -------
    ndarray
        The last estimate.
    """
    goal = None if tolerance is None else tolerance * np.linalg.norm(rhs)
    solution, residual = start, rhs - apply(start)
    direction = preconditioned = precondition(residual)
    power = np.vdot(residual, preconditioned)
    for _ in range(steps):
        if goal is not None and np.linalg.norm(residual) <= goal:
            break
        image = apply(direction)
        # TINY: a system solved exactly leaves nothing to divide by, and then its solution stays
        step = power / max(np.vdot(direction, image), TINY)
        solution = solution + step * direction
        residual = residual - step * image
        preconditioned = precondition(residual)
        power, previous = np.vdot(residual, preconditioned), power
        direction = preconditioned + power / max(previous, TINY) * direction
    return solution
