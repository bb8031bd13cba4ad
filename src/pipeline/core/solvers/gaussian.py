"""Exact fusion with a Gaussian prior in a spectral subspace.

Minimises ``sum_b ||X - H(A) E||^2 / sh_b^2 + sum_i ||Y - (A E) R^T||^2 / sm_i^2 + <A - V, (A - V) W>``
over the coefficients A. A generalised eigenproblem decouples the d coefficients. For each of them, the
solution is the estimate from the HR-MSI and the prior plus a correction by the LR-HSI,
``H^T (H H^T + 1/g)^-1`` applied to the difference between the LR-HSI and H of that estimate. The system is
on the LR grid, and it is diagonal in the eigenvectors of the row and column matrices if H is separable. (For
circulant H, R-FUSE solves the same problem by FFT: Wei, Dobigeon and Tourneret 2015.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.solvers.conjugate_gradients import conjugate_gradients
from pipeline.core.subspace.basis import Subspace, coefficient_precision

ITERATIONS = 200  # at most, for responses that are not separable
WEIGHTED_ITERATIONS = 400  # at most, for images with missing values
WEIGHTED_TOLERANCE = 1e-10  # of their relative residual: the solution is then exact to about 1e-6
TOLERANCE = 1e-9  # relative residual: rounding of float32 products stays well above it


class LowResolutionSystem:
    """The systems ``(H H^T + 1/g_k) U_k = rhs_k`` on the LR grid, one for each of d gains.

    Parameters
    ----------
    operator : SpatialOperator
        H.
    gains : (d,)
        g, positive: precision that the LR-HSI adds to each coefficient, in units of the precision without it.
    """

    def __init__(self, operator: SpatialOperator, gains: NDArray[np.float64]) -> None:
        self.operator = operator
        self.ridge = 1 / gains[:, None, None]
        power_y, self.rows = np.linalg.eigh(operator.rows[0] @ operator.rows[0].T)
        power_x, self.cols = np.linalg.eigh(operator.cols[0] @ operator.cols[0].T)
        # the eigenvalues of H H^T are not negative; rounding may make them so
        self.power = np.outer(power_y, power_x).clip(min=0) + self.ridge

    def apply(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Multiply the systems with images ``(d, h, w)``."""
        return self.operator.forward(self.operator.adjoint(image)) + self.ridge * image

    def solve(self, rhs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Solve for images ``(d, h, w)``: exactly if H is separable, else to `TOLERANCE`."""
        solution = self._solve_first_term(rhs)
        if self.operator.separable:
            return solution
        return conjugate_gradients(
            self.apply, self._solve_first_term, rhs, solution, ITERATIONS, tolerance=TOLERANCE
        )

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
        Least-squares coefficients of the LR-HSI.
    by_hsi : (d, d)
        Precision that each LR pixel gives to H(A): ``E Sh^-1 E^T``.
    hr_msi : (c, H, W)
        Y.
    basis_msi : (d, c)
        ``E R^T``: basis projected onto the MSI bands.
    by_msi : (d, c)
        ``E R^T Sm^-1``: basis projected onto the MSI bands, divided by their noise variances.
    """

    operator: SpatialOperator
    coefficients: NDArray[np.float64]
    by_hsi: NDArray[np.float64]
    hr_msi: NDArray[np.float32]
    basis_msi: NDArray[np.float64]
    by_msi: NDArray[np.float64]

    weighted: ClassVar[bool] = False
    """Whether values are missing, so that the closed form is an approximation."""

    def apply(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Multiply the precision of the data terms with an image ``(d, H, W)``."""
        coarse = np.tensordot(self.by_hsi, self.operator.forward(image), axes=1)
        return self.operator.adjoint(coarse) + np.tensordot(self.precision_msi, image, axes=1)

    @cached_property
    def precision_msi(self) -> NDArray[np.float64]:
        """Precision ``(d, d)`` that the HR-MSI gives to each HR pixel."""
        return self.by_msi @ self.basis_msi.T

    @cached_property
    def rhs(self) -> NDArray[np.float64]:
        """Right-hand side ``(d, H, W)`` of the normal equations of the data terms."""
        from_hsi = np.tensordot(self.by_hsi, self.coefficients, axes=1)
        return self.operator.adjoint(from_hsi) + np.tensordot(self.by_msi, self.hr_msi, axes=1)

    def noise(
        self, coarse: NDArray[np.floating], fine: NDArray[np.floating], sigma_msi: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Turn white noise into noise ``(d, H, W)`` whose covariance is the precision of the data terms.

        Parameters
        ----------
        coarse : (d, h, w)
            White noise on the LR grid.
        fine : (c, H, W)
            White noise on the HR grid.
        sigma_msi : (c,)
            Noise standard deviations of the HR-MSI.
        """
        noise = self.operator.adjoint(np.tensordot(np.linalg.cholesky(self.by_hsi), coarse, axes=1))
        return noise + np.tensordot(self.by_msi * sigma_msi, fine, axes=1)


def data_terms(observation: Observation, basis: NDArray[np.float64]) -> DataTerms:
    """Form the data terms of an observation in a basis.

    Parameters
    ----------
    observation : Observation
        The images, without no-data.
    basis : (d, C)
        E, of full rank.
    """
    basis_msi = basis @ observation.spectral_response.T
    return DataTerms(
        observation.operator,
        coefficients_of(observation, basis),
        coefficient_precision(basis, observation.sigma_hsi),
        observation.hr_msi,
        basis_msi,
        basis_msi / observation.sigma_msi**2,
    )


class GaussianFusion:
    """The fusion problem of the module's docstring for one prior precision W and any number of means V.

    Parameters
    ----------
    terms : DataTerms
        The data terms.
    precision : (d, d)
        W, symmetric positive definite.
    """

    def __init__(self, terms: DataTerms, precision: NDArray[np.float64]) -> None:
        # the eigenvectors B of the pencil make the precision without the LR-HSI the identity and the
        # LR-HSI's diagonal, so that the coefficients are independent of each other
        gains, vectors = eigh(terms.by_hsi, terms.precision_msi + precision)
        self.terms, self.operator, self.vectors, self.precision = terms, terms.operator, vectors, precision
        self.system = LowResolutionSystem(terms.operator, gains)
        self.prior = vectors.T @ precision

    @cached_property
    def from_msi(self) -> NDArray[np.float64]:
        """Contribution of the HR-MSI ``(d, H, W)`` to the estimate without the LR-HSI."""
        return np.tensordot(self.vectors.T @ self.terms.by_msi, self.terms.hr_msi, axes=1)

    @cached_property
    def from_hsi(self) -> NDArray[np.float64]:
        """Coefficients of the LR-HSI ``(d, h, w)`` in the rotated coordinates."""
        coefficients = self.terms.coefficients
        flat = coefficients.reshape(len(coefficients), -1)
        return np.linalg.solve(self.vectors, flat).reshape(coefficients.shape)

    def solve(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the minimiser A ``(d, H, W)`` for a mean V of the same shape.

        Without missing values it is exact, up to the tolerance of a response that is not separable. With
        missing values, conjugate gradients start from the closed form of the images as they were completed.
        """
        closed = self.closed_form(mean)
        if not self.terms.weighted:
            return closed
        # of the difference from the mean: where the prior is so sharp that W V would overflow, it is zero
        rhs = self.terms.rhs - self.terms.apply(mean)
        return mean + conjugate_gradients(
            self.apply, self.invert, rhs, closed - mean, WEIGHTED_ITERATIONS, tolerance=WEIGHTED_TOLERANCE
        )

    def apply(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Multiply the precision of the data terms and of the prior with an image ``(d, H, W)``."""
        return self.terms.apply(image) + np.tensordot(self.precision, image, axes=1)

    def closed_form(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the minimiser for the images as they were completed, all values with their weight."""
        estimate = self.from_msi + np.tensordot(self.prior, mean, axes=1)
        unexplained = self.from_hsi - self.operator.forward(estimate)
        estimate += self.operator.adjoint(self.system.solve(unexplained))
        return np.tensordot(self.vectors, estimate, axes=1)

    def invert(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Multiply an image ``(d, H, W)`` with the inverse of the precision ``H^T Sh H + Sm + W``.

        The precision is that of images without missing values.
        """
        estimate = np.tensordot(self.vectors.T, image, axes=1)
        estimate -= self.operator.adjoint(self.system.solve(self.operator.forward(estimate)))
        return np.tensordot(self.vectors, estimate, axes=1)


def coefficients_of(observation: Observation, basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the noise-weighted least-squares coefficients ``(d, h, w)`` of the LR-HSI.

    Parameters
    ----------
    observation : Observation
        The LR-HSI and its noise levels.
    basis : (d, C)
        E, of full rank.
    """
    return np.tensordot(Subspace.of(basis, observation.sigma_hsi).projection, observation.lr_hsi, axes=1)
