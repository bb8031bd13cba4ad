"""DDPM-Fus: the noise of the cube predicted by an SR3 UNet that sees both images (arXiv 2307.03423).

All images are mapped to [-1, 1]; the network's input is the noisy cube beside the interpolated LR-HSI and the
HR-MSI.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam

from pipeline.core.diffusion.schedules import (
    ancestral_step,
    clean_from_noise,
    ddim_step,
    linear,
    noisy,
    share_at,
    times,
)
from pipeline.core.diffusion.sr3 import Layers, Shape, SR3UNet, orthogonal_
from pipeline.core.sensing.observation import Progress
from pipeline.methods.conditional import Model, Noise, Training, Windows
from pipeline.methods.ddpm_fus.settings import DdpmFusSettings
from pipeline.methods.examples import Sample


class DdpmFus(Model):
    """The model of the method `ddpm_fus`.

    Parameters
    ----------
    settings : DdpmFusSettings
        Settings of the method.
    """

    name: ClassVar[str] = "ddpm_fus"
    settings: DdpmFusSettings

    def __init__(self, settings: DdpmFusSettings) -> None:
        super().__init__(settings)
        self.schedule = linear(settings.diffusion_steps, settings.first_beta, settings.last_beta)

    def network(self, bands: int, msi_bands: int, layers: Layers) -> nn.Module:
        """Build the UNet with ``2 C + c`` input and C output channels, with orthogonal weights."""
        budget = self.settings.network
        shape = Shape(
            2 * bands + msi_bands, bands, budget.width, tuple(budget.multipliers), 2, set(budget.attention)
        )
        return orthogonal_(SR3UNet(shape, layers))

    def training(self, network: nn.Module) -> Training:
        """Return Adam with a learning rate that falls to 0 as a cosine."""
        budget = self.settings.network
        optimiser = Adam(network.parameters(), lr=budget.learning_rate, fused=True)
        return Training(
            optimiser,
            budget.iterations,
            budget.crop,
            budget.batch,
            lambda step: (1 + math.cos(math.pi * step / budget.iterations)) / 2,
        )

    def loss(self, network: nn.Module, sample: Sample, step: int, generator: Generator) -> Tensor:
        """Return the mean absolute error of the noise over pixels with data, at uniform t."""
        clean = self.signed(sample.target, sample.upsampled)
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        drawn = torch.randint(len(self.schedule), (len(clean),), generator=generator)
        share = self.schedule[drawn].to(clean.device, torch.float32)
        predicted = predict(network, noisy(clean, noise, share), share, sample.upsampled, sample.hr_msi)
        error = (predicted - noise).abs() * sample.valid
        return error.sum() / (sample.valid.sum().clamp(min=1) * clean.shape[1])

    def draw(self, network: nn.Module, windows: Windows, noise: Noise, progress: Progress) -> Tensor:
        """Draw the cubes of windows from noise, step by step."""
        pairs = times(min(self.settings.steps, len(self.schedule)), len(self.schedule))
        x = noise("start")
        for step, (t, after) in enumerate(pairs):
            share, later = share_at(self.schedule, t), share_at(self.schedule, after)
            shares = torch.full((len(x),), share, device=x.device)
            predicted = predict(network, x, shares, windows.upsampled, windows.hr_msi)
            clean = clean_from_noise(x, predicted, share)
            if self.settings.sampler == "ddim":
                x = ddim_step(x, clean, share, later)
            else:
                x = ancestral_step(x, clean, share, later, noise(f"step/{t}"))
            progress("sampling", step + 1, len(pairs))
        return self.unit(x, windows.upsampled)

    def signed(self, cube: Tensor, upsampled: Tensor) -> Tensor:
        """Map a cube in [0, 1], or its difference to the interpolated LR-HSI, to [-1, 1]."""
        return cube - upsampled if self.settings.residual else 2 * cube - 1

    def unit(self, x: Tensor, upsampled: Tensor) -> Tensor:
        """Invert `signed`."""
        return x + upsampled if self.settings.residual else (x + 1) / 2


def predict(network: nn.Module, x: Tensor, share: Tensor, upsampled: Tensor, hr_msi: Tensor) -> Tensor:
    """Predict the noise ``(n, C, H, W)`` of noisy cubes.

    Parameters
    ----------
    network : nn.Module
        The UNet.
    x : (n, C, H, W) tensor
        Noisy cubes in [-1, 1].
    share : (n,) tensor
        Signal's share of the power.
    upsampled : (n, C, H, W) tensor
        The interpolated LR-HSI in [0, 1].
    hr_msi : (n, c, H, W) tensor
        The HR-MSI in [0, 1].
    """
    inputs = torch.cat([x, 2 * upsampled - 1, 2 * hr_msi - 1], dim=1)
    noise: Tensor = network(inputs.contiguous(memory_format=torch.channels_last), share.sqrt())
    return noise.float()
