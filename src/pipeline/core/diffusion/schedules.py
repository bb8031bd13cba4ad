"""Noise schedules of diffusion models, and the two steps that walk them down.

A schedule is the signal's share ``abar_t`` of the power after t of T steps (Ho et al. 2020): a noisy image is
``x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps``. Entry i of a schedule belongs to t = i + 1.

>>> [round(float(share), 4) for share in exponential(4)]
[0.9995, 0.9933, 0.918, 0.001]
>>> times(4, 1000)
[(999, 749), (749, 499), (499, 249), (249, -1)]
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

LARGEST_BETA = 0.999  # of the cosine schedule, whose last step would have beta = 1


def exponential(steps: int, sharpness: float = 10.0) -> Tensor:
    """Return the schedule "exp" of PLRDiff and ARGS-Diff.

    ``abar_t = 0.001 + 0.999 (1 - exp(-k (1 - t/T))) / (1 - exp(-k))`` for t = 1..T, decreasing.

    Parameters
    ----------
    steps : int
        T.
    sharpness : float
        k.

    Returns
    -------
    (T,) float64 tensor
    """
    t = torch.arange(1, steps + 1, dtype=torch.float64)
    falling = (1 - torch.exp(-sharpness * (1 - t / steps))) / (1 - math.exp(-sharpness))
    return 0.001 + 0.999 * falling


def linear(steps: int, first: float, last: float) -> Tensor:
    """Return the schedule whose variances ``beta_t = 1 - abar_t / abar_(t-1)`` rise linearly.

    From Ho et al. (2020).

    Parameters
    ----------
    steps : int
        T.
    first, last : float
        Variances of the first and of the last step.

    Returns
    -------
    (T,) float64 tensor
    """
    return torch.cumprod(1 - torch.linspace(first, last, steps, dtype=torch.float64), 0)


def cosine(steps: int, offset: float = 8e-3) -> Tensor:
    """Return the schedule ``abar_t = f(t) / f(0)``, ``f(t) = cos^2(pi/2 (t/T + s) / (1 + s))``.

    From Nichol and Dhariwal (2021); no variance is above 0.999.

    Parameters
    ----------
    steps : int
        T.
    offset : float
        s.

    Returns
    -------
    (T,) float64 tensor
    """
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    share = torch.cos((t + offset) / (1 + offset) * math.pi / 2).square()
    beta = (1 - share[1:] / share[:-1]).clamp(max=LARGEST_BETA)
    return torch.cumprod(1 - beta, 0)


def times(steps: int, total: int) -> list[tuple[int, int]]:
    """Return the schedule indices of each sampling step and of its successor, which is -1 at the end.

    Parameters
    ----------
    steps : int
        Number of sampling steps, at most `total`.
    total : int
        T, length of the schedule.
    """
    indices = [number * total // steps - 1 for number in range(steps, -1, -1)]
    return list(pairwise(indices))


def share_at(schedule: Tensor, index: int) -> float:
    """Return the signal's share at an index of a schedule; 1 at index -1, the end of the sampling.

    Parameters
    ----------
    schedule : (T,) tensor
        The schedule.
    index : int
        Index from -1 to T - 1.
    """
    return 1.0 if index < 0 else float(schedule[index])


def noisy(clean: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    """Return ``sqrt(abar) x_0 + sqrt(1 - abar) eps``.

    Parameters
    ----------
    clean, noise : (n, ...) tensor
        Images and standard normal noise.
    share : (n,) tensor
        Signal's share of the power in each image.
    """
    share = share.view(-1, *[1] * (clean.ndim - 1))
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def clean_from_noise(x: Tensor, noise: Tensor, share: float) -> Tensor:
    """Return the clean image, clamped to [-1, 1], that a noisy image and its noise imply.

    Parameters
    ----------
    x, noise : tensor
        Noisy image, and its noise as predicted.
    share : float
        Signal's share of the power.
    """
    return ((x - math.sqrt(1 - share) * noise) / math.sqrt(share)).clamp(-1, 1)


def ddim_step(x: Tensor, clean: Tensor, share: float, after: float) -> Tensor:
    """Take a deterministic step (Song et al. 2021, eta = 0) to a larger share of the signal.

    Parameters
    ----------
    x : tensor
        Noisy image.
    clean : tensor
        Estimate of the clean image.
    share, after : float
        Signal's share of the power before and after the step; any steps of the schedule may lie between.
    """
    noise = (x - math.sqrt(share) * clean) / math.sqrt(1 - share)
    return math.sqrt(after) * clean + math.sqrt(1 - after) * noise


def ancestral_step(x: Tensor, clean: Tensor, share: float, after: float, noise: Tensor) -> Tensor:
    """Draw from ``q(x_after | x, x_0)`` (Ho et al. 2020, Eq. 7), of variance ``beta~``.

    Parameters
    ----------
    x : tensor
        Noisy image.
    clean : tensor
        Estimate of the clean image.
    share, after : float
        Signal's share of the power before and after the step; any steps of the schedule may lie between.
    noise : tensor
        Standard normal draw; it has no weight in the last step, where `after` is 1.
    """
    kept = share / after  # product of the steps' 1 - beta
    of_clean = math.sqrt(after) * (1 - kept) / (1 - share)
    of_noisy = math.sqrt(kept) * (1 - after) / (1 - share)
    variance = (1 - kept) * (1 - after) / (1 - share)
    return of_clean * clean + of_noisy * x + math.sqrt(variance) * noise
