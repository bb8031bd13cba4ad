"""LR pixels at the rim of a scene, which see beyond it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.observation import Image, Observation, ObservedScene
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError


@dataclass(frozen=True)
class WithoutRim:
    """An LR-HSI whose pixels at the rim count as not measured; they are NaN when a window is read.

    Attributes
    ----------
    image : Image
        The LR-HSI.
    response : SpatialResponse
        H.
    hr_shape : (int, int)
        Height and width of the HR-MSI.
    """

    image: Image
    response: SpatialResponse
    hr_shape: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes (band, y, x)."""
        return self.image.shape

    def __getitem__(self, key: Any) -> NDArray[Any]:
        _, rows, columns = key
        lines, samples = self._rim
        return np.where(
            lines[rows][:, None] | samples[columns], np.float32("nan"), np.asarray(self.image[key])
        )

    @cached_property
    def _rim(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        return self.response.rim(*self.hr_shape)


def without_rim(scene: ObservedScene) -> ObservedScene:
    """Return a scene whose LR pixels at the rim count as not measured, if its H says ``border: ignore``.

    Parameters
    ----------
    scene : ObservedScene
        The scene; no-data is NaN.

    Raises
    ------
    InputError
        Every LR pixel sees beyond the scene.
    """
    if scene.spatial_response.border != "ignore":
        return scene
    if any(axis.all() for axis in scene.spatial_response.rim(*scene.hr_shape)):
        rows, columns = scene.lr_shape
        raise InputError(
            f"spatial response: with the border ignored, none of {rows}x{columns} LR pixels is left; use the "
            "border mirror or zero, or a larger scene"
        )
    inside = WithoutRim(scene.lr_hsi, scene.spatial_response, scene.hr_shape)
    return replace(scene, lr_hsi=inside[:, :, :] if isinstance(scene, Observation) else inside)
