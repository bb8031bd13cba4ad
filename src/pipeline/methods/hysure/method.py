"""HySure: vector total variation in a spectral subspace, with the responses of the observation.

Follows Simoes, Bioucas-Dias, Almeida and Chanussot 2015 (IEEE TGRS 53(6), 3373-3388), without their
estimation of the responses. `pipeline.methods.hysure.vector_tv` solves the problem.

Differences from the publication (where they change the result, a setting restores the published way):

- H has the observation's borders; the paper's filters are circulant.
- The data terms are weighted by the noise variances (`lm`): with the paper's lm = 1 a noisy image
  counts as much as a clean one.
- One copy of A and exact steps take the place of four splittings (`pipeline.methods.hysure.vector_tv`). With
  the penalty at lphi, some 50 iterations reach the optimum; at the paper's 100 lphi, 200 do not.
- The total variation is taken over planes that are scaled so that the detail which the LR-HSI loses
  one level down is white (`basis: whitened`). Detail in the SVD's planes has very unequal strength and is
  correlated. Only in whitened planes does the smallest total variation carry detail of the HR-MSI over to the
  planes that the HR-MSI does not measure, by regression.
- The weight of the total variation is chosen on the observation (`lphi`); the paper gives 5e-4.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.rounding import FLAT
from pipeline.core.sensing.nodata import filled_observation, mark_nodata, missing_pixels
from pipeline.core.sensing.noise import philox_key
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.engine import array, interpolated
from pipeline.core.solvers.gaussian import data_terms
from pipeline.core.subspace.basis import detail_covariance, fit_subspace, resolve_dimension
from pipeline.core.subspace.endmembers import vca
from pipeline.errors import InputError
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import device_name, precision_name, reproducible, solver_engine
from pipeline.methods.hysure.selection import choose_lphi, search_windows
from pipeline.methods.hysure.settings import HysureSettings
from pipeline.methods.hysure.vector_tv import fuse_vector_tv, started
from pipeline.methods.pool import training_pool, unit_scale

VCA_RUNS = 20
VCA_PIXELS = 50_000  # largest number of LR pixels among which endmembers are sought


class Hysure:
    """The method `hysure`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: HysureSettings) -> None:
        self.settings, self.engine = settings, solver_engine(settings, torch.float32)

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the distance in LR pixels beyond which the images hardly influence the solution.

        As with the Gaussian prior, the influence falls by a factor with each support of H; the total
        variation adds little. Measured at 20 and 35 dB, with a bicubic PSF and one two pixels wide: 3 pixels
        more than twice the support leave 4e-5 of full scale, 6 leave 2e-6.

        Parameters
        ----------
        response : SpatialResponse
            H.
        """
        return 2 * response.support_lr + 6

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedHysure:
        """Determine the images' scale and the basis, and choose the weight of the total variation."""
        scale = unit_scale(scene)
        d = resolve_dimension(self.settings.d, scene)
        pool = training_pool(scene, seed, "hysure", scene.spatial_response.ratio.numerator)
        if self.settings.basis == "vca":
            basis = endmembers(pool, d, seed) / scale
        else:
            basis = svd_basis(scene, d, whitened=self.settings.basis == "whitened")
        fitted = FittedHysure(scene, self, basis, scale, self.settings.lphi or 1.0)
        if self.settings.lphi is None:
            windows = [fitted.weighted(window) for window in search_windows(pool, seed)]
            with self.reproducible():
                fitted.lphi = choose_lphi(windows, basis, self.engine, fitted.noise, self.mu, progress)
        return fitted

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedHysure:
        """Take basis, scale and weight from a stored state."""
        return FittedHysure(scene, self, state["basis"], float(state["scale"]), float(state["lphi"]))

    def mu(self, lphi: float) -> float:
        """Return the penalty of the ADMM for a weight of the total variation."""
        return self.settings.mu or lphi

    def reproducible(self) -> AbstractContextManager[None]:
        """Compute so that equal runs give equal bytes."""
        return reproducible(self.engine.device, self.settings.threads)


class FittedHysure(FittedMethod):
    """A scene's basis, the scale of its images and the weight of the total variation.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    method : Hysure
        The method with its settings.
    basis : (d, C)
        E.
    scale : float
        Number by which the images are divided.
    lphi : float
        Weight of the total variation.
    """

    def __init__(
        self, scene: ObservedScene, method: Hysure, basis: NDArray[np.float64], scale: float, lphi: float
    ) -> None:
        super().__init__(scene, method.halo_lr(scene.spatial_response))
        self.method, self.basis, self.scale, self.lphi = method, basis, scale, lphi
        self.device = device_name(method.engine.device)
        self.precision = precision_name(method.engine.dtype)

    def state(self) -> State:
        """Return basis, scale and weight."""
        return {"basis": self.basis, "scale": np.array(self.scale), "lphi": np.array(self.lphi)}

    @property
    def noise(self) -> float:
        """Mean noise variance of the LR-HSI, for images of largest value 1."""
        return float(np.mean(np.square(self.scene.sigma_hsi))) / self.scale**2

    def weighted(self, observation: Observation) -> Observation:
        """Divide the images by their scale, and set noise levels that weight the data terms.

        The noise levels of the LR-HSI have a mean square of 1, so that `lphi` has the same meaning as in
        the paper.
        """
        lm = self.method.settings.lm
        unit = np.sqrt(self.noise) * self.scale
        return replace(
            observation,
            lr_hsi=observation.lr_hsi / np.float32(self.scale),
            hr_msi=observation.hr_msi / np.float32(self.scale),
            sigma_hsi=np.ones(observation.bands) if lm else observation.sigma_hsi / unit,
            sigma_msi=np.full(len(observation.hr_msi), lm**-0.5) if lm else observation.sigma_msi / unit,
            gaps=None,
        )

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Run the ADMM from the upsampled LR-HSI and multiply by the basis."""
        weighted, method = self.weighted(filled_observation(observation)), self.method
        shift, iterations = observation.spatial_response.shift, method.settings.iterations
        with method.reproducible():
            terms = data_terms(weighted, self.basis, method.engine)
            start = started(interpolated(terms.coefficients, observation.hr_shape, shift))
            end = fuse_vector_tv(terms, start, self.lphi, method.mu(self.lphi), iterations, progress)
            planes = array(end.coefficients.float())
        cube = np.tensordot((self.scale * self.basis.T).astype(np.float32), planes, axes=1)
        return mark_nodata(cube, observation)


def svd_basis(scene: ObservedScene, d: int, whitened: bool) -> NDArray[np.float64]:
    """Return the basis ``(d, C)`` of the LR-HSI's noise-weighted SVD, orthonormal or with white detail.

    White detail has the variance of the strongest direction in each plane, so that the total variation
    weights that direction as in the orthonormal basis.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    d : int
        Dimension of the subspace.
    whitened : bool
        Whether the planes are scaled so that detail is white.
    """
    subspace = fit_subspace(scene.lr_hsi, scene.sigma_hsi, d)
    if not whitened:
        return subspace.basis
    covariance = detail_covariance(subspace.coefficients(scene.lr_hsi), scene.spatial_response)
    root = np.linalg.cholesky(covariance / np.linalg.eigvalsh(covariance)[-1])
    return np.asarray(root.T @ subspace.basis)


def endmembers(pool: list[Observation], d: int, seed: int) -> NDArray[np.float64]:
    """Return the endmembers ``(d, C)`` that span the largest volume among runs of vertex component analysis.

    Parameters
    ----------
    pool : list of Observation
        Parts of the scene.
    d : int
        Number of endmembers.
    seed : int
        Seed of the runs.

    Raises
    ------
    InputError
        The image has fewer than d spectra that are independent of each other.
    """
    spectra = np.concatenate([part.lr_hsi[:, ~missing_pixels(part.lr_hsi)] for part in pool], axis=1)
    spectra = spectra[:, :: -(-spectra.shape[1] // VCA_PIXELS)].astype(np.float64)
    generator = np.random.Generator(np.random.Philox(key=philox_key(seed, "hysure/endmembers")))
    runs = [vca(spectra, d, generator)[0].T for _ in range(VCA_RUNS)]
    largest = max(runs, key=lambda run: float(np.linalg.slogdet(run @ run.T)[1]))
    strengths = np.linalg.svd(largest, compute_uv=False)
    if strengths[-1] <= FLAT * strengths[0]:
        rank = int((strengths > FLAT * strengths[0]).sum())
        raise InputError(
            f"hysure: the LR-HSI has {rank} independent spectra, but {d} endmembers are asked for; use a "
            "smaller d or `basis: svd`"
        )
    return largest
