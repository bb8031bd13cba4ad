"""The patches in which the network samples a large scene.

Their cores lie on a lattice fixed to the scene, and each is sampled with a halo around it. A pixel therefore
belongs to the same patch whichever window of the scene is fused.
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
    """A core and the window in which the network samples it.

    The window starts and, inside the scene, ends at multiples of the network's stride: the network then
    subsamples at the same pixels as on the whole scene.

    Attributes
    ----------
    core : Window
        Pixels that belong to the patch, in the scene's coordinates.
    window : Window
        The core with its halo, in the scene's coordinates.
    """

    core: Window
    window: Window


def halo(response: SpatialResponse) -> int:
    """Return the halo in HR pixels: the window must hold all LR pixels that depend on the core.

    Parameters
    ----------
    response : SpatialResponse
        H.
    """
    support = 2 * response.support_lr * response.ratio
    return ceil(max(Fraction(HALO), support) / STRIDE) * STRIDE


def patches(scene: ObservedScene, window: Window, side: int) -> list[Patch]:
    """Return the patches whose cores cover a window, row by row.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    window : Window
        The window, in the scene's coordinates.
    side : int
        Side of a core in HR pixels.
    """
    margin = halo(scene.spatial_response)
    cores = window.aligned(side, scene.whole).split(side)
    return [Patch(core, core.grown(margin, scene.whole)) for core in cores]


def guidance_of(
    scene: ObservedScene, part: Observation, window: Window, scale: float, device: torch.device
) -> Guidance | None:
    """Return the observations of a window, scaled to [0, 1].

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    part : Observation
        A part of the scene that contains the window.
    window : Window
        The window, in the scene's coordinates.
    scale : float
        Number by which both images are divided.
    device : torch.device
        Device of the tensors.

    Returns
    -------
    Guidance or None
        None if an image has no data in the window, or if no LR pixel depends on the window alone.
    """
    own = scene.window_of(part)
    aligned = part.padded_window(window.relative_to(own), 0)
    piece = part.crop(aligned)
    lr = lr_inside(scene, window)
    if min(lr.shape) < 1 or any(missing_pixels(image).all() for image in (piece.lr_hsi, piece.hr_msi)):
        return None
    filled = filled_observation(piece)
    corner = scene.window_of(piece)
    operator, support = scene.spatial_response.window_operator(scene.hr_shape, lr)

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=device)

    return Guidance(
        tensor(filled.lr_hsi[:, *lr.relative_to(scene.lr_window(corner)).slices] / scale),
        tensor(filled.hr_msi[:, *window.relative_to(corner).slices] / scale),
        tensor(scene.spectral_response),
        operator.to(device),
        support.relative_to(window),
    )
