"""Reverse diffusion of ARGS-Diff in the subspace: coefficients A and basis E, guided by X and Y.

Follows arXiv 2505.11800, sections 3.3 and 3.4, and its public code where the two differ (named
`variant`): the code takes the norms in the loss as they are and moves the DDIM output by the Adam
step; the paper squares the norms and moves the predicted noise. How factors are compared with X and
Y is in `guidance`; the C-band cube is formed nowhere here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import isfinite

import torch
from torch import Tensor

from pipeline.core.sensing.observation import Progress
from pipeline.errors import InputError
from pipeline.methods.args_diff.guidance import ARGM, GUIDANCE, Loss
from pipeline.methods.args_diff.networks import STEPS, alpha_bar
from pipeline.methods.args_diff.settings import ArgsDiffSettings

BETAS = (0.9, 0.999)
EPSILON = 1e-8

Network = Callable[[Tensor, Tensor], Tensor]
"""Predicts the noise of rows at their schedule indices."""
Watch = Callable[[int, list[Tensor]], None]
"""Sees the factors of a sampling on their way."""


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
    networks: Sequence[Network],
    start: Sequence[Tensor],
    loss: Loss,
    settings: ArgsDiffSettings,
    progress: Progress,
    watch: Watch | None = None,
) -> list[Tensor]:
    """Draw the coefficients A, and the basis E with them where it is not given.

    Parameters
    ----------
    networks : (spatial, spectral) or (spatial,)
        Predict the noise of ``(n, d, H, W)`` and of ``(d, C)``; their parameters need no gradient.
    start : (A_T, E_T) or (A_T,)
        Standard normal ``(n, d, H, W)`` and ``(d, C)``.
    loss : Loss
    settings : ArgsDiffSettings
    progress : callable
        Told of each step and its loss.
    watch : callable, optional
        Told of the steps left and the clean factors in [0, 1] that they are estimated to end at.

    Returns
    -------
    [A, E] or [A] in [0, 1]; the product A E is the cube scaled to [0, 1]
    """
    abar = alpha_bar().to(start[0].device, torch.float32)
    rho = (settings.rho1, settings.rho2)[: len(start)]
    guided = argm_factors(settings)[: len(start)]
    adam = Adam()
    factors = list(start)
    pairs = timesteps(settings.steps)
    for step, (t, after) in enumerate(pairs[:-1]):
        at_step = partial(loss, step, GUIDANCE)
        value, clean, noise, gradients = guided_estimate(networks, factors, t, abar[t], at_step)
        if not isfinite(value):
            raise InputError(
                f"args_diff: the sampling diverged at step {step + 1} of {len(pairs)} (loss {value}); "
                "use smaller rho1 and rho2, a larger r, or train longer"
            )
        moves = [r * direction for r, direction in zip(rho, adam.directions(gradients), strict=True)]
        if settings.variant == "paper":
            noise = [eps - move for eps, move in zip(noise, moves, strict=True)]
        share = abar[after]
        factors = [share.sqrt() * x0 + (1 - share).sqrt() * eps for x0, eps in zip(clean, noise, strict=True)]
        if settings.variant == "code":
            factors = [x - move for x, move in zip(factors, moves, strict=True)]
        if any(guided):
            slopes = loss_gradient(partial(loss, step, ARGM), factors)
            factors = [
                x - r / settings.r * slope if moved else x
                for x, r, slope, moved in zip(factors, rho, slopes, guided, strict=True)
            ]
        if watch:
            watch(len(pairs) - step, [unit(x0) for x0 in clean])
        progress("sampling", step + 1, len(pairs), value)
    last = pairs[-1][0]
    with torch.no_grad():
        return [unit(x0) for x0, _ in estimates(networks, factors, last, abar[last])]


def argm_factors(settings: ArgsDiffSettings) -> tuple[bool, bool]:
    """Whether the ARGM moves A, and whether it moves E."""
    return settings.argm in (True, "coefficients"), settings.argm in (True, "basis")


def guided_estimate(
    networks: Sequence[Network],
    factors: Sequence[Tensor],
    t: int,
    share: Tensor,
    loss: Callable[[Sequence[Tensor]], Tensor],
) -> tuple[float, list[Tensor], list[Tensor], list[Tensor]]:
    """Clean factors, noise and the loss's gradient with respect to the noisy factors, through the networks.

    Returns
    -------
    loss : float
    clean, noise, gradients : lists of tensors
    """
    noisy = [x.detach().requires_grad_() for x in factors]
    with torch.enable_grad():
        pairs = list(estimates(networks, noisy, t, share))
        value = loss([unit(x0) for x0, _ in pairs])
        gradients = list(torch.autograd.grad(value, noisy))
    clean, noise = zip(*((x0.detach(), eps.detach()) for x0, eps in pairs), strict=True)
    return float(value.detach()), list(clean), list(noise), gradients


def loss_gradient(loss: Callable[[Sequence[Tensor]], Tensor], factors: Sequence[Tensor]) -> list[Tensor]:
    """Gradient of a loss of factors in [0, 1] with respect to the factors in [-1, 1]."""
    with torch.enable_grad():
        free = [factor.detach().requires_grad_() for factor in factors]
        return list(torch.autograd.grad(loss([unit(x) for x in free]), free))


def estimates(
    networks: Sequence[Network], factors: Sequence[Tensor], t: int, share: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each factor: the clean one, clamped to [-1, 1], and the noise that goes with it."""
    for network, x in zip(networks, factors, strict=True):
        index = torch.full((len(x),), t, device=x.device)
        eps = network(x, index).to(x.dtype)
        x0 = ((x - (1 - share).sqrt() * eps) / share.sqrt()).clamp(-1, 1)
        yield x0, (x - share.sqrt() * x0) / (1 - share).sqrt()


def unit(x: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1]."""
    return (x + 1) / 2
