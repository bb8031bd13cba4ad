"""Exact fusion with a Gaussian prior in a spectral subspace.

Minimises ``sum_b ||X - H(A) E||^2 / sh_b^2 + sum_i ||Y - (A E) R^T||^2 / sm_i^2 + <A - V, (A - V) W>``
over A without iterating when H is separable: both row and column matrices are diagonalised by
their singular vectors and the d x d couplings by a generalised eigenproblem. (For circulant H the
same problem is solved by FFT in R-FUSE, Wei, Dobigeon and Tourneret 2015.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from pipeline.core.observation import Observation
from pipeline.core.spatial import SpatialOperator

ITERATIONS = 200  # at most, for responses that are not separable
TOLERANCE = 1e-8  # relative residual at which they are solved


@dataclass(frozen=True)
class Quadratic:
    """The normal equations ``G H^T(H(A)) + (P + W) A = rhs`` of the fusion problem.

    Attributes
    ----------
    operator : SpatialOperator
        H.
    gram : (d, d)
        G, of the basis in units of the HSI's noise.
    local : (d, d)
        P + W, what acts on each HR pixel alone.
    """

    operator: SpatialOperator
    gram: NDArray[np.float64]
    local: NDArray[np.float64]

    def apply(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """The left-hand side for coefficients ``(d, H, W)``."""
        blurred = self.operator.adjoint(self.operator.forward(coefficients))
        return np.tensordot(self.gram, blurred, axes=1) + np.tensordot(self.local, coefficients, axes=1)

    def solve(self, rhs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coefficients ``(d, H, W)``: exact, or to `TOLERANCE` by conjugate gradients."""
        separable = SeparableInverse(self)
        if self.operator.separable:
            return separable.apply(rhs)
        solution = separable.apply(rhs)
        residual = rhs - self.apply(solution)
        direction = preconditioned = separable.apply(residual)
        power = np.vdot(residual, preconditioned)
        goal = TOLERANCE * np.linalg.norm(rhs)
        for _ in range(ITERATIONS):
            if np.linalg.norm(residual) <= goal:
                break
            image = self.apply(direction)
            step = power / np.vdot(direction, image)
            solution = solution + step * direction
            residual = residual - step * image
            preconditioned = separable.apply(residual)
            power, previous = np.vdot(residual, preconditioned), power
            direction = preconditioned + power / previous * direction
        return solution


class SeparableInverse:
    """The exact inverse of a `Quadratic` whose H is its first separable term."""

    def __init__(self, problem: Quadratic) -> None:
        _, rows_s, rows_vt = np.linalg.svd(problem.operator.rows[0])
        _, cols_s, cols_vt = np.linalg.svd(problem.operator.cols[0])
        self.rows, self.cols = rows_vt, cols_vt
        gains, self.bands = eigh(problem.gram, problem.local)
        power_y, power_x = (
            np.pad(s**2, (0, len(vt) - len(s))) for s, vt in ((rows_s, rows_vt), (cols_s, cols_vt))
        )
        self.shrink = 1 / (1 + gains[:, None, None] * np.outer(power_y, power_x))

    def apply(self, rhs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotate, divide and rotate back ``(d, H, W)``."""
        rotated = np.tensordot(self.bands.T, self.rows @ rhs @ self.cols.T, axes=1)
        return np.tensordot(self.bands, self.rows.T @ (rotated * self.shrink) @ self.cols, axes=1)


def fuse_gaussian(
    observation: Observation,
    basis: NDArray[np.float64],
    mean: NDArray[np.float64],
    precision: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The minimiser A of the fusion problem (see the module's docstring).

    Parameters
    ----------
    observation : Observation
        Without no-data; gives X, Y, H, R and the noise levels.
    basis : (d, C)
        E.
    mean : (d, H, W)
        V.
    precision : (d, d)
        W, symmetric positive definite.

    Returns
    -------
    (d, H, W) float64
    """
    by_hsi = basis / observation.sigma_hsi**2
    seen = basis @ observation.spectral_response.T
    by_msi = seen / observation.sigma_msi**2
    problem = Quadratic(observation.operator, by_hsi @ basis.T, by_msi @ seen.T + precision)
    rhs = (
        observation.operator.adjoint(np.tensordot(by_hsi, observation.lr_hsi, axes=1))
        + np.tensordot(by_msi, observation.hr_msi, axes=1)
        + np.tensordot(precision, mean, axes=1)
    )
    return problem.solve(rhs)
