"""S2CycleDiff (Qu et al. 2024): the clean cube predicted by two branches from one noisy cube, then fused.

All images are in [0, 1].
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar, cast

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam, Optimizer

from pipeline.core.diffusion.coupling import inner
from pipeline.core.diffusion.schedules import ancestral_step, ddim_step, linear, noisy, share_at, times
from pipeline.core.diffusion.sr3 import Layers, orthogonal_
from pipeline.core.sensing.observation import Progress
from pipeline.errors import InputError
from pipeline.methods.diffusion.conditional import Model, Noise, Training, Windows
from pipeline.methods.diffusion.examples import Sample
from pipeline.methods.optimisation import constant_rate, falling_cosine
from pipeline.methods.s2cyclediff.losses import loss_terms, total
from pipeline.methods.s2cyclediff.networks import Plan, S2CycleNetworks
from pipeline.methods.s2cyclediff.settings import S2CycleDiffSettings

STEPS, FIRST_BETA, LAST_BETA = 2000, 1e-4, 2e-3  # of the published schedule
LOWEST, HIGHEST = -1.0, 2.0
"""Range of the predicted cubes in the sampling. The published one ends at 1, the largest value of the
reference; here 1 is the largest value of the blurred LR-HSI and the HR-MSI, which a sharp cube exceeds."""


class S2CycleDiff(Model):
    """The model of the method `s2cyclediff`.

    Parameters
    ----------
    settings : S2CycleDiffSettings
        Settings of the method.
    """

    name: ClassVar[str] = "s2cyclediff"
    settings: S2CycleDiffSettings

    def __init__(self, settings: S2CycleDiffSettings) -> None:
        super().__init__(settings)
        self.schedule = linear(STEPS, FIRST_BETA, LAST_BETA)

    def network(self, bands: int, msi_bands: int, ratio: Fraction, layers: Layers) -> nn.Module:
        """Build both branches, the responses and the fusion block."""
        if ratio.denominator > 1:
            raise InputError(
                f"{self.name}: ratio {ratio} is not an integer, as the convolution needs that stands for the "
                "PSF; leave this method out, or resample the HR-MSI to an integer ratio"
            )
        return S2CycleNetworks(self.plan(bands, msi_bands, ratio.numerator), layers)

    def plan(self, bands: int, msi_bands: int, ratio: int) -> Plan:
        """Return the sizes of the networks.

        Parameters
        ----------
        bands, msi_bands : int
            C and c.
        ratio : int
            HR pixels per LR pixel.
        """
        settings, budget = self.settings, self.settings.network
        return Plan(
            bands,
            msi_bands,
            ratio,
            budget.width,
            budget.multipliers,
            settings.attention,
            budget.crop,
            settings.halvings,
            settings.stride,
            budget.residual,
        )

    def start(self, network: nn.Module, sample: Sample) -> None:
        """Draw the initial weights; predicted differences are zero at first, in units of the true ones."""
        networks, budget = cast(S2CycleNetworks, network), self.settings.network
        if budget.weights == "orthogonal":
            orthogonal_(networks)
        if budget.residual:
            for last in (networks.spectral.outlet[-1], networks.spatial.outlet[-1], networks.fuse[-1]):
                for parameter in last.parameters():
                    nn.init.zeros_(parameter)
            spread = (sample.target - sample.upsampled).square().mean((0, 2, 3)).sqrt()
            networks.spread.copy_(spread.clamp(min=1e-6)[:, None, None])

    @property
    def budget(self) -> Training:
        """Length of the training, whose learning rate is constant, or falls to 0 as a cosine."""
        budget = self.settings.network
        factor = falling_cosine(budget.iterations) if budget.decay == "cosine" else constant_rate
        return Training(budget.iterations, budget.crop, budget.batch, factor)

    def optimiser(self, network: nn.Module) -> Optimizer:
        """Return Adam."""
        return Adam(network.parameters(), lr=self.settings.network.learning_rate, fused=True)

    def loss(self, network: nn.Module, sample: Sample, step: int, generator: Generator) -> Tensor:
        """Return the loss of both branches for the same noisy cube, at uniform t below T."""
        networks = cast(S2CycleNetworks, network)
        noise = torch.randn(sample.target.shape, generator=generator).to(sample.target.device)
        drawn = torch.randint(STEPS - 1, (len(noise),), generator=generator)
        share = self.schedule[drawn].to(noise.device, torch.float32)
        x = noisy(sample.target, noise, share)
        spectral, spatial = networks(x, x, sample.upsampled, sample.hr_msi, share.sqrt())
        fused = step >= self.settings.network.epoch
        return total(loss_terms(networks, spectral, spatial, sample, fused))

    def draw(self, network: nn.Module, windows: Windows, noise: Noise, progress: Progress) -> Tensor:
        """Draw the cubes of both branches, with the same noise in each step, and fuse them."""
        pairs = times(min(self.settings.steps, STEPS), STEPS)
        cubes = [
            self.first(noise(f"start/{branch}"), windows.upsampled) for branch in ("spectral", "spatial")
        ]
        for step, (t, after) in enumerate(pairs):
            share, later = share_at(self.schedule, t), share_at(self.schedule, after)
            level = torch.full((len(cubes[0]),), math.sqrt(share), device=cubes[0].device)
            predicted = network(*cubes, windows.upsampled, windows.hr_msi, level)
            clean = [cube.clamp(LOWEST, HIGHEST) for cube in predicted]
            if self.settings.sampler == "ddim":
                cubes = [ddim_step(x, x0, share, later) for x, x0 in zip(cubes, clean, strict=True)]
            else:
                shared = noise(f"step/{t}")
                cubes = [
                    ancestral_step(x, x0, share, later, shared) for x, x0 in zip(cubes, clean, strict=True)
                ]
            progress("sampling", step + 1, len(pairs))
        return cast(S2CycleNetworks, inner(network)).fused(*cubes)

    def first(self, noise: Tensor, upsampled: Tensor) -> Tensor:
        """Return the cube that a branch's sampling starts from.

        Parameters
        ----------
        noise : (n, C, H, W) tensor
            Standard normal noise.
        upsampled : (n, C, H, W) tensor
            The interpolated LR-HSI.
        """
        match self.settings.start:
            case "uniform":
                return torch.special.ndtr(noise)
            case "matched":
                return noisy(upsampled, noise, self.schedule[-1:].to(noise.device, noise.dtype))
            case _:
                return noise
