"""Per-pixel baseline of the family of SpectraLift and SpectraMorph: a spectrum from an HR-MSI pixel alone.

A network learns X from R X at the LR pixels and is applied to Y. Nothing depends on H.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import device_name, reproducible, resolve_device
from pipeline.methods.optimisation import Checkpoint, pair_fingerprint, parameter_count, weights_under
from pipeline.methods.pool import training_pool, unit_scale
from pipeline.methods.spectral_mlp.network import Examples, PixelNetwork, train
from pipeline.methods.spectral_mlp.settings import SpectralMlpSettings

PIXELS_AT_ONCE = 2**14  # HR pixels that go through the network together
SMALLEST_SPREAD = 1e-4  # of the images' largest value: a constant band is not divided by zero


class SpectralMlp:
    """The method `spectral_mlp`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: SpectralMlpSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return 0, or the LR pixels by which those that cover a window are shifted.

        Parameters
        ----------
        response : SpatialResponse
            H, of which only the shift counts.
        """
        return response.shift_lr

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedSpectralMlp:
        """Train the network on the LR pixels with data."""
        settings, device = self.settings, resolve_device(self.settings.device)
        smallest = SMALLEST_SPREAD * unit_scale(scene)
        pool = training_pool(scene, seed, "spectral_mlp")
        deciding = settings.deciding() | {"sigma": [scene.sigma_hsi.tolist(), scene.sigma_msi.tolist()]}
        saved = Checkpoint(
            checkpoint / "network.safetensors" if checkpoint else None,
            settings.checkpoint_every,
            pair_fingerprint(pool, deciding, seed),
        )
        with reproducible(device, settings.threads):
            network = train(Examples.of(scene, pool, smallest).to(device), settings, seed, saved, progress)
        return FittedSpectralMlp(scene, self, network)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedSpectralMlp:
        """Load the network with the means and spreads of the bands."""
        settings = self.settings
        network = PixelNetwork(len(scene.spectral_response), scene.bands, settings.width, settings.layers)
        network.load_state_dict(weights_under("", state))
        return FittedSpectralMlp(scene, self, network)


class FittedSpectralMlp(FittedMethod):
    """A scene's trained network.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    method : SpectralMlp
        The method with its settings.
    network : PixelNetwork
        The trained network.
    """

    precision = "float32"

    def __init__(self, scene: ObservedScene, method: SpectralMlp, network: PixelNetwork) -> None:
        super().__init__(scene, method.halo_lr(scene.spatial_response))
        self._threads, self._device = method.settings.threads, resolve_device(method.settings.device)
        self.network = network.to(self._device)
        self.parameters = parameter_count(network)
        self.device = device_name(self._device)

    def state(self) -> State:
        """Return the network's weights, and the means and spreads of the bands."""
        return {name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}

    @torch.no_grad()
    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Apply the network to every pixel of the HR-MSI."""
        hr_msi = filled_observation(observation).hr_msi
        pixels = torch.from_numpy(np.ascontiguousarray(hr_msi.reshape(len(hr_msi), -1).T))
        spectra = np.empty((observation.bands, len(pixels)), np.float32)
        with reproducible(self._device, self._threads):
            for start in range(0, len(pixels), PIXELS_AT_ONCE):
                part = slice(start, start + PIXELS_AT_ONCE)
                spectra[:, part] = self.network(pixels[part].to(self._device)).T.cpu()
        return mark_nodata(spectra.reshape(-1, *observation.hr_shape), observation)
