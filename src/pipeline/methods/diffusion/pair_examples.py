"""Examples of a pair that has no reference: its images one Wald level down, where the LR-HSI is the truth.

Two things set the level below apart from the pair, most of all on a small scene, and both are undone here.
It has few pixels, so that networks learn them by heart: it is made at several offsets of its grid, each of
which shows the truth below other LR pixels. And its detail, what H takes away, may be stronger than the
pair's, and networks tend to draw detail as strong as they learned it.
The HR-MSI shows at both levels how strong detail is; on the level below it is attenuated accordingly.
"""

from __future__ import annotations

from dataclasses import replace
from math import isqrt, sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation
from pipeline.core.sensing.noise import standard_normal
from pipeline.core.sensing.observation import Image, Observation, ObservedScene
from pipeline.core.sensing.spatial import upsample
from pipeline.errors import InputError
from pipeline.methods.diffusion.examples import Example
from pipeline.methods.level_below import MOST_OFFSETS, grid_offsets, one_level_down, topped_up
from pipeline.methods.pool import training_pool

ENOUGH = 256**2  # LR pixels, of all offsets together, beyond which no further offset is used

Array = NDArray[np.float64]


def examples_below(scene: ObservedScene, scale: float, seed: int, method: str) -> list[Example]:
    """Return the pair one Wald level down, where the LR-HSI is the reference, at offsets of its grid.

    Parameters
    ----------
    scene : ObservedScene
        The pair.
    scale : float
        Number by which its images are divided.
    seed : int
        Seed of the sample of a large scene and of the added noise.
    method : str
        Name of the method in errors.

    Raises
    ------
    InputError
        The LR-HSI has not a single pixel of the next level.
    """
    step = scene.spatial_response.ratio.numerator
    pool = training_pool(scene, seed, method, step)
    pixels = sum(part.lr_shape[0] * part.lr_shape[1] for part in pool)
    offsets = grid_offsets(step, min(MOST_OFFSETS, max(1, isqrt(ENOUGH // pixels))))
    levels: list[tuple[Image, Observation]] = []
    of_pair, of_level = [], []
    for part in pool:
        filled = filled_observation(part)
        of_pair.append(detail_power(filled))
        for offset in offsets:
            if level := one_level_down(filled, seed, offset):
                window, below = level
                levels.append((part.lr_hsi[:, *window.slices], below))
                of_level.append(detail_power(below))
    if not levels:
        raise InputError(
            f"{method}: the LR-HSI of {scene.lr_shape[0]}x{scene.lr_shape[1]} pixels is too small for a "
            f"training one level down; at least {step}x{step} are needed"
        )
    # stronger detail is left: amplified, it would overshoot, and have no data behind it
    factor = sqrt(np.mean(of_pair) / max(np.mean(of_level), np.finfo(float).tiny))
    attenuated = (with_weaker_detail(*level, factor, seed) if factor < 1 else level for level in levels)
    return [Example(below, reference, below.whole, scale) for reference, below in attenuated]


def detail_power(part: Observation) -> float:
    """Return the mean square of what H takes away from the HR-MSI, summed over its bands.

    Parameters
    ----------
    part : Observation
        Part of a scene, without no-data.
    """
    detail = part.hr_msi - smoothed(part.hr_msi, part)
    return float(np.square(detail).mean(axis=(1, 2)).sum())


def smoothed(image: Image, part: Observation) -> Array:
    """Degrade an image ``(bands, H, W)`` by H and interpolate it to its own pixels again.

    Parameters
    ----------
    image : (bands, H, W)
        Image on the HR grid.
    part : Observation
        Part of a scene with that grid, which names H.
    """
    lr = part.operator.forward(np.asarray(image, np.float64))
    return np.asarray(upsample(lr, part.hr_shape, part.spatial_response.shift), np.float64)


def with_weaker_detail(
    reference: Image, part: Observation, factor: float, seed: int
) -> tuple[Image, Observation]:
    """Attenuate the detail of a reference, and derive from it what both images would have been.

    A cube Z becomes ``A Z = f Z + (1 - f) U H Z``, where U interpolates; the HR-MSI ``R A Z = A R Z``; the
    LR-HSI ``H A Z = f H Z + (1 - f) H U H Z``. Noise is added up to the images' own levels.

    Parameters
    ----------
    reference : (C, H, W)
        The truth; no-data is NaN.
    part : Observation
        Its two images, without no-data.
    factor : float
        f, between 0 and 1.
    seed : int
        Seed of the added noise.
    """
    upsampled = upsample(part.lr_hsi.astype(np.float64), part.hr_shape, part.spatial_response.shift)
    lr_hsi = factor * part.lr_hsi + (1 - factor) * part.operator.forward(upsampled)
    hr_msi = factor * part.hr_msi + (1 - factor) * smoothed(part.hr_msi, part)

    def noisy(image: Array, sigma: Array, name: str) -> NDArray[np.float32]:
        y, x = part.origin
        noise = standard_normal(seed, f"weaker detail/{name} {y} {x}", image.shape)
        return topped_up(image, sigma, factor**2, noise)

    weaker = factor * np.asarray(reference, np.float64) + (1 - factor) * upsampled
    return weaker.astype(np.float32), replace(
        part, lr_hsi=noisy(lr_hsi, part.sigma_hsi, "lr_hsi"), hr_msi=noisy(hr_msi, part.sigma_msi, "hr_msi")
    )
