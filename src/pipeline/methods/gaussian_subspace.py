"""Gaussian-prior fusion in a spectral subspace: exact, non-iterative and without tuning.

The basis and the prior's covariance come from the LR-HSI alone; `pipeline.core.gaussian` solves.
The prior's mean is the upsampled LR-HSI, its covariance that of the detail lost one level down.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.gaussian import fuse_gaussian
from pipeline.core.nodata import filled_observation, mark_nodata
from pipeline.core.observation import Observation, Progress, no_progress
from pipeline.core.spatial import upsample
from pipeline.core.subspace import detail_covariance, fit_subspace, resolve_dimension
from pipeline.methods.base import State, WindowedMethod
from pipeline.settings import GaussianSubspaceSettings


class GaussianSubspace:
    """See `pipeline.methods.base.Method`."""

    def __init__(self, settings: GaussianSubspaceSettings) -> None:
        self.settings = settings

    def fit(
        self,
        observation: Observation,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedGaussianSubspace:
        """Take the basis and the detail covariance from the LR-HSI."""
        filled = filled_observation(observation)
        d = resolve_dimension(self.settings.d, observation)
        subspace = fit_subspace(filled.lr_hsi, filled.sigma_hsi, d)
        covariance = detail_covariance(subspace.coefficients, observation.spatial_response)
        return FittedGaussianSubspace(observation, subspace.basis, covariance)

    def restore(self, observation: Observation, state: State, seed: int = 0) -> FittedGaussianSubspace:
        """Take them from a stored state."""
        return FittedGaussianSubspace(observation, state["basis"], state["covariance"])


class FittedGaussianSubspace(WindowedMethod):
    """A scene's basis ``(d, C)`` and detail covariance ``(d, d)``."""

    halo_lr = 8

    def __init__(
        self, observation: Observation, basis: NDArray[np.float64], covariance: NDArray[np.float64]
    ) -> None:
        super().__init__(observation)
        self.basis, self.covariance = basis, covariance

    def state(self) -> State:
        """Basis and covariance."""
        return {"basis": self.basis, "covariance": self.covariance}

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Solve for the coefficients and multiply by the basis."""
        filled = filled_observation(observation)
        # LR coefficients by weighted least squares on the basis
        weighted = self.basis / observation.sigma_hsi**2
        project = np.linalg.solve(weighted @ self.basis.T, weighted)
        mean = upsample(np.tensordot(project, filled.lr_hsi, axes=1), observation.hr_shape)
        coefficients = fuse_gaussian(filled, self.basis, mean, np.asarray(np.linalg.inv(self.covariance)))
        cube = np.tensordot(self.basis.T.astype(np.float32), coefficients.astype(np.float32), axes=1)
        return mark_nodata(cube, observation)
