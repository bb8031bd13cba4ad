"""Bicubic interpolation of the LR-HSI: the floor that every fusion method must clear.

Keys' cubic convolution in MATLAB's `imresize` convention. It ignores the HR-MSI.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.observation import Observation, Progress, no_progress
from pipeline.core.spatial import upsample
from pipeline.methods.base import State, WindowedMethod
from pipeline.settings import BicubicSettings


class Bicubic:
    """See `pipeline.methods.base.Method`."""

    def __init__(self, settings: BicubicSettings) -> None:
        self.settings = settings

    def fit(
        self,
        observation: Observation,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedBicubic:
        """Nothing is learned."""
        return FittedBicubic(observation)

    def restore(self, observation: Observation, state: State, seed: int = 0) -> FittedBicubic:
        """Nothing was learned."""
        return FittedBicubic(observation)


class FittedBicubic(WindowedMethod):
    """Interpolates on demand."""

    halo_lr = 3  # LR pixels that the kernel reaches

    def state(self) -> State:
        """Empty."""
        return {}

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """The LR-HSI on the HR grid."""
        return upsample(observation.lr_hsi, observation.hr_shape).astype(np.float32)
