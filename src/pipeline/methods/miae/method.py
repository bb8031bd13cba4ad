"""MIAE: model inspired autoencoder, trained on the observed pair alone.

Liu, Wu, Xiao, Wu, IEEE TGRS 2022 (arXiv 2110.11591). The network acts on single pixels, so a window depends
on no more of the LR-HSI than its upsampling does.

The public code averages over patches of a fixed size (see `training`), and its blind mode normalises only the
SRF in the loss (see `blind`). The budget `standard` takes 3200 steps of 128 LR pixels instead of 10 000 of
900. It then fits the noise of the HR-MSI (its residual is a quarter of the noise, because the L1 sums do not
know the noise level), while the LR-HSI is not fitted to its noise. The published learning rate is suitable:
on Jasper Ridge, twice as much raises the loss by a fifth, and less gains nothing. The final loss depends on
the initial weights, by some decibels without noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import device_name, reproducible, resolve_device
from pipeline.methods.miae.blind import Responses, estimate_responses
from pipeline.methods.miae.images import TrainingImages
from pipeline.methods.miae.network import MiaeNetwork, Patch, bilinear, fused_patches
from pipeline.methods.miae.settings import MiaeSettings
from pipeline.methods.miae.training import train
from pipeline.methods.optimisation import Checkpoint, pair_fingerprint, parameter_count, weights_under
from pipeline.methods.pool import training_pool, unit_scale

PIXELS_AT_ONCE = 2**15  # HR pixels that go through the network together
NETWORK = "network."  # before the names of its weights in a state


class Miae:
    """The method `miae`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: MiaeSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the reach of bilinear upsampling, an LR pixel, and a second that may fill no-data there.

        An LR pixel that covers fused pixels has data itself, so that no fill comes from further away.

        Parameters
        ----------
        response : SpatialResponse
            H.
        """
        return 2 + response.shift_lr

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedMiae:
        """Estimate the responses if the settings ask for it, and train the network."""
        settings = self.settings
        pool = training_pool(scene, seed, "miae")
        scale = unit_scale(scene)
        device = resolve_device(settings.device)
        fingerprint = pair_fingerprint(pool, settings.deciding(), seed)

        def saved(phase: str) -> Checkpoint:
            path = checkpoint / f"{phase}.safetensors" if checkpoint else None
            return Checkpoint(path, settings.checkpoint_every, fingerprint)

        images, responses = TrainingImages(scene, pool, scale, device), None
        with reproducible(device, settings.threads):
            if settings.responses == "blind":
                responses = estimate_responses(images, saved("responses"), progress)
                pool = [responses.put_into(part) for part in pool]
                images = TrainingImages(responses.put_into(scene), pool, scale, device)
            network = train(images, settings, seed, saved("network"), progress)
        return self._fitted(scene, network, scale, responses)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedMiae:
        """Load the network's weights, the images' scale and the estimated responses."""
        settings = self.settings
        network = MiaeNetwork(scene.bands, len(scene.spectral_response), settings.endmembers, settings.stages)
        network.load_state_dict(weights_under(NETWORK, state))
        network.requires_grad_(False).eval()
        blind = settings.responses == "blind"
        responses = Responses(state["psf"], state["spectral_response"]) if blind else None
        return self._fitted(scene, network, state["scale"].item(), responses)

    def _fitted(
        self, scene: ObservedScene, network: MiaeNetwork, scale: float, responses: Responses | None
    ) -> FittedMiae:
        return FittedMiae(
            scene, self.halo_lr(scene.spatial_response), self.settings, network, scale, responses
        )


class FittedMiae(FittedMethod):
    """A scene's trained network.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    halo_lr : int
        Number of LR pixels around a window that are read.
    settings : MiaeSettings
        Device and threads of the computation.
    network : MiaeNetwork
        The trained network.
    scale : float
        Number by which the images are divided.
    responses : Responses, optional
        Responses estimated in blind mode.
    """

    precision = "float32"

    def __init__(
        self,
        scene: ObservedScene,
        halo_lr: int,
        settings: MiaeSettings,
        network: MiaeNetwork,
        scale: float,
        responses: Responses | None = None,
    ) -> None:
        super().__init__(scene, halo_lr)
        self.settings, self.scale, self.responses = settings, scale, responses
        self._device = resolve_device(settings.device)
        self.network = network.to(self._device)
        self.parameters = parameter_count(network)
        self.device = device_name(self._device)

    def state(self) -> State:
        """Return the network's weights in float32, the scale, and the responses estimated in blind mode."""
        weights = {f"{NETWORK}{k}": v.cpu().numpy() for k, v in self.network.state_dict().items()}
        estimated = self.responses.state() if self.responses else {}
        return weights | {"scale": np.array(self.scale)} | estimated

    @torch.no_grad()
    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Apply the network to all pixels, some rows at a time."""
        filled = filled_observation(observation)
        lr_hsi, hr_msi = (
            torch.from_numpy(np.ascontiguousarray(image / np.float32(self.scale))).to(self._device)
            for image in (filled.lr_hsi, filled.hr_msi)
        )
        cube = np.empty((observation.bands, *observation.hr_shape), np.float32)
        with reproducible(self._device, self.settings.threads):
            for strip in _strips(observation.whole):
                upsampling, around = bilinear(observation.lr_shape, observation.spatial_response, strip)
                patch = Patch(
                    lr_hsi[:, *around.slices], upsampling.to(self._device), hr_msi[:, *strip.slices]
                )
                (fused,) = fused_patches(self.network, [patch])
                cube[:, *strip.slices] = (fused * self.scale).cpu()
        return mark_nodata(cube, observation)


def _strips(whole: Window) -> Iterator[Window]:
    """Yield whole rows of a window, at most about `PIXELS_AT_ONCE` pixels at a time."""
    height, width = whole.shape
    rows = max(1, PIXELS_AT_ONCE // width)
    for y in range(0, height, rows):
        yield Window(y, min(y + rows, height), 0, width)
