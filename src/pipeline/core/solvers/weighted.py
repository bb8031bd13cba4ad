"""Data terms in which each value has a weight: 1 where it was measured, 0 where it is missing.

An LR pixel that lacks bands gives H(A) the precision of its other bands, one that lacks all bands none; an HR
pixel likewise. The closed form of complete images (module `gaussian`) does not hold then, but it is a good
first estimate and preconditioner.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.observation import Observation
from pipeline.core.solvers.gaussian import DataTerms, GaussianFusion

Array = NDArray[np.float64]


@dataclass(frozen=True)
class WeightedTerms(DataTerms):
    """Data terms of images with missing values.

    The inherited attributes are those of the images with their missing values estimated, from which the
    closed form is computed.

    Attributes
    ----------
    precision_lr : (h, w, d, d)
        Precision that each LR pixel gives to H(A): ``E Sh^-1 E^T`` over its measured bands.
    signal_lr : (d, h, w)
        The same sum with the values of X in place of the second E.
    known_msi : (c, H, W) bool
        Measured values of Y.
    """

    precision_lr: Array
    signal_lr: Array
    known_msi: NDArray[np.bool_]

    weighted: ClassVar[bool] = True

    def apply(self, image: Array) -> Array:
        """Multiply the precision of the data terms with an image ``(d, H, W)``."""
        coarse = np.einsum("yxde,eyx->dyx", self.precision_lr, self.operator.forward(image))
        fine = np.where(self.known_msi, np.tensordot(self.basis_msi.T, image, axes=1), 0.0)
        return self.operator.adjoint(coarse) + np.tensordot(self.by_msi, fine, axes=1)

    @cached_property
    def rhs(self) -> Array:
        """Right-hand side ``(d, H, W)`` of the normal equations of the data terms."""
        fine = np.where(self.known_msi, self.hr_msi, np.float32(0))
        return self.operator.adjoint(self.signal_lr) + np.tensordot(self.by_msi, fine, axes=1)

    def noise(self, coarse: NDArray[np.floating], fine: NDArray[np.floating], sigma_msi: Array) -> Array:
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
        of_lr = np.einsum("yxde,eyx->dyx", self._roots, coarse)
        of_hr = np.tensordot(self.by_msi * sigma_msi, np.where(self.known_msi, fine, np.float32(0)), axes=1)
        return self.operator.adjoint(of_lr) + of_hr

    @cached_property
    def _roots(self) -> Array:
        """Symmetric square roots ``(h, w, d, d)`` of the LR pixels' precisions, which may be singular."""
        power, vectors = np.linalg.eigh(self.precision_lr)
        return (vectors * np.sqrt(power.clip(min=0))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def weighted_terms(
    terms: DataTerms, observation: Observation, basis: Array, misfit: float = 0.0
) -> DataTerms:
    """Give the missing values of an observation no weight in its data terms.

    Parameters
    ----------
    terms : DataTerms
        Data terms of the observation, its missing values estimated.
    observation : Observation
        The images with their `gaps`, from `filled_observation`; without gaps, `terms` are returned.
    basis : (d, C)
        E.
    misfit : float
        Variance of the model's errors in each coefficient of the LR-HSI, which counts as noise.
    """
    if observation.gaps is None:
        return terms
    known = np.asarray(observation.gaps.known_hsi)
    d, shape = len(basis), known.shape[1:]
    weights = basis / observation.sigma_hsi**2
    products = np.einsum("db,eb->bde", weights, basis).reshape(len(known), -1)
    precision = (known.reshape(len(known), -1).T.astype(np.float64) @ products).reshape(*shape, d, d)
    signal = np.tensordot(weights, np.where(known, observation.lr_hsi, np.float32(0)), axes=1)
    # of noise N^-1 = G with errors m I, the precision (G^-1 + m I)^-1, also where G is singular
    damping = np.linalg.inv(np.eye(d) + misfit * precision)
    return WeightedTerms(
        **{field.name: getattr(terms, field.name) for field in fields(DataTerms)},
        precision_lr=damping @ precision,
        signal_lr=np.einsum("yxde,eyx->dyx", damping, signal),
        known_msi=np.asarray(observation.gaps.known_msi),
    )


def informed_mean(fusion: GaussianFusion, mean: Array) -> Array:
    """Return the prior's mean, in gaps of the HR-MSI from the estimates of its missing values.

    The estimates follow the HR pixels around a gap, of which the LR-HSI knows no detail. They have no weight
    of their own: the prior's mean there is the closed form of the completed images.

    Parameters
    ----------
    fusion : GaussianFusion
        The fusion problem.
    mean : (d, H, W)
        The prior's mean where nothing is missing.
    """
    if not isinstance(fusion.terms, WeightedTerms):
        return mean
    return np.where(fusion.terms.known_msi.all(axis=0), mean, fusion.closed_form(mean))
