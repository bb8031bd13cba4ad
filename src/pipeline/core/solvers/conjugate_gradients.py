"""Preconditioned conjugate gradients for symmetric positive definite systems.

>>> matrix = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
>>> rhs = torch.tensor([1.0, 2.0], dtype=torch.float64)
>>> solution = conjugate_gradients(lambda x: matrix @ x, torch.clone, rhs, torch.zeros_like(rhs), steps=2)
>>> torch.allclose(matrix @ solution, rhs)
True
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.core.solvers.engine import Engine

ROUNDINGS = 8  # relative residual, in units of the number type's resolution, that rounding leaves


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    rhs: Tensor,
    start: Tensor,
    steps: int,
    tolerance: float | None = None,
) -> Tensor:
    """Take steps towards the solution of ``apply(x) = rhs``.

    Parameters
    ----------
    apply : callable
        The system: linear, symmetric and positive definite.
    precondition : callable
        Approximate inverse of the system, with the same properties.
    rhs : tensor
        Right-hand side, of any shape that `apply` keeps.
    start : tensor
        First estimate of the solution.
    steps : int
        Number of steps; with a tolerance, their largest number.
    tolerance : float, optional
        Norm of the residual, relative to that of `rhs`, at which to stop, though not below what rounding
        allows. Without it all steps are taken: a stopping rule looks at the whole image, so that a pixel's
        value would depend on the image's extent.

    Returns
    -------
    tensor
        The last estimate.
    """
    goal = None
    if tolerance is not None:
        goal = max(tolerance, ROUNDINGS * Engine.of(rhs).resolution) * torch.linalg.vector_norm(rhs)
    solution, residual = start, rhs - apply(start)
    direction = preconditioned = precondition(residual)
    power = inner(residual, preconditioned)
    for _ in range(steps):
        if goal is not None and torch.linalg.vector_norm(residual) <= goal:
            break
        image = apply(direction)
        step = ratio(power, inner(direction, image))
        solution = solution + step * direction
        residual = residual - step * image
        preconditioned = precondition(residual)
        power, previous = inner(residual, preconditioned), power
        direction = preconditioned + ratio(power, previous) * direction
    return solution


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of two tensors, summed in float64 and left on their device."""
    return (a * b).sum(dtype=torch.float64)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """Divide numbers; 0 where the divisor is not positive, as when a system has been solved exactly."""
    return torch.where(b > 0, a / b, 0.0)
