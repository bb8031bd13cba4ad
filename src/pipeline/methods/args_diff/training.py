"""Samples and noise levels of the training of ARGS-Diff's two networks (arXiv 2505.11800, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from pipeline.methods.args_diff.networks import STEPS, alpha_bar
from pipeline.methods.diffusion.noise_prediction import Draw, Levels


def uniform_levels(device: torch.device) -> Levels:
    """Return a draw of schedule indices, all equally likely.

    Parameters
    ----------
    device : torch.device
        Device of the generator and of what is drawn.
    """
    abar = alpha_bar().float().to(device)

    def levels(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        t = torch.randint(STEPS, (count,), generator=generator, device=device)
        return t, abar[t]

    return levels


def spectra_draw(spectra: Tensor, batch: int) -> Draw:
    """Return a draw of single spectra.

    Parameters
    ----------
    spectra : (n, C) tensor
        Spectra in [-1, 1], on the device of the generator.
    batch : int
        Number of spectra in a draw.
    """

    def draw(generator: Generator) -> Tensor:
        return spectra[torch.randint(len(spectra), (batch,), generator=generator, device=spectra.device)]

    return draw


def crops_draw(images: Sequence[Tensor], crop: int, batch: int, d: int) -> Draw:
    """Return a draw of crops whose d channels are independently drawn bands.

    On a GPU all crops are drawn at once, since a position that Python reads is waited for.

    Parameters
    ----------
    images : sequence of (c, H, W)
        Windows of the HR-MSI in [-1, 1], of one shape, on the device of the generator.
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

    if images[0].device.type == "cpu":
        return draw
    stacked = torch.stack(list(images))
    return lambda generator: crops_at_once(stacked, crop, (batch, d), generator)


def crops_at_once(images: Tensor, crop: int, shape: tuple[int, int], generator: Generator) -> Tensor:
    """Draw crops ``(batch, d, crop, crop)`` whose channels are independently drawn bands.

    Parameters
    ----------
    images : (n, c, H, W) tensor
        Windows of the HR-MSI, on the device of the generator.
    crop : int
        Side of a crop.
    shape : (int, int)
        Number of crops, and d.
    generator : Generator
        Random numbers of the draw.
    """

    def integers(size: int, count: tuple[int, int]) -> Tensor:
        return torch.randint(size, count, generator=generator, device=images.device)[..., None, None]

    (number, bands, height, width), one_each = images.shape, (shape[0], 1)
    image, band = integers(number, one_each), integers(bands, shape)
    y, x = (integers(size - crop + 1, one_each) for size in (height, width))
    along = torch.arange(crop, device=images.device)
    return images[image, band, y + along[:, None], x + along]
