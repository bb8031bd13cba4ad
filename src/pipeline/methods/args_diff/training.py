"""Samples and noise levels of the training of ARGS-Diff's two networks (arXiv 2505.11800, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from pipeline.methods.args_diff.networks import STEPS, alpha_bar
from pipeline.methods.diffusion.noise_prediction import Draw, Levels


def uniform_levels() -> Levels:
    """Return a draw of schedule indices, all equally likely."""
    abar = alpha_bar().float()

    def levels(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        t = torch.randint(STEPS, (count,), generator=generator)
        return t, abar[t]

    return levels


def spectra_draw(spectra: Tensor, batch: int) -> Draw:
    """Return a draw of single spectra.

    Parameters
    ----------
    spectra : (n, C) tensor
        Spectra in [-1, 1].
    batch : int
        Number of spectra in a draw.
    """

    def draw(generator: Generator) -> Tensor:
        return spectra[torch.randint(len(spectra), (batch,), generator=generator)]

    return draw


def crops_draw(images: Sequence[Tensor], crop: int, batch: int, d: int) -> Draw:
    """Return a draw of crops whose d channels are independently drawn bands.

    Parameters
    ----------
    images : sequence of (c, H, W)
        Windows of the HR-MSI in [-1, 1], none smaller than a crop.
    crop : int
        Side of a crop.
    batch : int
        Number of crops in a draw.
    d : int
        Number of channels of a crop.
    """

    def position(size: int, generator: Generator) -> int:
        return int(torch.randint(size, (), generator=generator))

    def draw(generator: Generator) -> Tensor:
        samples = []
        for _ in range(batch):
            image = images[position(len(images), generator)] if len(images) > 1 else images[0]
            y, x = (position(size - crop + 1, generator) for size in image.shape[1:])
            bands = torch.randint(len(image), (d,), generator=generator)
            samples.append(image[bands, y : y + crop, x : x + crop])
        return torch.stack(samples)

    return draw
