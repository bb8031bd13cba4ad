"""Crops of the observation on which CuCaNet is trained, all of one size in LR pixels.

The publication trains on the whole image, to whose size its channel attention is tied. A crop as large as the
scene does the same here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pipeline.core.sensing.nodata import coupled_pixels, filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.cucanet.losses import Target
from pipeline.methods.cucanet.networks import RADIUS


@dataclass(frozen=True)
class Crop:
    """One training sample.

    Attributes
    ----------
    target : Target
        The LR pixels of the crop, and all HR pixels on which they depend.
    surrounded : (1, c, H, W) tensor
        The HR-MSI of the target and of its surroundings.
    inner : (slice, slice)
        Position of the target in `surrounded`.
    operator : SpatialOperator
        H from the HR to the LR pixels of the target, on tensors.
    """

    target: Target
    surrounded: Tensor
    inner: tuple[slice, slice]
    operator: SpatialOperator


@dataclass(frozen=True)
class CropImages:
    """Windows of a scene, and how they become tensors.

    Attributes
    ----------
    scene : ObservedScene
        The scene.
    pool : list of Observation
        Windows of the scene.
    scale : float
        Number by which the images are divided.
    device : torch.device
        Device of the tensors.
    response : SpatialResponse
        Determines which HR pixels belong to a crop's LR pixels.
    """

    scene: ObservedScene
    pool: list[Observation]
    scale: float
    device: torch.device
    response: SpatialResponse


class Crops:
    """The crops of windows of a scene.

    Parameters
    ----------
    images : CropImages
        The windows, and how they become tensors.
    side : int
        Approximate side of a crop in HR pixels; smaller if the scene is.

    Raises
    ------
    InputError
        No LR pixel depends on pixels of a single window alone, or no LR pixel is valid.
    """

    def __init__(self, images: CropImages, side: int) -> None:
        self.response, self.device = images.response, images.device
        self.places = [self._place(images.scene, part) for part in images.pool]
        self.images = [
            _Images.of(replace(part, spatial_response=images.response), images.scale) for part in images.pool
        ]
        size = max(1, round(side / self.response.ratio))
        height, width = (min(shape) for shape in zip(*(place.shape for place in self.places), strict=True))
        if min(height, width) < 1:
            raise InputError(
                f"cucanet: every LR pixel depends on HR pixels outside the training windows; ratio "
                f"{self.response.ratio} or the response's support is too large for a scene of this size"
            )
        if not any(i.lr_valid[p.slices].any() for i, p in zip(self.images, self.places, strict=True)):
            raise InputError(
                "cucanet: no LR pixel has data together with all HR pixels on which it depends; "
                "crop the scene to where both images have data"
            )
        self.lr_shape = min(size, height), min(size, width)

    def draw(self, generator: Generator) -> Crop:
        """Draw a crop anywhere in the pool."""
        index = _below(len(self.places), generator)
        place = self.places[index]
        rows, cols = (range_ - size + 1 for range_, size in zip(place.shape, self.lr_shape, strict=True))
        y, x = place.y0 + _below(rows, generator), place.x0 + _below(cols, generator)
        return self._crop(self.images[index], Window(y, y + self.lr_shape[0], x, x + self.lr_shape[1]))

    def lr_crops(self) -> Iterator[tuple[Tensor, float]]:
        """Yield LR-HSIs ``(1, C, h, w)`` that cover the pool, and the valid fraction of each.

        They lie side by side. The last of a row or column ends at the end of its part and may overlap.
        """
        height, width = self.lr_shape
        for place, images in zip(self.places, self.images, strict=True):
            for top in range(place.y0, place.y1, height):
                for left in range(place.x0, place.x1, width):
                    y, x = min(top, place.y1 - height), min(left, place.x1 - width)
                    rows, cols = slice(y, y + height), slice(x, x + width)
                    lr_hsi = images.lr_hsi[None, :, rows, cols].to(self.device)
                    yield lr_hsi, float(images.lr_valid[rows, cols].mean())

    def _place(self, scene: ObservedScene, part: Observation) -> Window:
        """Return the LR pixels of a part that depend on the part alone, the encoder's context included."""
        ring = self.response.support_lr + ceil(RADIUS / self.response.ratio)
        own, (height, width) = scene.window_of(part), scene.hr_shape
        rows, cols = part.lr_shape
        return Window(
            ring if own.y0 > 0 else 0,
            rows - (ring if own.y1 < height else 0),
            ring if own.x0 > 0 else 0,
            cols - (ring if own.x1 < width else 0),
        )

    def _crop(self, images: _Images, lr: Window) -> Crop:
        operator, support = self.response.window_operator(images.hr_shape, lr)
        around = support.grown(RADIUS, images.whole)
        target = Target(
            images.lr_hsi[None, :, *lr.slices].to(self.device),
            images.hr_msi[None, :, *support.slices].to(self.device),
            images.lr_valid[lr.slices].to(self.device),
            images.hr_valid[support.slices].to(self.device),
            float(self.response.ratio) ** 2,
        )
        surrounded = images.hr_msi[None, :, *around.slices].to(self.device)
        surrounded = surrounded.contiguous(memory_format=torch.channels_last)
        return Crop(target, surrounded, support.relative_to(around).slices, operator.to(self.device))


@dataclass(frozen=True)
class _Images:
    """Images of a part, without no-data and divided by the scale, with masks of the valid pixels."""

    lr_hsi: Tensor
    hr_msi: Tensor
    lr_valid: Tensor
    hr_valid: Tensor

    @classmethod
    def of(cls, part: Observation, scale: float) -> _Images:
        """Form the images of a part; an LR pixel is valid if it and all HR pixels that it depends on are."""
        filled = filled_observation(part)
        return cls(
            torch.from_numpy(filled.lr_hsi / np.float32(scale)),
            torch.from_numpy(filled.hr_msi / np.float32(scale)),
            _ones_where(coupled_pixels(part)),
            _ones_where(~missing_pixels(part.hr_msi)),
        )

    @property
    def hr_shape(self) -> tuple[int, int]:
        """Height and width of the HR grid."""
        return self.whole.shape

    @cached_property
    def whole(self) -> Window:
        """The window of all HR pixels."""
        return Window(0, self.hr_msi.shape[1], 0, self.hr_msi.shape[2])


def _ones_where(mask: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))


def _below(count: int, generator: Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
