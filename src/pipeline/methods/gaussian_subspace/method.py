"""Gaussian-prior fusion in a spectral subspace: exact, non-iterative and without tuning.

The prior's mean is the upsampled LR-HSI, and its covariance that of the detail that the LR-HSI loses one
level down. Basis and covariance are learned from the LR-HSI alone; `pipeline.core.solvers.gaussian` solves
the problem.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.engine import array, interpolated
from pipeline.core.solvers.gaussian import GaussianFusion, data_terms
from pipeline.core.solvers.weighted import informed_mean, weighted_terms
from pipeline.core.subspace.basis import detail_covariance, fit_subspace, resolve_dimension
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import device_name, precision_name, reproducible, solver_engine
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings


class GaussianSubspace:
    """The method `gaussian_subspace`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: GaussianSubspaceSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the distance in LR pixels beyond which the images hardly influence the solution.

        A pixel depends on the LR pixels whose support contains it, on those whose support overlaps theirs,
        and so on. The influence falls by a factor with each support, less so with less noise. Twice the
        support plus 3 pixels keeps it below 1e-4 of full scale: at any noise level for bicubic, box and PSFs
        up to an LR pixel wide, and down to the noise of 50 dB for PSFs of two or three LR pixels. With less
        noise, such a deconvolution couples ever more distant pixels.

        Parameters
        ----------
        response : SpatialResponse
            H.
        """
        return 2 * response.support_lr + 3

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedGaussianSubspace:
        """Learn the basis and the covariance of the detail from the LR-HSI, which is read twice in blocks."""
        d = resolve_dimension(self.settings.d, scene)
        subspace = fit_subspace(scene.lr_hsi, scene.sigma_hsi, d)
        covariance = detail_covariance(subspace.coefficients(scene.lr_hsi), scene.spatial_response)
        return self.restore(scene, {"basis": subspace.basis, "covariance": covariance})

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedGaussianSubspace:
        """Take the basis and the covariance from a stored state."""
        return FittedGaussianSubspace(scene, self, state["basis"], state["covariance"])


class FittedGaussianSubspace(FittedMethod):
    """A scene's basis and the covariance of its detail.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    method : GaussianSubspace
        The method with its settings.
    basis : (d, C)
        E.
    covariance : (d, d)
        Covariance of the detail.
    """

    def __init__(
        self,
        scene: ObservedScene,
        method: GaussianSubspace,
        basis: NDArray[np.float64],
        covariance: NDArray[np.float64],
    ) -> None:
        super().__init__(scene, method.halo_lr(scene.spatial_response))
        self.method, self.basis, self.covariance = method, basis, covariance
        self.engine = solver_engine(method.settings)
        self.device, self.precision = device_name(self.engine.device), precision_name(self.engine.dtype)

    def state(self) -> State:
        """Return the basis and the covariance."""
        return {"basis": self.basis, "covariance": self.covariance}

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Solve for the coefficients and multiply by the basis."""
        filled = filled_observation(observation)
        with reproducible(self.engine.device, self.method.settings.threads):
            terms = weighted_terms(data_terms(filled, self.basis, self.engine), filled, self.basis)
            fusion = GaussianFusion(terms, np.asarray(np.linalg.inv(self.covariance)))
            shift = observation.spatial_response.shift
            mean = interpolated(terms.coefficients, observation.hr_shape, shift)
            planes = array(fusion.solve(informed_mean(fusion, mean)).float())
        cube = np.tensordot(self.basis.T.astype(np.float32), planes, axes=1)
        return mark_nodata(cube, observation)
