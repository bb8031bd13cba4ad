"""Exact fusion with a Gaussian prior in a spectral subspace.

Minimises ``sum_b ||X - H(A) E||^2 / sh_b^2 + sum_i ||Y - (A E) R^T||^2 / sm_i^2 + <A - V, (A - V) W>``
over A. A generalised eigenproblem decouples the d coefficients; in each of them the LR-HSI corrects
what the HR-MSI and the prior say, by ``H^T (H H^T + 1/g)^-1`` of what H leaves unexplained: a system
on the LR grid, diagonal in the eigenvectors of the row and column matrices where H is separable. (For
circulant H the same problem is solved by FFT in R-FUSE, Wei, Dobigeon and Tourneret 2015.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.subspace.basis import Subspace, coefficient_precision

ITERATIONS = 200  # at most, for responses that are not separable
TOLERANCE = 1e-9  # relative residual at which they are solved


class LowResolutionSystem:
    """``(H H^T + 1/g_k) U_k = rhs_k`` on the LR grid, for each of d gains.

    Parameters
    ----------
    operator : SpatialOperator
        H.
    gains : (d,)
        g, positive: what the LR-HSI knows over what is known without it.
    """

    def __init__(self, operator: SpatialOperator, gains: NDArray[np.float64]) -> None:
        self.operator = operator
        self.ridge = 1 / gains[:, None, None]
        power_y, self.rows = np.linalg.eigh(operator.rows[0] @ operator.rows[0].T)
        power_x, self.cols = np.linalg.eigh(operator.cols[0] @ operator.cols[0].T)
        self.power = np.outer(power_y, power_x).clip(min=0) + self.ridge

    def apply(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """The left-hand side for images ``(d, h, w)``."""
        return self.operator.forward(self.operator.adjoint(image)) + self.ridge * image

    def solve(self, rhs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Images ``(d, h, w)``: exact, or to `TOLERANCE` by conjugate gradients."""
        solution = self._solve_first_term(rhs)
        if self.operator.separable:
            return solution
        residual = rhs - self.apply(solution)
        direction = preconditioned = self._solve_first_term(residual)
        power = np.vdot(residual, preconditioned)
        goal = TOLERANCE * np.linalg.norm(rhs)
        for _ in range(ITERATIONS):
            if np.linalg.norm(residual) <= goal:
                break
            image = self.apply(direction)
            step = power / np.vdot(direction, image)
            solution = solution + step * direction
            residual = residual - step * image
            preconditioned = self._solve_first_term(residual)
            power, previous = np.vdot(residual, preconditioned), power
            direction = preconditioned + power / previous * direction
        return solution

    def _solve_first_term(self, rhs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rotate, divide and rotate back, as if H had its first separable term only."""
        rotated = self.rows.T @ rhs @ self.cols / self.power
        return self.rows @ rotated @ self.cols.T


@dataclass(frozen=True)
class DataTerms:
    """The two data terms of a fusion as functions of the coefficients A.

    Attributes
    ----------
    operator : SpatialOperator
        H.
    coefficients : (d, h, w)
        Of the LR-HSI, by least squares.
    by_hsi : (d, d)
        Precision that each LR pixel gives to H(A): ``E Sh^-1 E^T``.
    hr_msi : (c, H, W)
    seen : (d, c)
        ``E R^T``.
    by_msi : (d, c)
        ``E R^T Sm^-1``.
    """

    operator: SpatialOperator
    coefficients: NDArray[np.float64]
    by_hsi: NDArray[np.float64]
    hr_msi: NDArray[np.float32]
    seen: NDArray[np.float64]
    by_msi: NDArray[np.float64]


def data_terms(observation: Observation, basis: NDArray[np.float64]) -> DataTerms:
    """The data terms of an observation without no-data, in a basis ``(d, C)`` of full rank."""
    seen = basis @ observation.spectral_response.T
    return DataTerms(
        observation.operator,
        coefficients_of(observation, basis),
        coefficient_precision(basis, observation.sigma_hsi),
        observation.hr_msi,
        seen,
        seen / observation.sigma_msi**2,
    )


class GaussianFusion:
    """The fusion problem of the module's docstring for one precision and any number of means.

    Parameters
    ----------
    terms : DataTerms
    precision : (d, d)
        W, symmetric positive definite.
    """

    def __init__(self, terms: DataTerms, precision: NDArray[np.float64]) -> None:
        # in the eigenvectors B of the pencil, what is known without the LR-HSI has unit precision
        gains, vectors = eigh(terms.by_hsi, terms.by_msi @ terms.seen.T + precision)
        self.terms, self.operator, self.vectors = terms, terms.operator, vectors
        self.system = LowResolutionSystem(terms.operator, gains)
        self.prior = vectors.T @ precision

    @cached_property
    def seen(self) -> NDArray[np.float64]:
        """What the HR-MSI says ``(d, H, W)``."""
        return np.tensordot(self.vectors.T @ self.terms.by_msi, self.terms.hr_msi, axes=1)

    @cached_property
    def measured(self) -> NDArray[np.float64]:
        """What the LR-HSI says ``(d, h, w)``."""
        coefficients = self.terms.coefficients
        flat = coefficients.reshape(len(coefficients), -1)
        return np.linalg.solve(self.vectors, flat).reshape(coefficients.shape)

    def solve(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """The minimiser A ``(d, H, W)`` for a mean V of the same shape."""
        known = self.seen + np.tensordot(self.prior, mean, axes=1)
        unexplained = self.measured - self.operator.forward(known)
        known += self.operator.adjoint(self.system.solve(unexplained))
        return np.tensordot(self.vectors, known, axes=1)

    def invert(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of the problem's precision, ``H^T Sh H + Sm + W``, times an image ``(d, H, W)``."""
        known = np.tensordot(self.vectors.T, image, axes=1)
        known -= self.operator.adjoint(self.system.solve(self.operator.forward(known)))
        return np.tensordot(self.vectors, known, axes=1)


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
        E, of full rank.
    mean : (d, H, W)
        V.
    precision : (d, d)
        W, symmetric positive definite.

    Returns
    -------
    (d, H, W) float64
    """
    return GaussianFusion(data_terms(observation, basis), precision).solve(mean)


def coefficients_of(observation: Observation, basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares coefficients ``(d, h, w)`` of the LR-HSI on a basis, weighted by its noise."""
    return np.tensordot(Subspace.of(basis, observation.sigma_hsi).projection, observation.lr_hsi, axes=1)
