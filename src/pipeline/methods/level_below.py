"""One Wald level down: both images degraded by H once more, with the LR-HSI as their truth."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.noise import standard_normal
from pipeline.core.sensing.observation import Observation
from pipeline.core.solvers.graph_fusion import lr_origin
from pipeline.core.window import Window

Array = NDArray[np.float64]

MOST_OFFSETS = 4  # of the coarse grid in each direction; more repeat nearly the same pixels


def one_level_down(
    part: Observation, seed: int, offset: tuple[int, int] = (0, 0)
) -> tuple[Window, Observation] | None:
    """Degrade both images by H, and add noise up to their own levels.

    H's shift is left out: both degraded images are on the LR-HSI's grid.

    Parameters
    ----------
    part : Observation
        Part of a scene, without no-data.
    seed : int
        Seed of the noise.
    offset : (int, int)
        Number of LR pixels left out at the top and at the left.

    Returns
    -------
    (Window, Observation) or None
        The LR pixels covered, and the observation one level down; None if the part is too small.
    """
    response = replace(part.spatial_response, shift=(0.0, 0.0))
    step = response.ratio.numerator
    y, x = offset
    height, width = ((size - start) // step * step for size, start in zip(part.lr_shape, offset, strict=True))
    if min(height, width) <= 0:
        return None
    window = Window(y, y + height, x, x + width)
    operator = response.operator(height, width)
    gains = response.noise_gain(height, width), part.spatial_response.noise_gain(*part.hr_shape)
    lr_hsi = operator.forward(part.lr_hsi[:, *window.slices].astype(np.float64))
    hr_msi = part.operator.forward(part.hr_msi.astype(np.float64))[:, *window.slices]
    top, left = lr_origin(part.origin, response)
    origin = top + y, left + x
    coarse = standard_normal(
        seed, f"one level down/lr_hsi {y} {x}", lr_hsi.shape, lr_origin((top, left), response)
    )
    fine = standard_normal(seed, "one level down/hr_msi", hr_msi.shape, origin)
    return window, replace(
        part,
        lr_hsi=topped_up(lr_hsi, part.sigma_hsi, gains[0], coarse),
        hr_msi=topped_up(hr_msi, part.sigma_msi, gains[1], fine),
        spatial_response=response,
        origin=origin,
        gaps=None,
    )


def grid_offsets(step: int, most: int) -> list[tuple[int, int]]:
    """Return evenly spaced offsets of the grid one level down.

    Parameters
    ----------
    step : int
        LR pixels from one pixel of that grid to the next.
    most : int
        Largest number of offsets in each direction.

    >>> grid_offsets(4, 2)
    [(0, 0), (0, 2), (2, 0), (2, 2)]
    """
    count = min(most, step)
    along = [number * step // count for number in range(count)]
    return list(product(along, along))


def topped_up(image: Array, sigma: Array, gain: float, noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add as much noise as a degradation has taken away.

    Parameters
    ----------
    image : (bands, H, W)
        The degraded image.
    sigma : (bands,)
        Noise standard deviations that it had.
    gain : float
        Share of white noise's power that the degradation left.
    noise : (bands, H, W)
        White noise of unit variance.
    """
    return (image + np.sqrt(max(0.0, 1 - gain)) * sigma[:, None, None] * noise).astype(np.float32)
