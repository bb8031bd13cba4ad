"""Training samples of the prior: random triples of the HR-MSI's bands, at noise levels between all steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pipeline.core.diffusion.schedules import cosine
from pipeline.methods.diffusion.low_rank_sampling import CHANNELS
from pipeline.methods.diffusion.noise_prediction import Draw, Levels

SCHEDULE = 2000  # steps of the training's schedule
GAIN, OFFSET = 0.2, 0.05  # largest change of a band's contrast and level


def continuous_levels() -> Levels:
    """Return a draw of ``sqrt(abar)``, uniform between two neighbouring steps of the cosine schedule.

    As the published network was trained (ddpm-cd, after Chen et al. 2021), so that it can be sampled on any
    schedule.
    """
    roots = torch.cat([torch.ones(1, dtype=torch.float64), cosine(SCHEDULE).sqrt()])

    def levels(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        step = torch.randint(1, SCHEDULE + 1, (count,), generator=generator)
        between = torch.rand(count, generator=generator, dtype=torch.float64)
        level = torch.lerp(roots[step], roots[step - 1], between).float()
        return level, level.square()

    return levels


def triples_draw(images: Sequence[NDArray[np.float32]], crop: int, batch: int) -> Draw:
    """Return a draw of crops of three bands, flipped and turned at random, each band brighter or darker.

    Parameters
    ----------
    images : sequence of (c, H, W)
        Windows of the HR-MSI in [0, 1].
    crop : int
        Side of a crop in HR pixels; less where an image is smaller.
    batch : int
        Number of crops in a draw.
    """
    tensors = [torch.from_numpy(np.asarray(image, np.float32)) for image in images]
    crop = min(crop, *(min(image.shape[1:]) for image in tensors))

    def integer(size: int, generator: Generator) -> int:
        return int(torch.randint(size, (), generator=generator))

    def sample(generator: Generator) -> Tensor:
        image = tensors[integer(len(tensors), generator)]
        y, x = (integer(size - crop + 1, generator) for size in image.shape[1:])
        order = torch.cat([torch.randperm(len(image), generator=generator) for _ in range(CHANNELS)])
        piece = image[order[:CHANNELS], y : y + crop, x : x + crop]
        piece = torch.rot90(piece, integer(4, generator), (1, 2))
        if integer(2, generator):
            piece = piece.flip(2)
        gain, offset = 2 * torch.rand(2, CHANNELS, 1, 1, generator=generator) - 1
        return (piece * (1 + GAIN * gain) + OFFSET * offset).clamp(0, 1) * 2 - 1

    return lambda generator: torch.stack([sample(generator) for _ in range(batch)])
