"""Reverse diffusion of a cube's base bands, three at a time, guided by both observations (PLRDiff).

Rui et al. (2024), as its public code does it: an ancestral step, from which the gradient of the loss of the
clean estimate is subtracted, taken through the clamp and the network. Base bands A are in [0, 1], the
network's images in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from math import isfinite

import torch
from torch import Tensor

from pipeline.core.diffusion.schedules import (
    ancestral_step,
    clean_from_noise,
    ddim_step,
    exponential,
    share_at,
    times,
)
from pipeline.core.sensing.observation import Progress
from pipeline.errors import InputError
from pipeline.methods.diffusion.low_rank_guidance import ExactStep, Loss
from pipeline.methods.diffusion.low_rank_settings import LowRankSettings

CHANNELS = 3  # of the network

Network = Callable[[Tensor, Tensor], Tensor]
"""Function that predicts the noise of images ``(n, 3, H, W)`` with ``sqrt(abar)`` ``(n,)``."""


def sample(
    network: Network,
    start: Tensor,
    noise: Callable[[int], Tensor],
    data: Loss | ExactStep | None,
    settings: LowRankSettings,
    progress: Progress,
) -> Tensor:
    """Draw base bands.

    Parameters
    ----------
    network : callable
        Predicts the noise of three bands; its parameters need no gradient.
    start : (n, r, H, W) tensor
        A_T, standard normal.
    noise : callable
        Returns the standard normal draw of a step, of the shape of `start`, given its number from 0.
    data : Loss, ExactStep or None
        How the observations act; None: not at all.
    settings : LowRankSettings
        Settings of the sampling.
    progress : callable
        Receives the number of finished steps and the loss.

    Returns
    -------
    (n, r, H, W) tensor
        A; [0, 1] is its range, but it is not clipped.

    Raises
    ------
    InputError
        The loss is not finite.
    """
    schedule, x = exponential(settings.length), start
    for step, (index, next_index) in enumerate(times(settings.length, settings.length)):
        share, after = share_at(schedule, index), share_at(schedule, next_index)
        if data is None or isinstance(data, ExactStep):
            with torch.no_grad():
                clean = clean_estimate(network, x, share)
            clean, move, value = data(clean, share) if data else clean, None, None
        else:
            clean, gradient, value = guided_estimate(network, x, share, partial(data, step))
            move = data.etas[0] * gradient
            if not isfinite(value):
                raise InputError(
                    f"{settings.method}: the sampling diverged at step {step + 1} of {settings.length} "
                    f"(loss {value}); use a smaller eta1 and eta2"
                )
        if settings.sampler == "ddim":
            x = ddim_step(x, clean, share, after)
        else:
            x = ancestral_step(x, clean, share, after, noise(step) if after < 1 else torch.zeros_like(x))
        if move is not None:
            x = x - move
        progress("sampling", step + 1, settings.length, value)
    return unit(x)


def clean_estimate(network: Network, x: Tensor, share: float) -> Tensor:
    """Return the clean images, clamped to [-1, 1], that the network sees in noisy ones.

    Parameters
    ----------
    network : callable
        Predicts the noise of three bands.
    x : (n, r, H, W) tensor
        Noisy images; each triple of bands goes through the network by itself.
    share : float
        abar, signal's share of the power.
    """
    level = torch.full((len(x),), math.sqrt(share), device=x.device)
    triples = [network(x[:, i : i + CHANNELS], level).float() for i in range(0, x.shape[1], CHANNELS)]
    return clean_from_noise(x, torch.cat(triples, dim=1), share)


def guided_estimate(
    network: Network, x: Tensor, share: float, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, float]:
    """Estimate clean images, and the gradient of their loss with respect to the noisy ones.

    Parameters
    ----------
    network : callable
        Predicts the noise of three bands.
    x : (n, r, H, W) tensor
        Noisy images.
    share : float
        abar, signal's share of the power.
    loss : callable
        Loss of the clean images in [0, 1].

    Returns
    -------
    clean, gradient : (n, r, H, W) tensors
        Estimate, and gradient through the clamp and the network.
    loss : float
        The loss.
    """
    noisy = x.detach().requires_grad_()
    with torch.enable_grad():
        clean = clean_estimate(network, noisy, share)
        value = loss(unit(clean))
        (gradient,) = torch.autograd.grad(value, noisy)
    return clean.detach(), gradient, float(value.detach())


def unit(x: Tensor) -> Tensor:
    """Map values from [-1, 1] to [0, 1]."""
    return (x + 1) / 2
