"""The protocol of a fusion method: fit a scene, then fuse any window of it.

A fitted method's `state` is a dictionary of arrays that is stored as safetensors and from which
`restore` makes the same fitted method; nothing is pickled. Methods never see a reference. All that
belongs to the scene as a whole is settled by `fit`, which reads it in blocks; a window's result
does not depend on how the scene is cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window

State = dict[str, NDArray[Any]]


class Fused(NamedTuple):
    """What a method makes of a window.

    Attributes
    ----------
    cube : (C, H, W) float32
    deviation : (C, H, W) float32, optional
        Standard deviation of the truth about the cube, of the methods that know.
    """

    cube: NDArray[np.float32]
    deviation: NDArray[np.float32] | None = None


class FittedMethod(ABC):
    """A method that has learned a scene.

    Attributes
    ----------
    scene : ObservedScene
    halo_lr : int
        LR pixels around a window that are read to fuse it.
    parameters : int
        Number of parameters trained by gradient descent; bases, endmembers and abundances are none.
    device : str
        Where it computes: `cpu`, or the GPU's name.
    precision : str
        Floating-point type of the heavy part, such as `float32`.
    """

    parameters = 0
    device = "cpu"
    precision = "float64"

    def __init__(self, scene: ObservedScene, halo_lr: int) -> None:
        self.scene, self.halo_lr = scene, halo_lr

    @abstractmethod
    def state(self) -> State:
        """All that `Method.restore` needs besides the scene and the settings."""

    @abstractmethod
    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """The fused cube ``(C, H, W)`` of the whole of a part of the scene."""

    def read(self, window: Window) -> Observation:
        """The part of the scene on which a window's result depends."""
        return self.scene.crop(self.scene.padded_window(window, self.halo_lr))

    def fuse_part(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> NDArray[np.float32]:
        """The fused cube ``(C, height, width)`` of a window, from what `read` gave for it."""
        cube = self.fuse_observation(part, progress)
        return cube[:, *window.relative_to(self.scene.window_of(part)).slices]

    def fuse_part_with_deviation(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> Fused:
        """A window's cube, and its standard deviation if the method's settings are `uncertain`."""
        return Fused(self.fuse_part(part, window, progress))

    def fuse(self, window: Window | None = None, progress: Progress = no_progress) -> NDArray[np.float32]:
        """The fused cube ``(C, height, width)`` of a window, by default of the whole image."""
        window = window or self.scene.whole
        return self.fuse_part(self.read(window), window, progress)


@runtime_checkable
class Traceable(Protocol):
    """A fitted method that samples step by step and can be watched."""

    device: str

    def trace(self, times: Sequence[int], progress: Progress = no_progress) -> dict[int, NDArray[np.float32]]:
        """The estimate of the clean coefficients ``(d, H, W)``, in [0, 1], at each number of steps left."""


class Method(Protocol):
    """A fusion method with its settings."""

    def halo_lr(self, response: SpatialResponse) -> int:
        """LR pixels around a window beyond which the image matters little or not at all."""

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedMethod:
        """Learn what the method needs from the scene, reading it in blocks or samples.

        Parameters
        ----------
        scene : ObservedScene
        seed : int
            Seed of every random draw.
        checkpoint : Path, optional
            Folder in which a long training saves its state and from which it resumes.
        progress : callable
            Told of each step of a long training.
        """

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedMethod:
        """The fitted method whose `state` was stored."""


@runtime_checkable
class SharesTraining(Method, Protocol):
    """A method some of whose settings leave its training as it is."""

    def fit_trained(
        self, scene: ObservedScene, state: State, seed: int = 0, progress: Progress = no_progress
    ) -> FittedMethod:
        """What `fit` gives, without training: `state` is of a fitted method with the same training."""
