"""CuCaNet: two coupled unmixing networks, trained on the observed pair alone.

Yao et al., "Cross-Attention in Coupled Unmixing Nets for Unsupervised Hyperspectral Super-Resolution",
ECCV 2020. The class `CuCaNet` lists the differences from the publication.
"""

from __future__ import annotations

from math import ceil, floor, sqrt
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Adam

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.cucanet.crops import CropImages, Crops
from pipeline.methods.cucanet.networks import RADIUS
from pipeline.methods.cucanet.responses import footprint_response
from pipeline.methods.cucanet.settings import CucanetSettings
from pipeline.methods.cucanet.training import Training, scene_attention
from pipeline.methods.device import bfloat16_on, device_name, reproducible, resolve_device
from pipeline.methods.optimisation import (
    Checkpoint,
    Schedule,
    constant_then_linear,
    minimise,
    pair_fingerprint,
    parameter_count,
    seeded_generator,
    seeded_network,
)
from pipeline.methods.pool import training_pool, unit_scale

BLOCK = 128  # side in HR pixels of a block that the network processes at once


class CuCaNet:
    """The method `cucanet`, as described by `pipeline.methods.base.Method`.

    Differences from the publication, and their reasons:

    - The training uses crops of a fixed size instead of the whole image. The kernel of the channel attention
    is
      as large as the LR image, so that the weights of the public code fit that size only and its cost grows
      with the image. A budget whose `crop` reaches the scene's size trains on the whole image, as published.
    - The channel attention of the fused image is the mean over the crops of the scene. It is computed after
    the
      training, so that it is the same for every window. The spatial attention acts on the HSI's stream, which
      the fused image does not pass.
    - Both attentions are softmaxes times the number of their entries, with mean 1. In the public code they
      sum to 1, so that the features that they multiply all but vanish (1/512 and 1/pixels). Its channel
      attention starts at the sum over the LR image instead of the mean.
    - Abundances are clamped to [0, 1] as published, but a gradient that leads back into the range passes the
      clamp (`networks.Unit`). With a plain clamp the published learning rate soon leaves no abundance with a
      gradient on small crops and images, and the loss no longer falls.
    - For the same reason, the images reconstructed in training are not clamped to [0, 1] as in the public
      code.
    - `responses: given`, the default, uses the observation's responses; the publication learns them.
    The support
      of a learned SRF is its bands with a positive response. The public code leaves the PSF free and degrades
      the spatial attention, after its 3x3 convolution, with a second PSF. Here the MSI features are degraded
      before that convolution with the same PSF, which is non-negative and sums to 1.
    - Losses are sums over a crop divided by its number of LR pixels, which keeps their published balance.

    A noiseless scene of three mixed endmembers is recovered to 27 dB in 300 steps, to 47 dB in 6000.
    """

    def __init__(self, settings: CucanetSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the reach of the MSI encoder, and of the pixels that fill no-data there.

        A fused pixel has data itself, so that no fill comes from further away than the diagonal.

        Parameters
        ----------
        response : SpatialResponse
            H.
        """
        return max(ceil((RADIUS + floor(RADIUS * sqrt(2))) / response.ratio), response.shift_lr)

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedCuCaNet:
        """Train both streams, and average the channel attention over the scene."""
        settings, budget = self.settings, self.settings.training
        device = resolve_device(settings.device)
        pool = training_pool(scene, seed, "cucanet")
        learned, scale = settings.responses == "learned", unit_scale(scene)
        response = footprint_response(scene.spatial_response) if learned else scene.spatial_response
        crops = Crops(CropImages(scene, pool, scale, device, response), budget.crop)
        saved = Checkpoint(
            checkpoint / "cucanet.safetensors" if checkpoint else None,
            settings.checkpoint_every,
            pair_fingerprint(pool, settings.deciding(), seed),
        )
        with reproducible(device, settings.threads):
            training = self._training(scene, crops.lr_shape, seed).to(device)
            minimise(
                training,
                Adam(training.groups(budget.learning_rate), fused=True),
                lambda step: training.loss(crops.draw(seeded_generator(seed, f"cucanet/step/{step}"))),
                Schedule(
                    "cucanet",
                    "networks",
                    budget.constant + budget.falling,
                    saved,
                    constant_then_linear(budget.constant, budget.falling),
                ),
                training.project,
                progress,
            )
            attention = scene_attention(training.networks, crops)
        return FittedCuCaNet(scene, self, training, attention, scale)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedCuCaNet:
        """Load the weights, the channel attention and the scale."""
        weights = {key: torch.from_numpy(value) for key, value in state.items()}
        attention, scale = weights.pop("attention"), weights.pop("scale").item()
        height, width = weights["networks.channel_attention.weight"].shape[-2:]
        training = self._training(scene, (height, width), seed)
        training.load_state_dict(weights)
        return FittedCuCaNet(scene, self, training, attention, scale)

    def _training(self, scene: ObservedScene, lr_shape: tuple[int, int], seed: int) -> Training:
        device = resolve_device(self.settings.device)
        bfloat16 = bfloat16_on(device, self.settings.precision)
        learned = self.settings.responses == "learned"
        return seeded_network(lambda: Training(scene, lr_shape, learned, bfloat16), seed, "cucanet/weights")


class FittedCuCaNet(FittedMethod):
    """A scene's trained networks.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    method : CuCaNet
        The method with its settings.
    training : Training
        Networks and responses.
    attention : (1, 512, 1, 1) tensor
        Channel attention of the scene.
    scale : float
        Number by which the images are divided.
    """

    def __init__(
        self, scene: ObservedScene, method: CuCaNet, training: Training, attention: Tensor, scale: float
    ) -> None:
        super().__init__(scene, method.halo_lr(scene.spatial_response))
        self.settings = method.settings
        self._device = resolve_device(self.settings.device)
        self._training, self._attention = training.to(self._device), attention.to(self._device)
        self.scale = scale
        self.parameters = parameter_count(training)
        self.device = device_name(self._device)
        self.precision = "bfloat16" if training.in_bfloat16 else "float32"

    def state(self) -> State:
        """Return weights with learned responses, channel attention and scale, in float32."""
        tensors = self._training.state_dict() | {"attention": self._attention}
        state: State = {key: tensor.cpu().contiguous().numpy() for key, tensor in tensors.items()}
        return state | {"scale": np.array(self.scale, np.float32)}

    @torch.no_grad()
    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Unmix the HR-MSI in blocks and multiply by the endmembers, in float32."""
        hr_msi = torch.from_numpy(filled_observation(observation).hr_msi / np.float32(self.scale))
        cube = np.empty((observation.bands, *observation.hr_shape), np.float32)
        with reproducible(self._device, self.settings.threads):
            for block in observation.whole.split(BLOCK):
                around = block.grown(RADIUS, observation.whole)
                fused = self._training.networks.fuse(
                    hr_msi[None, :, *around.slices].to(self._device), self._attention
                )
                inner = block.relative_to(around).slices
                cube[:, *block.slices] = fused[0][:, *inner].cpu().numpy() * np.float32(self.scale)
        return mark_nodata(cube, observation)
