"""ARGS-Diff: self-learning fusion by two diffusion networks trained on the observation itself.

arXiv 2505.11800. `training` trains the networks on a scene; the fitted method in `fitted` samples from them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.nodata import filled_observation
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.basis import resolve_dimension
from pipeline.methods.args_diff.fitted import FittedArgsDiff, Learned
from pipeline.methods.args_diff.networks import STRIDE, SpatialUNet, SpectralNet
from pipeline.methods.args_diff.recording import Recording
from pipeline.methods.args_diff.settings import ArgsDiffSettings
from pipeline.methods.args_diff.training import crops_draw, spectra_draw, uniform_levels
from pipeline.methods.base import State
from pipeline.methods.device import bfloat16_on, reproducible, resolve_device
from pipeline.methods.diffusion.anchors import anchor_windows
from pipeline.methods.diffusion.noise_prediction import Draw, Recipe, train
from pipeline.methods.diffusion.patches import halo_lr
from pipeline.methods.optimisation import Checkpoint, pair_fingerprint, weights_under
from pipeline.methods.pool import training_pool, unit_scale

HELD_OUT_SPECTRA = 16  # every 16th LR pixel is held out where training stops by the held-out loss


class ArgsDiff:
    """The method `args_diff`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: ArgsDiffSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the halo around a patch, in LR pixels."""
        return halo_lr(response, STRIDE)

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedArgsDiff:
        """Train both networks, and draw the basis of a scene that is larger than a patch."""
        settings = self.settings
        pool = training_pool(scene, seed, "args_diff", STRIDE)
        resolve_dimension(settings.d, pool[0])
        scale = unit_scale(scene)
        device = resolve_device(settings.device)
        filled = [filled_observation(part) for part in pool]
        fingerprint = pair_fingerprint(filled, settings.training_part(), seed)
        budget = settings.training

        def recipe(name: str, iterations: int, learning_rate: float) -> Recipe:
            return Recipe(
                "args_diff",
                name,
                uniform_levels(device),
                iterations,
                learning_rate,
                seed,
                device,
                bfloat16_on(device, settings.precision),
                Checkpoint(
                    checkpoint / f"{name}.safetensors" if checkpoint else None,
                    settings.checkpoint_every,
                    fingerprint,
                ),
                device,
                budget.ema == "warm_up",
            )

        with reproducible(device, settings.threads):
            spectral = train(
                lambda: SpectralNet(scene.bands),
                *_spectral_draws(filled, scale, settings, device),
                recipe("spectral", budget.spectral_iterations, budget.spectral_learning_rate),
                progress,
            )
            spatial = train(
                lambda: SpatialUNet(settings.d, budget.width),
                *_spatial_draws(filled, scale, settings, device),
                recipe("spatial", budget.spatial_iterations, budget.spatial_learning_rate),
                progress,
            )
        bfloat16 = bfloat16_on(device, settings.precision)
        return self._settled(scene, seed, Learned(spatial, spectral, scale, bfloat16), pool, progress)

    def fit_trained(
        self, scene: ObservedScene, state: State, seed: int = 0, progress: Progress = no_progress
    ) -> FittedArgsDiff:
        """Fit with the networks of a fitted method that has the same `training_part`."""
        networks = self._learned(scene, state, None)
        pool = training_pool(scene, seed, "args_diff", STRIDE)
        return self._settled(scene, seed, networks, pool, progress)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedArgsDiff:
        """Load both networks' weights and the recording of a large scene."""
        return self._fitted(scene, seed, self._learned(scene, state, Recording.restore(state)))

    def _learned(self, scene: ObservedScene, state: State, recording: Recording | None) -> Learned:
        """Load the networks of a state."""
        spatial = SpatialUNet(self.settings.d, self.settings.training.width)
        spectral = SpectralNet(scene.bands)
        for name, network in (("spatial", spatial), ("spectral", spectral)):
            network.load_state_dict(weights_under(f"{name}.", state))
        scale, bfloat16 = state["scale"].item(), bool(state["bfloat16"])
        return Learned(spatial, spectral, scale, bfloat16, recording)

    def _settled(
        self,
        scene: ObservedScene,
        seed: int,
        learned: Learned,
        pool: list[Observation],
        progress: Progress,
    ) -> FittedArgsDiff:
        """Return the fitted method, after drawing the basis of a scene that is larger than a patch."""
        fitted = self._fitted(scene, seed, learned)
        if not fitted.in_one_piece:
            fitted.recording = fitted.record(anchor_windows(scene, pool, "args_diff"), progress)
        return fitted

    def _fitted(self, scene: ObservedScene, seed: int, learned: Learned) -> FittedArgsDiff:
        return FittedArgsDiff(scene, self.halo_lr(scene.spatial_response), self.settings, seed, learned)


def _signed_unit(image: NDArray[np.float32], scale: float) -> Tensor:
    """Scale an image to [-1, 1], the range of the networks."""
    return torch.from_numpy(np.clip(image / scale, 0, 1).astype(np.float32) * 2 - 1)


def _spectral_draws(
    pool: list[Observation], scale: float, settings: ArgsDiffSettings, device: torch.device
) -> tuple[Draw, Draw | None]:
    """Return draws of LR-HSI spectra for training and, if the settings ask for it, of held-out spectra."""
    spectra = _signed_unit(np.concatenate([part.lr_hsi.reshape(part.bands, -1).T for part in pool]), scale)
    spectra = spectra.to(device)
    batch = settings.training.spectral_batch
    if settings.stop == "budget" or len(spectra) < 2:
        return spectra_draw(spectra, batch), None
    chosen = torch.arange(len(spectra), device=device) % HELD_OUT_SPECTRA == 1
    return spectra_draw(spectra[~chosen], batch), spectra_draw(spectra[chosen], batch)


def _spatial_draws(
    pool: list[Observation], scale: float, settings: ArgsDiffSettings, device: torch.device
) -> tuple[Draw, Draw | None]:
    """Return draws of HR-MSI crops for training and, if asked for, from held-out strips at the right."""
    images = [_signed_unit(part.hr_msi, scale).to(device) for part in pool]
    height, width = pool[0].hr_shape
    budget, d = settings.training, settings.d
    if settings.stop == "budget" or width < 2:
        return crops_draw(images, min(budget.crop, height, width), budget.spatial_batch, d), None
    crop = min(budget.crop, height, width // 2)
    left, right = ([image[..., strip] for image in images] for strip in (np.s_[:-crop], np.s_[-crop:]))
    return crops_draw(left, crop, budget.spatial_batch, d), crops_draw(right, crop, budget.spatial_batch, d)
