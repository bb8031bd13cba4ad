"""Exact fusion with a Gaussian prior in a spectral subspace.

Minimises ``sum_b ||X - H(A) E||^2 / sh_b^2 + sum_i ||Y - (A E) R^T||^2 / sm_i^2 + <A - V, (A - V) W>``
over the coefficients A. A generalised eigenproblem decouples the d coefficients. For each of them, the
solution is the estimate from the HR-MSI and the prior plus a correction by the LR-HSI,
``H^T (H H^T + 1/g)^-1`` applied to the difference between the LR-HSI and H of that estimate. The system is
on the LR grid, and it is diagonal in the eigenvectors of the row and column matrices if H is separable. (For
circulant H, R-FUSE solves the same problem by FFT: Wei, Dobigeon and Tourneret 2015.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch import Tensor

from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.solvers.conjugate_gradients import conjugate_gradients
from pipeline.core.solvers.engine import DOUBLE, Engine, mixed
from pipeline.core.subspace.basis import Subspace, coefficient_precision

Array = NDArray[np.float64]

ITERATIONS = 200  # at most, for responses that are not separable
WEIGHTED_ITERATIONS = 400  # at most, for images with missing values
WEIGHTED_TOLERANCE = 1e-10  # of their relative residual: the solution is then exact to about 1e-6
TOLERANCE = 1e-9  # relative residual: rounding of the operator's factors stays well above it


@dataclass(frozen=True)
class DataTerms:
    """The two data terms of a fusion as functions of the coefficients A.

    Images are tensors on the device and in the type of the computation; matrices over bands and coefficients,
    which are small, are arrays in float64.

    Attributes
    ----------
    operator : SpatialOperator
        H, on tensors.
    coefficients : (d, h, w) tensor
        Least-squares coefficients of the LR-HSI.
    by_hsi : (d, d)
        Precision that each LR pixel gives to H(A): ``E Sh^-1 E^T``.
    hr_msi : (c, H, W) tensor
        Y.
    basis_msi : (d, c)
        ``E R^T``: basis projected onto the MSI bands.
    by_msi : (d, c)
        ``E R^T Sm^-1``: basis projected onto the MSI bands, divided by their noise variances.
    """

    operator: SpatialOperator
    coefficients: Tensor
    by_hsi: Array
    hr_msi: Tensor
    basis_msi: Array
    by_msi: Array

    weighted: ClassVar[bool] = False
    """Whether values are missing, so that the closed form is an approximation."""

    @cached_property
    def engine(self) -> Engine:
        """Device and type of the images."""
        return Engine.of(self.coefficients)

    def apply(self, image: Tensor) -> Tensor:
        """Multiply the precision of the data terms with an image ``(d, H, W)``."""
        coarse = mixed(self._of_hsi, self.operator.forward(image))
        return self.operator.adjoint(coarse) + mixed(self._of_msi, image)

    @cached_property
    def precision_msi(self) -> Array:
        """Precision ``(d, d)`` that the HR-MSI gives to each HR pixel."""
        return self.by_msi @ self.basis_msi.T

    @cached_property
    def rhs(self) -> Tensor:
        """Right-hand side ``(d, H, W)`` of the normal equations of the data terms."""
        from_hsi = self.operator.adjoint(mixed(self._of_hsi, self.coefficients))
        return from_hsi + mixed(self.engine.tensor(self.by_msi), self.hr_msi)

    def noise(self, coarse: Tensor, fine: Tensor, sigma_msi: Array) -> Tensor:
        """Turn white noise into noise ``(d, H, W)`` whose covariance is the precision of the data terms.

        Parameters
        ----------
        coarse : (d, h, w) tensor
            White noise on the LR grid.
        fine : (c, H, W) tensor
            White noise on the HR grid.
        sigma_msi : (c,)
            Noise standard deviations of the HR-MSI.
        """
        root = self.engine.tensor(np.linalg.cholesky(self.by_hsi))
        noise = self.operator.adjoint(mixed(root, coarse))
        return noise + mixed(self.engine.tensor(self.by_msi * sigma_msi), fine)

    @cached_property
    def separable(self) -> DataTerms:
        """The terms with the first separable term of H alone, whose inverses are cheap."""
        if self.operator.separable:
            return self
        return replace(self, operator=SpatialOperator(self.operator.rows[:1], self.operator.cols[:1]))

    @cached_property
    def low_resolution(self) -> LowResolution:
        """Eigenvectors of the LR grid."""
        return LowResolution(self.operator)

    @cached_property
    def _of_hsi(self) -> Tensor:
        return self.engine.tensor(self.by_hsi)

    @cached_property
    def _of_msi(self) -> Tensor:
        return self.engine.tensor(self.precision_msi)


class LowResolution:
    """Systems ``(H H^T + 1/g_k) U_k = rhs_k`` on the LR grid, one for each of d gains g.

    A gain is the precision that the LR-HSI adds to a coefficient, in units of the precision without it.

    Parameters
    ----------
    operator : SpatialOperator
        H, on tensors.
    """

    def __init__(self, operator: SpatialOperator) -> None:
        self.operator = operator
        rows, cols = operator.rows[0], operator.cols[0]
        (power_y, self.rows), (power_x, self.cols) = _eigenvectors(rows), _eigenvectors(cols)
        self.power = torch.outer(power_y, power_x).to(rows.dtype)

    def solve(self, rhs: Tensor, gains: Tensor) -> Tensor:
        """Solve for images ``(d, h, w)``: exactly if H is separable, else to `TOLERANCE`.

        Parameters
        ----------
        rhs : (d, h, w) tensor
            Right-hand sides.
        gains : (d,) tensor
            g, positive.
        """
        ridge = 1 / gains[:, None, None]

        def apply(image: Tensor) -> Tensor:
            return self.operator.forward(self.operator.adjoint(image)) + ridge * image

        def solve_first_term(image: Tensor) -> Tensor:
            rotated = self.rows.mT @ image @ self.cols / (self.power + ridge)
            return self.rows @ rotated @ self.cols.mT

        solution = solve_first_term(rhs)
        if self.operator.separable:
            return solution
        return conjugate_gradients(apply, solve_first_term, rhs, solution, ITERATIONS, tolerance=TOLERANCE)


def _eigenvectors(factor: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and eigenvectors of ``D D^T`` for a factor ``(h, H)`` of H, computed in float64."""
    double = factor.to(DOUBLE)
    power, vectors = torch.linalg.eigh(double @ double.mT)
    return power.clamp(min=0), vectors.to(factor.dtype)  # rounding may make zero negative


def data_terms(observation: Observation, basis: Array, engine: Engine) -> DataTerms:
    """Form the data terms of an observation in a basis.

    Parameters
    ----------
    observation : Observation
        The images, without no-data.
    basis : (d, C)
        E, of full rank.
    engine : Engine
        Device and type of the images.
    """
    basis_msi = basis @ observation.spectral_response.T
    return DataTerms(
        engine.operator(observation.operator),
        engine.tensor(coefficients_of(observation, basis)),
        coefficient_precision(basis, observation.sigma_hsi),
        engine.tensor(observation.hr_msi),
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

    def __init__(self, terms: DataTerms, precision: Array) -> None:
        # the eigenvectors B of the pencil make the precision without the LR-HSI the identity and the
        # LR-HSI's diagonal, so that the coefficients are independent of each other
        without_hsi = terms.precision_msi + precision
        gains, vectors = eigh(terms.by_hsi, without_hsi)
        self.terms, self.operator, tensor = terms, terms.operator, terms.engine.tensor
        self.gains, self.vectors, self.inverse = (
            tensor(gains),
            tensor(vectors),
            tensor(vectors.T @ without_hsi),
        )
        self.precision, self.prior = tensor(precision), tensor(vectors.T @ precision)
        self.by_msi = tensor(vectors.T @ terms.by_msi)

    @cached_property
    def from_msi(self) -> Tensor:
        """Contribution of the HR-MSI ``(d, H, W)`` to the estimate without the LR-HSI."""
        return mixed(self.by_msi, self.terms.hr_msi)

    @cached_property
    def from_hsi(self) -> Tensor:
        """Coefficients of the LR-HSI ``(d, h, w)`` in the rotated coordinates."""
        return mixed(self.inverse, self.terms.coefficients)

    def solve(self, mean: Tensor) -> Tensor:
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

    def apply(self, image: Tensor) -> Tensor:
        """Multiply the precision of the data terms and of the prior with an image ``(d, H, W)``."""
        return self.terms.apply(image) + mixed(self.precision, image)

    def closed_form(self, mean: Tensor) -> Tensor:
        """Return the minimiser for the images as they were completed, all values with their weight."""
        estimate = self.from_msi + mixed(self.prior, mean)
        unexplained = self.from_hsi - self.operator.forward(estimate)
        estimate += self.operator.adjoint(self.terms.low_resolution.solve(unexplained, self.gains))
        return mixed(self.vectors, estimate)

    def invert(self, image: Tensor) -> Tensor:
        """Multiply an image ``(d, H, W)`` with the inverse of the precision ``H^T Sh H + Sm + W``.

        The precision is that of images without missing values.
        """
        estimate = mixed(self.vectors.mT, image)
        coarse = self.operator.forward(estimate)
        estimate -= self.operator.adjoint(self.terms.low_resolution.solve(coarse, self.gains))
        return mixed(self.vectors, estimate)


def coefficients_of(observation: Observation, basis: Array) -> Array:
    """Return the noise-weighted least-squares coefficients ``(d, h, w)`` of the LR-HSI.

    Parameters
    ----------
    observation : Observation
        The LR-HSI and its noise levels.
    basis : (d, C)
        E, of full rank.
    """
    return np.tensordot(Subspace.of(basis, observation.sigma_hsi).projection, observation.lr_hsi, axes=1)
