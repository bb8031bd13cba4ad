"""ARGS-Diff with its slow parts replaced: the budget `fast`.

The idea stays: a network that denoises any noise level, trained on the pair itself, is applied from a high
level to a low one in a subspace, and both observations correct each step. The differences:

- The basis is the LR-HSI's, in units in which differences of neighbours are white, and coefficients have
  no bounds. There is no spectral network, and neither factor starts from noise.
- The walk starts from the closed form, at a noise level of the size of the image's own detail.
- A data step is the exact minimiser (`pipeline.core.solvers.gaussian`, as in DiffPIR, Zhu et al. 2023). It
  replaces the steps of Adam through the network, and the ARGM that corrects these.
- One small network denoises each plane by itself (`denoiser`).
- No noise is added between steps: there is one estimate, and no draws.

Nothing couples distant pixels, so a window's result does not depend on how the scene is cut, up to the
rounding of the network's precision.
"""

from __future__ import annotations

from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.engine import Engine, array, interpolated
from pipeline.core.solvers.gaussian import GaussianFusion
from pipeline.core.solvers.graph_fusion import misfit_terms
from pipeline.core.solvers.graph_prior import GraphPrior
from pipeline.methods.args_diff.denoiser import Denoiser, PlaneDraw, noise_loss
from pipeline.methods.args_diff.settings import ArgsDiffSettings, FastBudget
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import bfloat16_on, device_name, on_device, reproducible, resolve_device
from pipeline.methods.optimisation import (
    Checkpoint,
    Schedule,
    constant_then_linear,
    minimise,
    pair_fingerprint,
    parameter_count,
    seeded_generator,
    seeded_network,
    weights_under,
)
from pipeline.methods.pair_prior import prior_of
from pipeline.methods.pool import training_pool

FIRST, LAST = 1.5, 0.3  # noise levels of the walk, in units of the differences of neighbouring LR pixels
PRIOR_WEIGHT = 0.7  # weight of the denoised planes in a data step, in units of 1 / noise variance
HALO = 32  # HR pixels beyond which pixels change a result by at most 1e-5 of the largest value (float32)
NETWORK = "network."  # before the names of its weights in a state


class FastArgsDiff:
    """The method with exact data steps (`pipeline.methods.base.Method`).

    Parameters
    ----------
    settings : ArgsDiffSettings
        Device, precision and threads.
    budget : FastBudget
        Size and training of the denoiser, and number of steps.
    """

    def __init__(self, settings: ArgsDiffSettings, budget: FastBudget) -> None:
        self.settings, self.budget = settings, budget

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the reach of the network over all steps, and of the data steps."""
        return 2 * response.support_lr + ceil(HALO / response.ratio)

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedFastArgsDiff:
        """Learn the basis and train the denoiser."""
        settings, budget = self.settings, self.budget
        pool = training_pool(scene, seed, "args_diff", scene.spatial_response.ratio.numerator)
        prior = prior_of(scene, pool, None, 1, seed)
        device = resolve_device(settings.device)
        bfloat16 = bfloat16_on(device, settings.precision)
        saved = Checkpoint(
            checkpoint / "denoiser.safetensors" if checkpoint else None,
            settings.checkpoint_every,
            pair_fingerprint(pool, settings.deciding(), seed),
        )
        with reproducible(device, settings.threads):
            draw = PlaneDraw(pool, budget.denoiser_crop, budget.denoiser_batch)
            steps = budget.denoiser_iterations
            build = partial(Denoiser, budget.denoiser_width)
            network = on_device(seeded_network(build, seed, "denoiser/weights"), device)
            minimise(
                network,
                torch.optim.Adam(
                    network.parameters(), lr=budget.denoiser_learning_rate, fused=device.type == "cuda"
                ),
                lambda step: noise_loss(
                    network, draw, seeded_generator(seed, f"denoiser/step/{step}"), bfloat16
                ),
                Schedule("args_diff", "denoiser", steps, saved, constant_then_linear(0, steps)),
                progress=progress,
            )
        return FittedFastArgsDiff(scene, self, prior, network, bfloat16)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedFastArgsDiff:
        """Load the basis and the denoiser's weights."""
        network = Denoiser(self.budget.denoiser_width)
        network.load_state_dict(weights_under(NETWORK, state))
        return FittedFastArgsDiff(scene, self, GraphPrior.of(state), network, bool(state["bfloat16"]))


class FittedFastArgsDiff(FittedMethod):
    """A scene's basis and its trained denoiser.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    method : FastArgsDiff
        The method with its settings.
    prior : GraphPrior
        Basis, and variance of the model's errors.
    network : nn.Module
        The denoiser.
    bfloat16 : bool
        Whether the network computes in bfloat16.
    """

    def __init__(
        self,
        scene: ObservedScene,
        method: FastArgsDiff,
        prior: GraphPrior,
        network: nn.Module,
        bfloat16: bool,
    ) -> None:
        super().__init__(scene, method.halo_lr(scene.spatial_response))
        self.method, self.prior = method, prior
        self._device, self._bfloat16 = resolve_device(method.settings.device), bfloat16
        self.network = network.to(self._device).requires_grad_(False).eval()
        self.parameters = parameter_count(network)
        self.device = device_name(self._device)
        self.precision = "bfloat16" if bfloat16 else "float32"

    def state(self) -> State:
        """Return the prior's arrays and the network's weights, in float32."""
        weights = {
            f"{NETWORK}{k}": v.cpu().contiguous().numpy() for k, v in self.network.state_dict().items()
        }
        return self.prior.state() | weights | {"bfloat16": np.array(self._bfloat16)}

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Walk the coefficients down the noise levels and multiply by the basis."""
        filled = filled_observation(observation)
        unit = np.eye(len(self.prior.basis))
        levels = np.geomspace(FIRST, LAST, self.method.budget.exact_steps).tolist()
        with reproducible(self._device, self.method.settings.threads):
            terms = misfit_terms(filled, self.prior, Engine(self._device))
            planes = interpolated(terms.coefficients, filled.hr_shape, filled.spatial_response.shift)
            planes = GaussianFusion(terms, unit).solve(planes)
            for done, sigma in enumerate(levels, start=1):
                fusion = GaussianFusion(terms, PRIOR_WEIGHT / sigma**2 * unit)
                planes = fusion.solve(self.denoised(planes, sigma, filled.origin))
                progress("steps", done, len(levels))
        basis = self.prior.basis.T.astype(np.float32)
        return mark_nodata(np.tensordot(basis, array(planes.float()), axes=1), observation)

    @torch.no_grad()
    def denoised(self, planes: Tensor, sigma: float, origin: tuple[int, int]) -> Tensor:
        """Denoise planes independently of each other.

        The network's coarse pixels lie as in the whole scene, wherever the planes start.

        Parameters
        ----------
        planes : (d, H, W) tensor
            Coefficients.
        sigma : float
            Standard deviation of their noise.
        origin : (int, int)
            Absolute row and column of the upper left pixel.

        Returns
        -------
        (d, H, W) tensor
        """
        top, left = origin[0] % 2, origin[1] % 2
        noise = torch.empty_like(planes)
        level = torch.full((1,), sigma, device=self._device)
        for plane, predicted in zip(planes, noise, strict=True):
            image = functional.pad(plane[None, None].float(), (left, 0, top, 0), mode="replicate")
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
                predicted[:] = self.network(image, level)[0, 0, top:, left:].float()
        return planes - noise
