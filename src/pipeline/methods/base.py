"""The protocol of a fusion method: fit a scene, then fuse any window of it.

`fit` settles everything that belongs to the scene as a whole and reads the scene in blocks. The result in a
window then does not depend on how the scene is cut into windows. A fitted method's `state` is a dictionary of
arrays, stored as safetensors, from which `restore` makes the same fitted method. Methods never see a
reference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window

if TYPE_CHECKING:
    from pipeline.methods.diffusion.examples import Example

State = dict[str, NDArray[Any]]


class Fused(NamedTuple):
    """Result of a method in a window.

    Attributes
    ----------
    cube : (C, H, W) float32
        The fused cube.
    deviation : (C, H, W) float32, optional
        Standard deviation of the truth about the cube, from methods that estimate it.
    """

    cube: NDArray[np.float32]
    deviation: NDArray[np.float32] | None = None


class FittedMethod(ABC):
    """A method fitted to a scene.

    Attributes
    ----------
    scene : ObservedScene
        The scene.
    halo_lr : int
        Number of LR pixels around a window that are read to fuse it.
    parameters : int
        Number of parameters trained by gradient descent; bases, endmembers and abundances do not count.
    device : str
        Device of the computation: `cpu`, or the GPU's name.
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
        """Return the arrays that `Method.restore` needs besides the scene and the settings."""

    @abstractmethod
    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Fuse a part of the scene.

        Parameters
        ----------
        observation : Observation
            The part, as `read` returns it.
        progress : callable
            Receives the number of finished steps.

        Returns
        -------
        (C, H, W) float32
            The fused cube of the whole part.
        """

    def read(self, window: Window) -> Observation:
        """Read the part of the scene on which the result in a window depends."""
        return self.scene.crop(self.scene.padded_window(window, self.halo_lr))

    def fuse_part(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> NDArray[np.float32]:
        """Fuse a window.

        Parameters
        ----------
        part : Observation
            The part of the scene that `read` returns for the window.
        window : Window
            The window, in the scene's coordinates.
        progress : callable
            Receives the number of finished steps.

        Returns
        -------
        (C, height, width) float32
            The fused cube of the window.
        """
        cube = self.fuse_observation(part, progress)
        return cube[:, *window.relative_to(self.scene.window_of(part)).slices]

    def fuse_part_with_deviation(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> Fused:
        """Fuse a window, with its standard deviation if the method's settings are `uncertain`.

        Parameters
        ----------
        part : Observation
            The part of the scene that `read` returns for the window.
        window : Window
            The window, in the scene's coordinates.
        progress : callable
            Receives the number of finished steps.
        """
        return Fused(self.fuse_part(part, window, progress))

    def fuse(self, window: Window | None = None, progress: Progress = no_progress) -> NDArray[np.float32]:
        """Read and fuse a window ``(C, height, width)``, by default the whole scene."""
        window = window or self.scene.whole
        return self.fuse_part(self.read(window), window, progress)


@runtime_checkable
class Traceable(Protocol):
    """A fitted method that samples step by step and can return intermediate estimates."""

    device: str

    def trace(self, times: Sequence[int], progress: Progress = no_progress) -> dict[int, NDArray[np.float32]]:
        """Return estimates of the clean coefficients ``(d, H, W)``, in [0, 1], along the sampling.

        Parameters
        ----------
        times : sequence of int
            Numbers of remaining steps at which the estimate is kept.
        progress : callable
            Receives the number of finished steps.

        Returns
        -------
        dict of ndarray
            Estimate for each of `times`.
        """


class Method(Protocol):
    """A fusion method with its settings."""

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the distance in LR pixels beyond which the images hardly influence a window.

        Parameters
        ----------
        response : SpatialResponse
            H.
        """

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedMethod:
        """Fit the method to a scene, which is read in blocks or samples.

        Parameters
        ----------
        scene : ObservedScene
            The scene.
        seed : int
            Seed of all random draws.
        checkpoint : Path, optional
            Folder in which a long training saves its state and from which it resumes.
        progress : callable
            Receives each step of a long training.
        """

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedMethod:
        """Restore a fitted method.

        Parameters
        ----------
        scene : ObservedScene
            The scene to which it was fitted.
        state : dict of ndarray
            The fitted method's `state`.
        seed : int
            Seed of all random draws.
        """


@runtime_checkable
class LearnsFromExamples(Method, Protocol):
    """A method that can be trained on scenes with their references."""

    def fit_on(
        self,
        scene: ObservedScene,
        examples: Sequence[Example],
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedMethod:
        """Fit the method to a scene after training it on examples.

        Parameters
        ----------
        scene : ObservedScene
            The scene to fuse.
        examples : sequence of Example
            Scenes with their references.
        seed : int
            Seed of all random draws.
        checkpoint : Path, optional
            Folder in which a long training saves its state and from which it resumes.
        progress : callable
            Receives each step of a long training.
        """


@runtime_checkable
class SharesTraining(Method, Protocol):
    """A method whose training depends on some of its settings only."""

    def fit_trained(
        self, scene: ObservedScene, state: State, seed: int = 0, progress: Progress = no_progress
    ) -> FittedMethod:
        """Return the result of `fit` without training.

        Parameters
        ----------
        scene : ObservedScene
            The scene.
        state : dict of ndarray
            State of a fitted method whose settings have the same `training_part`.
        seed : int
            Seed of all random draws.
        progress : callable
            Receives the number of finished steps.
        """
