"""Fused cubes drawn by diffusion networks that see both images: in one piece, or in patches of a large scene.

A scene of at most one patch is drawn at once. Of a larger one, `record` draws a few windows together and
keeps the statistics that couple distant pixels (see `pipeline.core.diffusion.coupling`); with them each patch
is drawn by itself. All noise is a function of the absolute position. A result therefore does not depend on
how the scene is cut into tiles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from pipeline.core.diffusion.coupling import Recorder, Replay
from pipeline.core.diffusion.sr3 import ALONE, FROZEN, RECORDING, Layers
from pipeline.core.sensing.nodata import mark_nodata, missing_pixels
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.window import Window
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import device_name, reproducible, resolve_device
from pipeline.methods.diffusion.anchors import anchor_windows
from pipeline.methods.diffusion.examples import Sample, conditions
from pipeline.methods.diffusion.patches import (
    AT_ONCE,
    Patch,
    alike,
    joined,
    part_of,
    patches,
    read_patches,
    window_noise,
)
from pipeline.methods.optimisation import parameter_count, weights_under
from pipeline.methods.pool import training_pool
from pipeline.methods.supervised import DiffusionSettings

INTERPOLATION = 3  # LR pixels around a window on which the interpolation of the LR-HSI in it depends


class Learned(NamedTuple):
    """Result of a training.

    Attributes
    ----------
    weights : dict of Tensor
        State of the network.
    scale : float
        Number by which the scene's images are divided.
    bfloat16 : bool
        Whether the network's heavy layers compute in bfloat16.
    records : list of Tensor
        Statistics of a recorded run, of a scene in patches.
    """

    weights: dict[str, Tensor]
    scale: float
    bfloat16: bool
    records: list[Tensor]


class Windows(NamedTuple):
    """Windows of equal shape that are drawn at once.

    Attributes
    ----------
    upsampled : (n, C, H, W) tensor
        The interpolated LR-HSI in [0, 1].
    hr_msi : (n, c, H, W) tensor
        The HR-MSI in [0, 1].
    origins : list of (int, int)
        Absolute position of each window's first pixel.
    """

    upsampled: Tensor
    hr_msi: Tensor
    origins: list[tuple[int, int]]


Noise = Callable[[str], Tensor]
"""Function that draws noise ``(n, C, H, W)`` for windows, given the name of the draw."""


class Model(ABC):
    """A diffusion model of fused cubes that sees both images: its network, its loss and its sampling.

    Parameters
    ----------
    settings : DiffusionSettings
        Settings of the method.

    Attributes
    ----------
    name : str
        Name of the method, in draws and errors.
    """

    name: ClassVar[str]

    def __init__(self, settings: DiffusionSettings) -> None:
        self.settings = settings

    @abstractmethod
    def network(self, bands: int, msi_bands: int, ratio: Fraction, layers: Layers) -> nn.Module:
        """Build the network.

        Parameters
        ----------
        bands, msi_bands : int
            C and c.
        ratio : Fraction
            HR pixels per LR pixel.
        layers : Layers
            Kind of norms and attention.
        """

    @abstractmethod
    def start(self, network: nn.Module, sample: Sample) -> None:
        """Draw the initial weights of a network, in place.

        Parameters
        ----------
        network : nn.Module
            The network, with PyTorch's initial weights.
        sample : Sample
            The first crops of the training, on the CPU, for what a network takes from its data.
        """

    @property
    @abstractmethod
    def budget(self) -> Training:
        """Length of the training."""

    @abstractmethod
    def optimiser(self, network: nn.Module) -> Optimizer:
        """Return Adam or AdamW over all parameters.

        Parameters
        ----------
        network : nn.Module
            The network to train, on its device.
        """

    @abstractmethod
    def loss(self, network: nn.Module, sample: Sample, step: int, generator: Generator) -> Tensor:
        """Return the loss of a training step.

        Parameters
        ----------
        network : nn.Module
            The network.
        sample : Sample
            Crops, on the network's device.
        step : int
            Number of the step, counted from 0.
        generator : Generator
            Generator on the CPU for the step's draws.
        """

    @abstractmethod
    def draw(self, network: nn.Module, windows: Windows, noise: Noise, progress: Progress) -> Tensor:
        """Draw the cubes ``(n, C, H, W)`` of windows, in [0, 1].

        Parameters
        ----------
        network : nn.Module
            The trained network.
        windows : Windows
            The images.
        noise : callable
            Draws standard normal noise of the cubes' shape.
        progress : callable
            Receives the number of finished steps.
        """


class Training(NamedTuple):
    """Length of a training.

    Attributes
    ----------
    iterations, crop, batch : int
        Steps, side of a crop in HR pixels, and crops in a step.
    factor : callable
        From a step's number to the factor on the learning rate.
    """

    iterations: int
    crop: int
    batch: int
    factor: Callable[[int], float]


class FittedConditional(FittedMethod):
    """A trained network, and the statistics of a recorded run if the scene is larger than a patch.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    model : Model
        The method's model.
    seed : int
        Seed of the sampling's noise.
    learned : Learned
        Result of the training.
    """

    def __init__(self, scene: ObservedScene, model: Model, seed: int, learned: Learned) -> None:
        super().__init__(scene, INTERPOLATION + scene.spatial_response.shift_lr)
        self.model, self.settings = model, model.settings
        self.seed, self.learned = seed, learned
        self._device = resolve_device(model.settings.device)
        with torch.device("meta"):
            self.parameters = parameter_count(self._built(ALONE))
        self.device = device_name(self._device)
        self.precision = "bfloat16" if learned.bfloat16 else "float32"
        self._whole: Tensor | None = None  # cube of a scene in one piece, once drawn

    @property
    def in_one_piece(self) -> bool:
        """Whether the scene has no more pixels than a patch."""
        height, width = self.scene.hr_shape
        return height * width <= self.settings.patch**2

    def state(self) -> State:
        """Return weights, scale, precision and recorded statistics."""
        learned = self.learned
        weights = {f"network.{k}": v.cpu().contiguous().numpy() for k, v in learned.weights.items()}
        records = {f"record.{i:04d}": record.numpy() for i, record in enumerate(learned.records)}
        settled = {"scale": np.array(learned.scale, np.float32), "bfloat16": np.array(learned.bfloat16)}
        return weights | records | settled

    @staticmethod
    def learned_in(state: State) -> Learned:
        """Return the result of the training that a state holds."""
        records = [torch.from_numpy(state[key]) for key in sorted(state) if key.startswith("record.")]
        scale, bfloat16 = state["scale"].item(), bool(state["bfloat16"])
        return Learned(weights_under("network.", state), scale, bfloat16, records)

    def settled(self, seed: int, progress: Progress) -> FittedConditional:
        """Record the statistics of a scene that is larger than a patch, and return the fitted method.

        Parameters
        ----------
        seed : int
            Seed of the sample of the scene.
        progress : callable
            Receives the number of finished steps.
        """
        if self.in_one_piece:
            return self
        pool = training_pool(self.scene, seed, self.model.name, self.settings.stride)
        anchors = []
        for _, window in anchor_windows(self.scene, pool, self.model.name):
            around = self.scene.padded_window(window, self.halo_lr)
            anchors.append((self.scene.crop(around), window.relative_to(around)))
        recorder = Recorder(self._network(RECORDING))
        with self._inference():
            self._draw(recorder, self._windows(anchors), progress)
        learned = self.learned._replace(records=recorder.records())
        return FittedConditional(self.scene, self.model, self.seed, learned)

    def read(self, window: Window) -> Observation:
        """Read the patches that a window touches, or the whole of a small scene."""
        if self.in_one_piece:
            return self.scene.crop(self.scene.whole)
        return read_patches(self.scene, self._patches(window), self.halo_lr)

    def fuse_part(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> NDArray[np.float32]:
        """Fuse a window ``(C, height, width)`` from the part of the scene that `read` returns for it."""
        if self.in_one_piece:
            return super().fuse_part(part, window, progress)
        with self._inference():
            cube = joined(self.scene, part, self._drawn(part, window, progress), part.bands)
        return mark_nodata(cube, part)[:, *window.relative_to(self.scene.window_of(part)).slices]

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Draw the cube of a scene in one piece; its windows share one draw."""
        if any(missing_pixels(np.asarray(image)).all() for image in observation.filled):
            return np.full((observation.bands, *observation.hr_shape), np.nan, np.float32)
        if self._whole is None:
            with self._inference():
                windows = self._windows([(observation, observation.whole)])
                self._whole = self._draw(self._network(ALONE), windows, progress)[0]
        return mark_nodata(self._in_units(self._whole), observation)

    def _drawn(
        self, part: Observation, window: Window, progress: Progress
    ) -> Iterator[tuple[Patch, NDArray[np.float32]]]:
        """Yield the cube ``(C, H, W)`` of each patch with data that a window touches."""
        network = Replay(self._network(FROZEN), self.learned.records)
        own = self.scene.window_of(part)
        groups = alike(self._patches(window), AT_ONCE[self._device.type])
        for done, group in enumerate(groups):
            pieces = []
            for patch in group:
                around = self.scene.padded_window(patch.window, self.halo_lr)
                piece = part.crop(around.relative_to(own))
                if not any(missing_pixels(np.asarray(image)).all() for image in piece.filled):
                    pieces.append((patch, piece, patch.window.relative_to(around)))
            if pieces:
                windows = self._windows([(piece, inside) for _, piece, inside in pieces])
                cubes = self._draw(network.rewind(), windows, part_of(progress, done, len(groups)))
                yield from zip([patch for patch, *_ in pieces], self._in_units(cubes), strict=True)

    def _patches(self, window: Window) -> list[Patch]:
        return patches(self.scene, window, self.settings.patch, self.settings.stride)

    def _windows(self, parts: list[tuple[Observation, Window]]) -> Windows:
        """Return the images of windows, each given by a part of the scene and a window of the part."""
        upsampled, hr_msi, origins = [], [], []
        for part, window in parts:
            images = conditions(part, self.learned.scale)
            upsampled.append(images[0][:, *window.slices])
            hr_msi.append(images[1][:, *window.slices])
            origins.append((part.origin[0] + window.y0, part.origin[1] + window.x0))
        return Windows(torch.stack(upsampled).to(self._device), torch.stack(hr_msi).to(self._device), origins)

    def _draw(self, network: nn.Module, windows: Windows, progress: Progress) -> Tensor:
        """Draw cubes ``(n, C, H, W)`` in [0, 1], their noise as a function of the absolute position."""
        _, bands, height, width = windows.upsampled.shape

        def noise(purpose: str) -> Tensor:
            name, shape = f"{self.model.name}/{purpose}", (bands, height, width)
            return window_noise(self.seed, name, shape, windows.origins).to(self._device)

        return self.model.draw(network, windows, noise, progress)

    def _in_units(self, cubes: Tensor) -> NDArray[np.float32]:
        """Convert cubes in [0, 1] to the images' units."""
        return cubes.float().cpu().numpy() * np.float32(self.learned.scale)

    def _network(self, layers: Layers) -> nn.Module:
        """Return the network with its weights, without gradients."""
        network = self._built(layers)
        network.load_state_dict(self.learned.weights)
        return network.to(self._device).requires_grad_(False).eval()

    def _built(self, layers: Layers) -> nn.Module:
        sizes = self.scene.bands, self.scene.hr_msi.shape[0], self.scene.spatial_response.ratio
        return self.model.network(*sizes, layers)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Compute reproducibly, without gradients and in the training's precision."""
        kind, bfloat16 = self._device.type, self.learned.bfloat16
        with (
            reproducible(self._device, self.settings.threads),
            torch.no_grad(),
            torch.autocast(kind, torch.bfloat16, enabled=bfloat16),
        ):
            yield
