"""Preconditioned conjugate gradients for symmetric positive definite systems.

>>> matrix = torch.tensor([[4.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
>>> rhs = torch.tensor([1.0, 2.0], dtype=torch.float64)
>>> solution = conjugate_gradients(lambda x: matrix @ x, torch.clone, rhs, torch.zeros_like(rhs), steps=2)
>>> torch.allclose(matrix @ solution, rhs)
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.core.solvers.engine import Engine

ROUNDINGS = 8  # relative residual, in units of the number type's resolution, that rounding leaves
FEWEST_STEPS = 4  # before convergence is looked at

LinearMap = Callable[[Tensor], Tensor]


class Iterate(NamedTuple):
    """An estimate of the solution.

    Attributes
    ----------
    solution : tensor
        x.
    residual : tensor
        ``rhs - apply(x)``.
    gain : tensor
        By how much the last step brought x nearer to the solution: decrease of
        ``(x - solution)^T apply(x - solution)``.
    """

    solution: Tensor
    residual: Tensor
    gain: Tensor


def iterates(apply: LinearMap, precondition: LinearMap, rhs: Tensor, start: Tensor) -> Iterator[Iterate]:
    """Yield the start of the iteration and then, without end, the estimate after each step.

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
    """
    solution, residual = start, rhs - apply(start)
    direction = preconditioned = precondition(residual)
    power = inner(residual, preconditioned)
    yield Iterate(solution, residual, torch.zeros_like(power))
    while True:
        image = apply(direction)
        step = ratio(power, inner(direction, image))
        solution = solution + step * direction
        residual = residual - step * image
        yield Iterate(solution, residual, step * power)
        preconditioned = precondition(residual)
        power, previous = inner(residual, preconditioned), power
        direction = preconditioned + ratio(power, previous) * direction


def conjugate_gradients(
    apply: LinearMap,
    precondition: LinearMap,
    rhs: Tensor,
    start: Tensor,
    steps: int,
    tolerance: float | None = None,
) -> Tensor:
    """Take steps towards the solution of ``apply(x) = rhs``.

    Parameters
    ----------
    apply, precondition, rhs, start
        As for `iterates`.
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
    goal = None if tolerance is None else _smallest(rhs, tolerance)
    for iterate in islice(iterates(apply, precondition, rhs, start), steps + 1):
        if goal is not None and torch.linalg.vector_norm(iterate.residual) <= goal:
            break
    return iterate.solution


def _smallest(rhs: Tensor, tolerance: float = 0.0) -> Tensor:
    """Return the norm of the residual at a tolerance, or what rounding leaves if that is more."""
    return max(tolerance, ROUNDINGS * Engine.of(rhs).resolution) * torch.linalg.vector_norm(rhs)


class Settled(NamedTuple):
    """How many steps a solution needs.

    Attributes
    ----------
    steps : int
        Number of steps.
    reached : bool
        Whether so many steps bring the iteration near enough.
    """

    steps: int
    reached: bool


def settle(
    apply: LinearMap, precondition: LinearMap, rhs: Tensor, start: Tensor, distance: float, most: int
) -> Settled:
    """Find how many steps bring the iteration near to the solution.

    The squared distance of an estimate, ``(x - solution)^T apply(x - solution)``, is the sum of the gains of
    all further steps (Hestenes and Stiefel 1952). What lies beyond the last step is taken to be as much as
    the last half of the steps gained. If rounding spoils the steps, so that they did not gain what they
    should have, there are none.

    Parameters
    ----------
    apply, precondition, rhs, start
        As for `iterates`.
    distance : float
        Squared distance to reach.
    most : int
        Largest number of steps.
    """
    gains: list[float] = []
    smallest, reached = _smallest(rhs), False
    for iterate in islice(iterates(apply, precondition, rhs, start), most + 1):
        gains.append(float(iterate.gain))
        left = sum(gains[len(gains) // 2 :])
        near = len(gains) > FEWEST_STEPS and left <= distance / 2
        reached = near or bool(torch.linalg.vector_norm(iterate.residual) <= smallest)
        if reached:
            break
    moved, gained = iterate.solution - start, sum(gains)
    if gained > 0 and inner(moved, 2 * rhs - apply(start) - apply(iterate.solution)) < gained / 2:
        return Settled(0, True)
    steps = len(gains) - 1
    while steps > 1 and left + gains[steps] <= distance:
        left += gains[steps]
        steps -= 1
    return Settled(max(steps, 1), reached)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner product of two tensors, summed in float64 and left on their device."""
    return (a * b).sum(dtype=torch.float64)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """Divide numbers; 0 where the divisor is not positive, as when a system has been solved exactly."""
    return torch.where(b > 0, a / b, 0.0)
