"""The patches in which the network samples a large scene.

Their cores lie on a lattice fixed to the scene, and each is sampled with a halo around it. A pixel therefore
belongs to the same patch whichever window of the scene is fused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import groupby
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.noise import standard_normal
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window

AT_ONCE = {"cpu": 1, "cuda": 8}
"""Patches in a batch, by kind of device."""
HALO = 48
"""HR pixels around a core beyond which surroundings hardly matter (`args_diff`'s README.md, Large scenes)."""


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


def halo(response: SpatialResponse, stride: int) -> int:
    """Return the halo in HR pixels: the window must hold all LR pixels that depend on the core.

    Parameters
    ----------
    response : SpatialResponse
        H.
    stride : int
        Stride of the network, which divides the halo.
    """
    support = 2 * response.support_lr * response.ratio
    return ceil(max(Fraction(HALO), support) / stride) * stride


def halo_lr(response: SpatialResponse, stride: int) -> int:
    """Return the halo around a patch, in LR pixels.

    Parameters
    ----------
    response : SpatialResponse
        H.
    stride : int
        Stride of the network.
    """
    return ceil(halo(response, stride) / response.ratio)


def window_noise(
    seed: int, purpose: str, shape: tuple[int, int, int], origins: Sequence[tuple[int, int]]
) -> Tensor:
    """Draw standard normal noise ``(n, channels, H, W)`` of windows, as a function of the absolute position.

    Parameters
    ----------
    seed : int
        Seed of the draw.
    purpose : str
        Name of the draw.
    shape : (channels, H, W)
        Shape of each window.
    origins : sequence of (int, int)
        Absolute position of each window's first pixel.
    """
    return torch.from_numpy(np.stack([standard_normal(seed, purpose, shape, origin) for origin in origins]))


def patches(scene: ObservedScene, window: Window, side: int, stride: int) -> list[Patch]:
    """Return the patches whose cores cover a window, row by row.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    window : Window
        The window, in the scene's coordinates.
    side : int
        Side of a core in HR pixels.
    stride : int
        Stride of the network.
    """
    margin = halo(scene.spatial_response, stride)
    cores = window.aligned(side, scene.whole).split(side)
    return [Patch(core, core.grown(margin, scene.whole)) for core in cores]


def read_patches(scene: ObservedScene, touched: Sequence[Patch], margin_lr: int = 0) -> Observation:
    """Read the part of a scene that holds patches.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    touched : sequence of Patch
        The patches.
    margin_lr : int
        Number of LR pixels that are read around them.
    """
    bounds = reduce(Window.union, (patch.window for patch in touched))
    return scene.crop(scene.padded_window(bounds, margin_lr))


def joined(
    scene: ObservedScene, part: Observation, drawn: Iterable[tuple[Patch, NDArray[np.float32]]], channels: int
) -> NDArray[np.float32]:
    """Put the cores of patches together to images ``(channels, H, W)`` of a part; 0 where none was drawn.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    part : Observation
        The part of the scene, which contains the patches.
    drawn : iterable of (Patch, (channels, H, W))
        Images in the patches' windows.
    channels : int
        Number of channels.
    """
    own = scene.window_of(part)
    images = np.zeros((channels, *part.hr_shape), np.float32)
    for patch, values in drawn:
        inside = patch.core.relative_to(patch.window).slices
        images[:, *patch.core.relative_to(own).slices] = values[:, *inside]
    return images


def alike(patches: list[Patch], at_once: int) -> list[list[Patch]]:
    """Divide patches into groups of neighbours whose windows have the same shape.

    Parameters
    ----------
    patches : list of Patch
        Patches, row by row.
    at_once : int
        Largest size of a group.
    """
    by_shape = (list(group) for _, group in groupby(patches, key=lambda patch: patch.window.shape))
    return [group[i : i + at_once] for group in by_shape for i in range(0, len(group), at_once)]


def part_of(progress: Progress, done: int, parts: int) -> Progress:
    """Return a `progress` that reports one of several equal parts as part of the whole.

    Parameters
    ----------
    progress : callable
        Receives the number of finished steps of the whole.
    done : int
        Number of finished parts.
    parts : int
        Number of parts.
    """

    def report(phase: str, step: int, steps: int, loss: float | None = None) -> None:
        progress(phase, done * steps + step, parts * steps, loss)

    return report
