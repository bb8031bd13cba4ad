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
import torch
from torch import Tensor

from pipeline.core.sensing.observation import Observation
from pipeline.core.solvers.engine import DOUBLE, mixed, symmetric_root
from pipeline.core.solvers.gaussian import Array, DataTerms, GaussianFusion


@dataclass(frozen=True)
class WeightedTerms(DataTerms):
    """Data terms of images with missing values.

    The inherited attributes are those of the images with their missing values estimated, from which the
    closed form is computed.

    Attributes
    ----------
    precision_lr : (h, w, d, d) tensor
        Precision that each LR pixel gives to H(A): ``E Sh^-1 E^T`` over its measured bands.
    signal_lr : (d, h, w) tensor
        The same sum with the values of X in place of the second E.
    known_msi : (c, H, W) bool tensor
        Measured values of Y.
    """

    precision_lr: Tensor
    signal_lr: Tensor
    known_msi: Tensor

    weighted: ClassVar[bool] = True

    def apply(self, image: Tensor) -> Tensor:
        """Multiply the precision of the data terms with an image ``(d, H, W)``."""
        coarse = torch.einsum("yxde,eyx->dyx", self.precision_lr, self.operator.forward(image))
        fine = self._known * mixed(self.engine.tensor(self.basis_msi.T), image)
        return self.operator.adjoint(coarse) + mixed(self.engine.tensor(self.by_msi), fine)

    @cached_property
    def rhs(self) -> Tensor:
        """Right-hand side ``(d, H, W)`` of the normal equations of the data terms."""
        fine = torch.where(self.known_msi, self.hr_msi, 0.0)
        return self.operator.adjoint(self.signal_lr) + mixed(self.engine.tensor(self.by_msi), fine)

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
        of_lr = torch.einsum("yxde,eyx->dyx", self._roots, coarse)
        of_hr = mixed(self.engine.tensor(self.by_msi * sigma_msi), self._known * fine)
        return self.operator.adjoint(of_lr) + of_hr

    @cached_property
    def _roots(self) -> Tensor:
        """Symmetric square roots ``(h, w, d, d)`` of the LR pixels' precisions, which may be singular."""
        return symmetric_root(self.precision_lr.to(DOUBLE)).to(self.engine.dtype)

    @cached_property
    def _known(self) -> Tensor:
        return self.known_msi.to(self.engine.dtype)


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
    known, engine = np.asarray(observation.gaps.known_hsi), terms.engine
    d, shape = len(basis), known.shape[1:]
    weights = basis / observation.sigma_hsi**2
    products = np.einsum("db,eb->bde", weights, basis).reshape(len(known), -1)
    precision = (known.reshape(len(known), -1).T.astype(np.float64) @ products).reshape(*shape, d, d)
    signal = np.tensordot(weights, np.where(known, observation.lr_hsi, np.float32(0)), axes=1)
    # of noise N^-1 = G with errors m I, the precision (G^-1 + m I)^-1, also where G is singular
    damping = np.linalg.inv(np.eye(d) + misfit * precision)
    return WeightedTerms(
        **{field.name: getattr(terms, field.name) for field in fields(DataTerms)},
        precision_lr=engine.tensor(damping @ precision),
        signal_lr=engine.tensor(np.einsum("yxde,eyx->dyx", damping, signal)),
        known_msi=torch.as_tensor(np.asarray(observation.gaps.known_msi), device=engine.device),
    )


def informed_mean(fusion: GaussianFusion, mean: Tensor) -> Tensor:
    """Return the prior's mean, in gaps of the HR-MSI from the estimates of its missing values.

    The estimates follow the HR pixels around a gap, of which the LR-HSI knows no detail. They have no weight
    of their own: the prior's mean there is the closed form of the completed images.

    Parameters
    ----------
    fusion : GaussianFusion
        The fusion problem.
    mean : (d, H, W) tensor
        The prior's mean where nothing is missing.
    """
    if not isinstance(fusion.terms, WeightedTerms):
        return mean
    return torch.where(fusion.terms.known_msi.all(dim=0), mean, fusion.closed_form(mean))
