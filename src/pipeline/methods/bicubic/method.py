"""Bicubic interpolation of the LR-HSI: the lower bound for every fusion method.

Keys' cubic convolution in MATLAB's `imresize` convention. It ignores the HR-MSI.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse, upsample
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.bicubic.settings import BicubicSettings


class Bicubic:
    """The method `bicubic`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: BicubicSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the reach of the kernel."""
        return 2 + response.shift_lr

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedBicubic:
        """Return the fitted method; nothing is learned."""
        return FittedBicubic(scene, self.halo_lr(scene.spatial_response))

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedBicubic:
        """Return the fitted method; its state is empty."""
        return FittedBicubic(scene, self.halo_lr(scene.spatial_response))


class FittedBicubic(FittedMethod):
    """Interpolation of a scene."""

    def state(self) -> State:
        """Return an empty state."""
        return {}

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Interpolate the LR-HSI band by band, with estimates of its missing values if there are some."""
        cube = np.empty((observation.bands, *observation.hr_shape), np.float32)
        shift = observation.spatial_response.shift
        complete = observation if observation.gaps is None else filled_observation(observation)
        for band, image in zip(cube, complete.lr_hsi, strict=True):
            band[...] = upsample(image, observation.hr_shape, shift)
        return cube if observation.gaps is None else mark_nodata(cube, observation)
