"""Reverse diffusion of ARGS-Diff in the subspace: coefficients A and basis E, guided by X and Y.

Follows arXiv 2505.11800, sections 3.3 and 3.4, and its public code where the two differ (named
`variant`): the code takes the norms in the loss as they are and moves the DDIM output by the Adam
step; the paper squares the norms and moves the predicted noise. The responses act on the d
coefficient planes and on the d x C basis; the C-band cube is formed only at the end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

from pipeline.core.observation import Progress
from pipeline.core.spatial import SpatialOperator
from pipeline.errors import InputError
from pipeline.methods.args_diff.networks import STEPS, alpha_bar
from pipeline.settings import ArgsDiffSettings

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True)
class Guidance:
    """The two observations, scaled to [0, 1], and how a factor pair is compared with them.

    Attributes
    ----------
    lr_hsi : (C, h, w) tensor
    hr_msi : (c, H, W) tensor
    spectral_response : (c, C) tensor
    operator : SpatialOperator
        H on tensors.
    squared : bool
        Whether the loss squares its norms.
    """

    lr_hsi: Tensor
    hr_msi: Tensor
    spectral_response: Tensor
    operator: SpatialOperator
    squared: bool

    def loss(self, coefficients: Tensor, basis: Tensor, weight: float) -> Tensor:
        """``||X - H(A E)||_F + weight ||Y - A E R^T||_F`` for A ``(d, H, W)`` and E ``(d, C)``.

        Squared norms are divided by the number of observed values: as printed, as sums, they make
        the plain step of the ARGM diverge on images of more than some 32 x 32 pixels.

        Uses ``H(A E) = H(A) E`` and ``(A E) R^T = A (E R^T)``.
        """
        of_hsi = self.lr_hsi - torch.tensordot(basis.T, self.operator.forward(coefficients), dims=1)
        of_msi = self.hr_msi - torch.tensordot(self.spectral_response @ basis.T, coefficients, dims=1)
        if self.squared:
            total = of_hsi.square().sum() + weight * of_msi.square().sum()
            return total / (of_hsi.numel() + of_msi.numel())
        return of_hsi.norm() + weight * of_msi.norm()

    def gradient(self, factors: list[Tensor], weight: float) -> list[Tensor]:
        """Gradient of the loss with respect to factors in [-1, 1]."""
        with torch.enable_grad():
            free = [factor.detach().requires_grad_() for factor in factors]
            loss = self.loss(unit(free[0]), unit(free[1]), weight)
            return list(torch.autograd.grad(loss, free))


class Adam:
    """Bias-corrected Adam directions, with one state for the whole run (Eqs. 13 to 15)."""

    def __init__(self) -> None:
        self.first: list[Tensor] = []
        self.second: list[Tensor] = []
        self.count = 0

    def directions(self, gradients: list[Tensor]) -> list[Tensor]:
        """The normalised step for each gradient."""
        if not self.first:
            self.first = [torch.zeros_like(g) for g in gradients]
            self.second = [torch.zeros_like(g) for g in gradients]
        self.count += 1
        steps = []
        for m, v, g in zip(self.first, self.second, gradients, strict=True):
            m.lerp_(g, 1 - BETAS[0])
            v.lerp_(g.square(), 1 - BETAS[1])
            first = m / (1 - BETAS[0] ** self.count)
            second = v / (1 - BETAS[1] ** self.count)
            steps.append(first / (second.sqrt() + EPSILON))
        return steps


def timesteps(steps: int) -> list[tuple[int, int]]:
    """Schedule indices of each sampling step and its successor; the last successor, -1, is the result.

    >>> timesteps(500)[0], timesteps(500)[-1], len(timesteps(500))
    ((999, 997), (1, -1), 500)
    """
    times = torch.linspace(-1, STEPS - 1, steps + 1, dtype=torch.float64).long().tolist()[::-1]
    return list(itertools.pairwise(times))


def sample(
    networks: tuple[nn.Module, nn.Module],
    start: tuple[Tensor, Tensor],
    guidance: Guidance,
    settings: ArgsDiffSettings,
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """Draw the factors of the fused cube.

    Parameters
    ----------
    networks : (spatial, spectral)
        Predict the noise of ``(1, d, H, W)`` and of ``(d, C)``; their parameters need no gradient.
    start : (A_T, E_T)
        Standard normal ``(d, H, W)`` and ``(d, C)``.
    guidance : Guidance
    settings : ArgsDiffSettings
    progress : callable
        Told of each step and its loss.

    Returns
    -------
    (A, E) in [0, 1], whose product is the cube scaled to [0, 1]
    """
    abar = alpha_bar().to(start[0].device, torch.float32)
    rho = (settings.rho1, settings.rho2)
    adam = Adam()
    factors = list(start)
    pairs = timesteps(settings.steps)
    for count, (t, after) in enumerate(pairs[:-1], start=1):
        loss, clean, noise, gradients = guided_estimate(networks, factors, t, abar[t], guidance, settings)
        if not isfinite(loss):
            raise InputError(
                f"args_diff: the sampling diverged at step {count} of {len(pairs)} (loss {loss}); "
                "use smaller rho1 and rho2, a larger r, or train longer"
            )
        moves = [r * step for r, step in zip(rho, adam.directions(gradients), strict=True)]
        if settings.variant == "paper":
            noise = [eps - move for eps, move in zip(noise, moves, strict=True)]
        share = abar[after]
        factors = [share.sqrt() * x0 + (1 - share).sqrt() * eps for x0, eps in zip(clean, noise, strict=True)]
        if settings.variant == "code":
            factors = [x - move for x, move in zip(factors, moves, strict=True)]
        if settings.argm:
            steps = guidance.gradient(factors, settings.lambda2)
            factors = [x - r / settings.r * step for x, r, step in zip(factors, rho, steps, strict=True)]
        progress("sampling", count, len(pairs), loss)
    last = pairs[-1][0]
    with torch.no_grad():
        clean = [x0 for x0, _ in estimates(networks, factors, last, abar[last])]
    return unit(clean[0]), unit(clean[1])


def guided_estimate(
    networks: tuple[nn.Module, nn.Module],
    factors: list[Tensor],
    t: int,
    share: Tensor,
    guidance: Guidance,
    settings: ArgsDiffSettings,
) -> tuple[float, list[Tensor], list[Tensor], list[Tensor]]:
    """Clean factors, noise and the loss's gradient with respect to the noisy factors, through the networks.

    Returns
    -------
    loss : float
    clean, noise, gradients : lists of (A, E) tensors
    """
    noisy = [x.detach().requires_grad_() for x in factors]
    with torch.enable_grad():
        pairs = list(estimates(networks, noisy, t, share))
        loss = guidance.loss(unit(pairs[0][0]), unit(pairs[1][0]), settings.lambda1)
        gradients = list(torch.autograd.grad(loss, noisy))
    clean, noise = zip(*((x0.detach(), eps.detach()) for x0, eps in pairs), strict=True)
    return float(loss.detach()), list(clean), list(noise), gradients


def estimates(
    networks: tuple[nn.Module, nn.Module], factors: list[Tensor], t: int, share: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """For A and E: the clean factor, clamped to [-1, 1], and the noise that goes with it."""
    for network, x, batched in zip(networks, factors, (True, False), strict=True):
        rows = x[None] if batched else x
        index = torch.full((len(rows),), t, device=x.device)
        eps = network(rows, index).to(x.dtype).view_as(x)
        x0 = ((x - (1 - share).sqrt() * eps) / share.sqrt()).clamp(-1, 1)
        yield x0, (x - share.sqrt() * x0) / (1 - share).sqrt()


def unit(x: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1]."""
    return (x + 1) / 2
