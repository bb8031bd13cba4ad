"""The patches in which the network samples a scene too large for it.

Their cores lie on a lattice fixed to the scene, and each is sampled with a halo around it. So a pixel
belongs to one patch, whatever window of the scene is asked for. Nothing is sampled here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.nodata import filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.methods.args_diff.guidance import Guidance
from pipeline.methods.args_diff.networks import STRIDE
from pipeline.methods.pool import lr_inside

HALO = 48
"""HR pixels around a core beyond which surroundings hardly matter (`README.md`, Large scenes)."""


@dataclass(frozen=True)
class Patch:
    """A core and what the network sees to sample it, both windows of the scene.

    The window starts and, inside the scene, ends at multiples of the network's stride: the network
    then subsamples at the same pixels as on the whole scene.
    """

    core: Window
    window: Window


def halo(response: SpatialResponse) -> int:
    """HR pixels around a core: all LR pixels that see a core's pixel must be inside."""
    support = 2 * response.support_lr * response.ratio
    return ceil(max(Fraction(HALO), support) / STRIDE) * STRIDE


def patches(scene: ObservedScene, window: Window, side: int) -> list[Patch]:
    """The patches whose cores, squares of `side` pixels, cover a window, row by row."""
    margin = halo(scene.spatial_response)
    cores = window.aligned(side, scene.whole).split(side)
    return [Patch(core, core.grown(margin, scene.whole)) for core in cores]


def guidance_of(
    scene: ObservedScene, part: Observation, window: Window, scale: float, device: torch.device
) -> Guidance | None:
    """What is observed of a window of the scene, scaled to [0, 1]; None where nothing can be said of it.

    That is where an image has no data at all, or no LR pixel lies inside with all that it sees.

    Parameters
    ----------
    scene : ObservedScene
    part : Observation
        A part of the scene, read, that holds the window.
    window : Window
        Of the scene.
    scale : float
        What both images are divided by.
    device : torch.device
    """
    own = scene.window_of(part)
    aligned = part.padded_window(window.relative_to(own), 0)
    piece = part.crop(aligned)
    lr = lr_inside(scene, window)
    if min(lr.shape) < 1 or any(missing_pixels(image).all() for image in (piece.lr_hsi, piece.hr_msi)):
        return None
    filled = filled_observation(piece)
    corner = scene.window_of(piece)
    operator, seen = scene.spatial_response.window_operator(scene.hr_shape, lr)

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=device)

    return Guidance(
        tensor(filled.lr_hsi[:, *lr.relative_to(scene.lr_window(corner)).slices] / scale),
        tensor(filled.hr_msi[:, *window.relative_to(corner).slices] / scale),
        tensor(scene.spectral_response),
        operator.to(device),
        seen.relative_to(window),
    )
