"""Reverse diffusion of ARGS-Diff in the subspace: coefficients A and basis E, guided by X and Y.

Follows arXiv 2505.11800, sections 3.3 and 3.4, or its public code where the two differ (`variant`): the code
does not square the norms in the loss and moves the DDIM output by the Adam step; the paper squares the norms
and moves the predicted noise. `guidance` compares the factors with X and Y, without forming the cube.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import isfinite

import torch
from torch import Tensor

from pipeline.core.diffusion.schedules import times
from pipeline.core.sensing.observation import Progress
from pipeline.errors import InputError
from pipeline.methods.args_diff.guidance import ARGM, GUIDANCE, Loss
from pipeline.methods.args_diff.networks import STEPS, alpha_bar
from pipeline.methods.args_diff.settings import ArgsDiffSettings
from pipeline.methods.diffusion.captured import LOOK_EVERY, Captured

BETAS = (0.9, 0.999)
EPSILON = 1e-8

Network = Callable[[Tensor, Tensor], Tensor]
"""Function that predicts the noise of rows at their schedule indices."""
Watch = Callable[[int, list[Tensor]], None]
"""Function that receives the number of remaining steps and the clean factors, in [0, 1]."""


class Adam:
    """Bias-corrected Adam directions, with one state for the whole run (Eqs. 13 to 15).

    Parameters
    ----------
    factors : sequence of Tensor
        The tensors that are moved, on whose device all numbers are.
    """

    def __init__(self, factors: Sequence[Tensor]) -> None:
        self.first = [torch.zeros_like(x) for x in factors]
        self.second = [torch.zeros_like(x) for x in factors]
        self.betas = torch.tensor(BETAS, dtype=torch.float64, device=factors[0].device)
        self.count = torch.zeros_like(self.betas)

    def directions(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the normalised step for each gradient, and update the moments."""
        self.count += 1
        corrections = 1 - self.betas**self.count
        steps = []
        for m, v, g in zip(self.first, self.second, gradients, strict=True):
            m.lerp_(g, 1 - BETAS[0])
            v.lerp_(g.square(), 1 - BETAS[1])
            of_first, of_second = corrections.to(g.dtype)
            steps.append(m / of_first / ((v / of_second).sqrt() + EPSILON))
        return steps


class GuidedRun:
    """A sampling run, of which everything that changes from step to step is a tensor on the device.

    A step therefore waits for nothing and can be captured.

    Parameters
    ----------
    networks : (spatial, spectral) or (spatial,)
        Predict the noise of ``(n, d, H, W)`` and of ``(d, C)``; their parameters need no gradient.
    start : (A_T, E_T) or (A_T,)
        Standard normal ``(n, d, H, W)`` and ``(d, C)``.
    loss : Loss
        Loss of the factors against the images.
    settings : ArgsDiffSettings
        Settings of the sampling.

    Attributes
    ----------
    factors : list of Tensor
        The noisy factors.
    """

    def __init__(
        self, networks: Sequence[Network], start: Sequence[Tensor], loss: Loss, settings: ArgsDiffSettings
    ) -> None:
        self.networks, self.loss, self.settings = networks, loss, settings
        self.factors = [x.clone() for x in start]
        self._adam = Adam(start)
        device = start[0].device
        self._abar = alpha_bar().to(device, torch.float32)
        self._times = torch.tensor(times(settings.steps, STEPS), device=device)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)

    def advance(self) -> tuple[Tensor, list[Tensor]]:
        """Take a guided step, and return the loss before it and the estimates of the clean factors."""
        t, after = self._times.index_select(0, self._step)[0].split(1)
        share, later = (self._abar.index_select(0, time)[0] for time in (t, after))
        guidance, argm = (partial(self.loss, self._step, use) for use in (GUIDANCE, ARGM))
        value, clean, noise, gradients = guided_estimate(self.networks, self.factors, t, share, guidance)
        moved = _moved(clean, noise, self._adam.directions(gradients), later, self.settings)
        moved = _corrected(moved, argm, self.settings)
        for x, new in zip(self.factors, moved, strict=True):
            x.copy_(new)
        self._step += 1
        return value, clean

    @torch.no_grad()
    def finish(self) -> list[Tensor]:
        """Return the last estimate of the clean factors, in [0, 1]."""
        t = self._times[-1, :1]
        share = self._abar.index_select(0, t)[0]
        return [unit(x0) for x0, _ in estimates(self.networks, self.factors, t, share)]


def sample(
    networks: Sequence[Network],
    start: Sequence[Tensor],
    loss: Loss,
    settings: ArgsDiffSettings,
    progress: Progress,
    watch: Watch | None = None,
) -> list[Tensor]:
    """Draw the coefficients A, and the basis E with them unless the loss contains it.

    Parameters
    ----------
    networks : (spatial, spectral) or (spatial,)
        Predict the noise of ``(n, d, H, W)`` and of ``(d, C)``; their parameters need no gradient.
    start : (A_T, E_T) or (A_T,)
        Standard normal ``(n, d, H, W)`` and ``(d, C)``.
    loss : Loss
        Loss of the factors against the images.
    settings : ArgsDiffSettings
        Settings of the sampling.
    progress : callable
        Receives the number of finished steps and the loss.
    watch : callable, optional
        Receives the number of remaining steps and the current estimate of the clean factors.

    Returns
    -------
    [A, E] or [A] in [0, 1]; the product A E is the cube scaled to [0, 1]
    """
    run, device = GuidedRun(networks, start, loss, settings), start[0].device
    advance = run.advance if loss.recording else Captured(run.advance, device)
    for step in range(1, settings.steps):
        value, clean = advance()
        if watch:
            watch(settings.steps - step + 1, [unit(x0) for x0 in clean])
        if step % LOOK_EVERY[device.type] == 0 or step == settings.steps - 1:
            _require_finite(float(value), step, settings.steps)
            progress("sampling", step, settings.steps, float(value))
    return run.finish()


def _require_finite(loss: float, step: int, steps: int) -> None:
    """Refuse to continue a sampling that diverged."""
    if not isfinite(loss):
        raise InputError(
            f"args_diff: the sampling diverged at step {step} of {steps} (loss {loss}); "
            "use smaller rho1 and rho2, a larger r, or train longer"
        )


def _moved(
    clean: Sequence[Tensor],
    noise: Sequence[Tensor],
    directions: Sequence[Tensor],
    share: Tensor,
    settings: ArgsDiffSettings,
) -> list[Tensor]:
    """Take a DDIM step to the signal's share `share`, guided by Adam's directions."""
    rho = (settings.rho1, settings.rho2)[: len(clean)]
    moves = [r * direction for r, direction in zip(rho, directions, strict=True)]
    if settings.variant == "paper":
        noise = [eps - move for eps, move in zip(noise, moves, strict=True)]
    factors = [share.sqrt() * x0 + (1 - share).sqrt() * eps for x0, eps in zip(clean, noise, strict=True)]
    if settings.variant == "code":
        factors = [x - move for x, move in zip(factors, moves, strict=True)]
    return factors


def _corrected(
    factors: list[Tensor], loss: Callable[[Sequence[Tensor]], Tensor], settings: ArgsDiffSettings
) -> list[Tensor]:
    """Take the plain gradient step of the ARGM, on the factors that the settings name."""
    moves = argm_factors(settings)[: len(factors)]
    if not any(moves):
        return factors
    rho = (settings.rho1, settings.rho2)[: len(factors)]
    return [
        x - r / settings.r * slope if moved else x
        for x, r, slope, moved in zip(factors, rho, loss_gradient(loss, factors), moves, strict=True)
    ]


def argm_factors(settings: ArgsDiffSettings) -> tuple[bool, bool]:
    """Return whether the ARGM moves A, and whether it moves E."""
    return settings.argm in (True, "coefficients"), settings.argm in (True, "basis")


def guided_estimate(
    networks: Sequence[Network],
    factors: Sequence[Tensor],
    t: Tensor,
    share: Tensor,
    loss: Callable[[Sequence[Tensor]], Tensor],
) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    """Estimate clean factors and noise, and the gradient of the loss through the networks.

    Parameters
    ----------
    networks : sequence of callable
        Predict the noise of the factors.
    factors : sequence of Tensor
        The noisy factors.
    t : (1,) tensor
        Schedule index.
    share : Tensor
        Signal's share of the power at that index.
    loss : callable
        Loss of the clean factors in [0, 1].

    Returns
    -------
    loss : Tensor
        The loss.
    clean, noise, gradients : lists of tensors
        Estimates of each factor, and gradients with respect to the noisy factors.
    """
    noisy = [x.detach().requires_grad_() for x in factors]
    with torch.enable_grad():
        pairs = list(estimates(networks, noisy, t, share))
        value = loss([unit(x0) for x0, _ in pairs])
        gradients = list(torch.autograd.grad(value, noisy))
    clean, noise = zip(*((x0.detach(), eps.detach()) for x0, eps in pairs), strict=True)
    return value.detach(), list(clean), list(noise), gradients


def loss_gradient(loss: Callable[[Sequence[Tensor]], Tensor], factors: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradient of a loss of factors in [0, 1] with respect to the factors in [-1, 1]."""
    with torch.enable_grad():
        free = [factor.detach().requires_grad_() for factor in factors]
        return list(torch.autograd.grad(loss([unit(x) for x in free]), free))


def estimates(
    networks: Sequence[Network], factors: Sequence[Tensor], t: Tensor, share: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the estimate of each clean factor, clamped to [-1, 1], and the noise that belongs to it.

    Parameters
    ----------
    networks : sequence of callable
        Predict the noise of the factors.
    factors : sequence of Tensor
        The noisy factors.
    t : (1,) tensor
        Schedule index.
    share : Tensor
        Signal's share of the power at that index.
    """
    for network, x in zip(networks, factors, strict=True):
        eps = network(x, t.expand(len(x))).to(x.dtype)
        x0 = ((x - (1 - share).sqrt() * eps) / share.sqrt()).clamp(-1, 1)
        yield x0, (x - share.sqrt() * x0) / (1 - share).sqrt()


def unit(x: Tensor) -> Tensor:
    """Map values from [-1, 1] to [0, 1]."""
    return (x + 1) / 2
