"""ARGS-Diff: self-learning fusion by two diffusion networks trained on the observation itself.

arXiv 2505.11800. Training is in `training`, the reverse diffusion in `sampling`, the networks in
`networks`; here they meet the observation, its scaling to [0, 1] and the method protocol.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.nodata import filled_observation, mark_nodata
from pipeline.core.noise import standard_normal
from pipeline.core.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.spatial import SpatialResponse
from pipeline.core.subspace import resolve_dimension
from pipeline.methods.args_diff.networks import (
    SpatialUNet,
    SpectralNet,
    on_device,
    parameter_count,
    to_precision,
)
from pipeline.methods.args_diff.sampling import Guidance, sample
from pipeline.methods.args_diff.training import Draw, Recipe, crops_draw, spectra_draw, train
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import bfloat16_on, device_name, resolve_device, torch_threads
from pipeline.settings import ArgsDiffSettings

HELD_OUT_SPECTRA = 16  # every 16th LR pixel is held out where training stops by the held-out loss


class ArgsDiff:
    """See `pipeline.methods.base.Method`."""

    def __init__(self, settings: ArgsDiffSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """What the network sees around a window."""
        return 8

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedArgsDiff:
        """Train both networks; `checkpoint` is a folder for the state of unfinished trainings."""
        settings = self.settings
        observation = scene.crop(scene.whole)
        resolve_dimension(settings.d, observation)
        filled = filled_observation(observation)
        device = resolve_device(settings.device)
        fingerprint = _fingerprint(filled, settings, seed)
        budget = settings.training
        scale = unit_scale(filled)

        def recipe(name: str, iterations: int, learning_rate: float) -> Recipe:
            return Recipe(
                name,
                iterations,
                learning_rate,
                seed,
                device,
                bfloat16_on(device, settings.precision),
                checkpoint / f"{name}.safetensors" if checkpoint else None,
                settings.checkpoint_every,
                fingerprint,
            )

        with torch_threads(settings.threads):
            spectral = train(
                lambda: SpectralNet(observation.bands),
                *_spectral_draws(filled, scale, settings),
                recipe("spectral", budget.spectral_iterations, budget.spectral_learning_rate),
                progress,
            )
            spatial = train(
                lambda: SpatialUNet(settings.d, budget.width),
                *_spatial_draws(filled, scale, settings),
                recipe("spatial", budget.spatial_iterations, budget.spatial_learning_rate),
                progress,
            )
        return FittedArgsDiff(scene, self.halo_lr(scene.spatial_response), settings, seed, spatial, spectral)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedArgsDiff:
        """Load both networks' weights."""
        networks = {
            "spatial": SpatialUNet(self.settings.d, self.settings.training.width),
            "spectral": SpectralNet(scene.bands),
        }
        for name, network in networks.items():
            prefix = f"{name}."
            network.load_state_dict(
                {
                    k.removeprefix(prefix): torch.from_numpy(v)
                    for k, v in state.items()
                    if k.startswith(prefix)
                }
            )
        halo = self.halo_lr(scene.spatial_response)
        return FittedArgsDiff(scene, halo, self.settings, seed, networks["spatial"], networks["spectral"])


class FittedArgsDiff(FittedMethod):
    """Both trained networks of a scene."""

    def __init__(
        self,
        scene: ObservedScene,
        halo_lr: int,
        settings: ArgsDiffSettings,
        seed: int,
        spatial: nn.Module,
        spectral: nn.Module,
    ) -> None:
        super().__init__(scene, halo_lr)
        self.settings, self.seed = settings, seed
        self._device = resolve_device(settings.device)
        self._bfloat16 = bfloat16_on(self._device, settings.precision)
        self.networks = {"spatial": spatial, "spectral": spectral}
        self.parameters = parameter_count(spatial, spectral)
        self.device = device_name(self._device)
        self.precision = "bfloat16" if self._bfloat16 else "float32"

    def state(self) -> State:
        """The weights of both networks, float32."""
        return {
            f"{name}.{key}": tensor.cpu().contiguous().numpy()
            for name, network in self.networks.items()
            for key, tensor in network.state_dict().items()
        }

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Sample the image, jointly with its basis."""
        filled = filled_observation(observation)
        scale = unit_scale(filled)
        with torch_threads(self.settings.threads):
            coefficients, basis = sample(
                self.sampling_networks(),
                self.start(filled),
                guidance_of(filled, scale, self._device, squared=self.settings.variant == "paper"),
                self.settings,
                progress,
            )
            cube = torch.tensordot(basis.T, coefficients, dims=1).clamp_(0, 1).mul_(scale)
        return mark_nodata(cube.cpu().numpy(), observation)

    def sampling_networks(self) -> tuple[nn.Module, nn.Module]:
        """Copies for sampling: without gradients, channels last, the spatial one in bfloat16 where used."""
        spatial = SpatialUNet(self.settings.d, self.settings.training.width)
        spatial.load_state_dict(self.networks["spatial"].state_dict())
        if self._bfloat16:
            to_precision(spatial, torch.bfloat16)
        spectral = self.networks["spectral"].to(self._device)
        return (
            on_device(spatial, self._device).requires_grad_(False).eval(),
            spectral.requires_grad_(False).eval(),
        )

    def start(self, observation: Observation) -> tuple[Tensor, Tensor]:
        """A_T, a function of the absolute position, and E_T."""
        d = self.settings.d
        coefficients = standard_normal(
            self.seed, "args_diff/coefficients", (d, *observation.hr_shape), observation.origin
        )
        basis = standard_normal(self.seed, "args_diff/basis", (1, d, observation.bands))[0]
        return torch.from_numpy(coefficients).to(self._device), torch.from_numpy(basis).to(self._device)


def unit_scale(observation: Observation) -> float:
    """The largest observed value, by which both images are divided."""
    return float(max(observation.lr_hsi.max(), observation.hr_msi.max()))


def guidance_of(observation: Observation, scale: float, device: torch.device, *, squared: bool) -> Guidance:
    """The observation on a device, scaled to [0, 1]."""

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=device)

    return Guidance(
        tensor(observation.lr_hsi / scale),
        tensor(observation.hr_msi / scale),
        tensor(observation.spectral_response),
        observation.operator.to(device),
        squared,
    )


def _signed_unit(image: NDArray[np.float32], scale: float) -> Tensor:
    """Values of an image as the networks see them, in [-1, 1]."""
    return torch.from_numpy(np.clip(image / scale, 0, 1).astype(np.float32) * 2 - 1)


def _spectral_draws(
    observation: Observation, scale: float, settings: ArgsDiffSettings
) -> tuple[Draw, Draw | None]:
    """Draws of LR-HSI spectra for training and, where asked for, of held-out ones."""
    spectra = _signed_unit(observation.lr_hsi.reshape(observation.bands, -1).T, scale)
    batch = settings.training.spectral_batch
    if settings.stop == "budget" or len(spectra) < 2:
        return spectra_draw(spectra, batch), None
    chosen = torch.arange(len(spectra)) % HELD_OUT_SPECTRA == 1
    return spectra_draw(spectra[~chosen], batch), spectra_draw(spectra[chosen], batch)


def _spatial_draws(
    observation: Observation, scale: float, settings: ArgsDiffSettings
) -> tuple[Draw, Draw | None]:
    """Draws of HR-MSI crops for training and, where asked for, from a held-out strip at the right."""
    image = _signed_unit(observation.hr_msi, scale)
    height, width = observation.hr_shape
    budget, d = settings.training, settings.d
    if settings.stop == "budget" or width < 2:
        crop = min(budget.crop, height, width)
        return crops_draw(image, (0, height, 0, width), crop, budget.spatial_batch, d), None
    crop = min(budget.crop, height, width // 2)
    border = width - crop
    return (
        crops_draw(image, (0, height, 0, border), crop, budget.spatial_batch, d),
        crops_draw(image, (0, height, border, width), crop, budget.spatial_batch, d),
    )


def _fingerprint(observation: Observation, settings: ArgsDiffSettings, seed: int) -> str:
    """Digest of everything that the trained weights depend on."""
    digest = hashlib.sha256()
    for image in (observation.lr_hsi, observation.hr_msi):
        digest.update(np.ascontiguousarray(image).tobytes())
    trained = settings.model_dump_json(include={"budget", "d", "stop", "precision", "device", "threads"})
    digest.update(f"{trained}:{seed}".encode())
    return digest.hexdigest()
