"""DDPM-Fus: the noise of the cube predicted by an SR3 UNet that sees both images (arXiv 2307.03423)."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, cast

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from pipeline.core.diffusion.coupling import inner
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
from pipeline.methods.ddpm_fus.settings import DdpmFusSettings
from pipeline.methods.diffusion.conditional import Model, Noise, Training, Windows
from pipeline.methods.diffusion.examples import Sample, absolute_error
from pipeline.methods.optimisation import falling_cosine

SPREAD = 0.5
"""Standard deviation of the residual's bands in the units in which they are diffused."""


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
        self.from_clean = settings.network.prediction == "clean"

    def network(self, bands: int, msi_bands: int, ratio: Fraction, layers: Layers) -> nn.Module:
        """Build the network for C and c bands."""
        return ConditionalUNet(bands, msi_bands, self.settings, layers)

    def start(self, network: nn.Module, sample: Sample) -> None:
        """Draw the initial weights; measure the spread of the residual where it is diffused."""
        assert isinstance(network, ConditionalUNet)
        if self.from_clean:
            nn.init.zeros_(network.unet.outlet[-1].weight)  # type: ignore[arg-type]
        else:
            orthogonal_(network)
        if self.settings.network.residual:
            spread = (sample.target - sample.upsampled).square().mean((0, 2, 3)).sqrt() / SPREAD
            network.spread.copy_(spread.clamp(min=1e-6)[:, None, None])

    @property
    def budget(self) -> Training:
        """Length of the training, whose learning rate falls to 0 as a cosine."""
        budget = self.settings.network
        last = budget.iterations
        return Training(last, budget.crop, budget.batch, falling_cosine(last))

    def optimiser(self, network: nn.Module) -> Optimizer:
        """Return Adam."""
        return Adam(network.parameters(), lr=self.settings.network.learning_rate, fused=True)

    def loss(self, network: nn.Module, sample: Sample, step: int, generator: Generator) -> Tensor:
        """Return the mean absolute error of the prediction over pixels with data, at uniform t."""
        assert isinstance(network, ConditionalUNet)
        clean = network.encoded(sample.target, sample.upsampled)
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        drawn = torch.randint(len(self.schedule), (len(clean),), generator=generator)
        share = self.schedule[drawn].to(clean.device, torch.float32)
        x = noisy(clean, noise, share)
        predicted = network(x, share, sample.upsampled, sample.hr_msi)
        return absolute_error(predicted, clean if self.from_clean else noise, sample.valid)

    def draw(self, network: nn.Module, windows: Windows, noise: Noise, progress: Progress) -> Tensor:
        """Draw the cubes of windows from noise, step by step."""
        total = len(self.schedule)
        pairs = times(min(self.settings.steps, total), total)
        x = noise("start")
        for step, (t, after) in enumerate(pairs):
            share, later = share_at(self.schedule, t), share_at(self.schedule, after)
            shares = torch.full((len(x),), share, device=x.device)
            predicted = network(x, shares, windows.upsampled, windows.hr_msi).float()
            clean = predicted if self.from_clean else clean_from_noise(x, predicted, share)
            if self.settings.sampler == "ddim":
                x = ddim_step(x, clean, share, later)
            else:
                x = ancestral_step(x, clean, share, later, noise(f"step/{t}"))
            progress("sampling", step + 1, len(pairs))
        return cast(ConditionalUNet, inner(network)).decoded(x, windows.upsampled)


class ConditionalUNet(nn.Module):
    """An SR3 UNet over the noisy image, the interpolated LR-HSI and the HR-MSI.

    Parameters
    ----------
    bands, msi_bands : int
        C and c.
    settings : DdpmFusSettings
        Settings of the method.
    layers : Layers
        Kind of norms and attention.

    Attributes
    ----------
    spread : (C, 1, 1) tensor
        Unit of each band of the residual.
    """

    spread: Tensor

    def __init__(self, bands: int, msi_bands: int, settings: DdpmFusSettings, layers: Layers) -> None:
        super().__init__()
        budget = settings.network
        self.residual = budget.residual
        inputs = 2 * bands + msi_bands
        multipliers, attention = tuple(budget.multipliers), frozenset(budget.attention)
        shape = Shape(inputs, bands, budget.width, multipliers, attention=attention)
        self.unet = SR3UNet(shape, layers)
        self.register_buffer("spread", torch.ones(bands, 1, 1))

    def forward(self, x: Tensor, share: Tensor, upsampled: Tensor, hr_msi: Tensor) -> Tensor:
        """Predict from noisy images ``(n, C, H, W)`` with `share` ``(n,)``, beside both images in [0, 1]."""
        inputs = torch.cat([x, 2 * upsampled - 1, 2 * hr_msi - 1], dim=1)
        predicted: Tensor = self.unet(inputs.contiguous(memory_format=torch.channels_last), share.sqrt())
        return predicted

    def encoded(self, cube: Tensor, upsampled: Tensor) -> Tensor:
        """Return the image that is diffused: the cube in [-1, 1], or its residual in units of `spread`."""
        return (cube - upsampled) / self.spread if self.residual else 2 * cube - 1

    def decoded(self, x: Tensor, upsampled: Tensor) -> Tensor:
        """Return the cube in [0, 1] of a diffused image."""
        return x * self.spread + upsampled if self.residual else (x + 1) / 2
