"""The protocol of a fusion method: fit a scene's observation, then fuse any window of it.

A fitted method's `state` is a dictionary of arrays that is stored as safetensors and from which
`restore` makes the same fitted method; nothing is pickled. Methods never see a reference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.observation import Observation, Progress, Window, no_progress

State = dict[str, NDArray[Any]]


class FittedMethod(Protocol):
    """A method that has learned a scene."""

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, or the GPU's name."""

    @property
    def precision(self) -> str:
        """Floating-point type of the heavy part, such as `float32`."""

    def state(self) -> State:
        """All that `Method.restore` needs besides the observation and the settings."""

    def fuse(self, window: Window | None = None, progress: Progress = no_progress) -> NDArray[np.float32]:
        """The fused cube ``(C, height, width)`` of a window, by default of the whole image."""


class Method(Protocol):
    """A fusion method with its settings."""

    def fit(
        self,
        observation: Observation,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedMethod:
        """Learn what the method needs from the observation.

        Parameters
        ----------
        observation : Observation
        seed : int
            Seed of every random draw.
        checkpoint : Path, optional
            Folder in which a long training saves its state and from which it resumes.
        progress : callable
            Told of each step of a long training.
        """

    def restore(self, observation: Observation, state: State, seed: int = 0) -> FittedMethod:
        """The fitted method whose `state` was stored."""


class WindowedMethod(ABC):
    """A fitted method that fuses any observation of its scene, a window with a halo included.

    Attributes
    ----------
    halo_lr : int
        LR pixels around a window that are read, beyond which the image matters little or not at all.
    """

    halo_lr: int
    parameters = 0
    device = "cpu"
    precision = "float64"

    def __init__(self, observation: Observation) -> None:
        self.observation = observation

    @abstractmethod
    def state(self) -> State:
        """See `FittedMethod`."""

    @abstractmethod
    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """The fused cube ``(C, H, W)`` of the whole of `observation`."""

    def fuse(self, window: Window | None = None, progress: Progress = no_progress) -> NDArray[np.float32]:
        """See `FittedMethod`."""
        if window is None:
            return self.fuse_observation(self.observation, progress)
        padded = self.observation.padded_window(window, self.halo_lr)
        cube = self.fuse_observation(self.observation.crop(padded), progress)
        return cube[:, *window.relative_to(padded).slices]
