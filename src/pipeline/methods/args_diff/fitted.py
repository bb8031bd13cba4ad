"""A scene's trained ARGS-Diff networks, and the sampling of any window of it.

A scene of no more pixels than a patch is sampled as published. A larger scene is sampled patch by patch, with
the recording of a joint run on a few windows. The recording fixes the basis and everything else that would
couple the patches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.diffusion.norms import FrozenNorm, Norm, RecordingNorm
from pipeline.core.diffusion.schedules import times
from pipeline.core.sensing.nodata import mark_nodata
from pipeline.core.sensing.noise import standard_normal
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.args_diff.guidance import JointLoss, RecordedLoss
from pipeline.methods.args_diff.networks import STEPS, STRIDE, SpatialUNet, to_precision
from pipeline.methods.args_diff.recording import FrozenUNet, Recording, RecordingUNet
from pipeline.methods.args_diff.sampling import Watch, sample
from pipeline.methods.args_diff.settings import ArgsDiffSettings
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import device_name, on_device, reproducible, resolve_device
from pipeline.methods.diffusion.guidance import Guidance, guidance_of
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
from pipeline.methods.optimisation import parameter_count


@dataclass(frozen=True)
class Learned:
    """Result of a training on a scene.

    Attributes
    ----------
    spatial, spectral : nn.Module
        The two trained networks.
    scale : float
        The images' largest value, by which they are divided.
    bfloat16 : bool
        Whether the spatial network samples in bfloat16.
    recording : Recording or None
        Recording of a joint run, if the scene is sampled in patches.
    """

    spatial: nn.Module
    spectral: nn.Module
    scale: float
    bfloat16: bool
    recording: Recording | None = None


class FittedArgsDiff(FittedMethod):
    """Both trained networks of a scene and, if it is larger than a patch, the recording of a joint run.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    halo_lr : int
        Number of LR pixels around a window that are read.
    settings : ArgsDiffSettings
        Settings of the sampling.
    seed : int
        Seed of the starting noise.
    learned : Learned
        Result of the training.
    """

    def __init__(
        self,
        scene: ObservedScene,
        halo_lr: int,
        settings: ArgsDiffSettings,
        seed: int,
        learned: Learned,
    ) -> None:
        super().__init__(scene, halo_lr)
        self.settings, self.seed = settings, seed
        self.scale, self.recording = learned.scale, learned.recording
        self._device = resolve_device(settings.device)
        self._bfloat16 = learned.bfloat16
        self.networks = {"spatial": learned.spatial, "spectral": learned.spectral}
        self.parameters = parameter_count(*self.networks.values())
        self.device = device_name(self._device)
        self.precision = "bfloat16" if self._bfloat16 else "float32"
        self._factors: list[Tensor] | None = None  # of a scene in one piece, once sampled

    @property
    def in_one_piece(self) -> bool:
        """Whether the scene is sampled as published."""
        return self.settings.in_one_piece(self.scene.hr_shape)

    def state(self) -> State:
        """Return weights of both networks in float32, scale, precision and recording.

        The precision of the training's device is kept, whichever device samples the tiles.
        """
        weights = {
            f"{name}.{key}": tensor.cpu().contiguous().numpy()
            for name, network in self.networks.items()
            for key, tensor in network.state_dict().items()
        }
        recorded = self.recording.state() if self.recording else {}
        settled = {"scale": np.array(self.scale, np.float32), "bfloat16": np.array(self._bfloat16)}
        return weights | settled | recorded

    def read(self, window: Window) -> Observation:
        """Read the patches that a window touches, or the whole of a small scene."""
        if self.in_one_piece:
            return self.scene.crop(self.scene.whole)
        return read_patches(self.scene, patches(self.scene, window, self.settings.patch, STRIDE))

    def fuse_part(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> NDArray[np.float32]:
        """Fuse a window ``(C, height, width)`` from the part of the scene that `read` returns for it."""
        if self.in_one_piece:
            return super().fuse_part(part, window, progress)
        assert self.recording is not None
        inside = window.relative_to(self.scene.window_of(part)).slices
        with reproducible(self._device, self.settings.threads):
            sampled = self._sampled(part, window, self.recording, progress)
            coefficients = ((patch, drawn.cpu().numpy()) for patch, drawn in sampled)
            planes = joined(self.scene, part, coefficients, self.settings.d)
            planes = mark_nodata(planes, part)[:, *inside]
            cube = self._cube(torch.from_numpy(np.ascontiguousarray(planes)), self.recording.basis)
        return cube.numpy()

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Sample a scene in one piece, jointly with its basis, as published; its windows share one run."""
        guidance = guidance_of(observation, observation, observation.whole, self.scale, self._device)
        if guidance is None:
            return np.full((observation.bands, *observation.hr_shape), np.nan, np.float32)
        with reproducible(self._device, self.settings.threads):
            if self._factors is None:
                self._factors = self._joint_run(observation, guidance, progress)
            coefficients, basis = self._factors
            cube = self._cube(coefficients[0], basis)
        return mark_nodata(cube.cpu().numpy(), observation)

    def trace(self, times: Sequence[int], progress: Progress = no_progress) -> dict[int, NDArray[np.float32]]:
        """Return estimates of the clean A ``(d, H, W)``, in [0, 1], along the sampling.

        Parameters
        ----------
        times : sequence of int
            Numbers of remaining steps at which the estimate is kept.
        progress : callable
            Receives the number of finished steps.

        Raises
        ------
        InputError
            The scene is sampled in patches, has no data, or a time is not among the steps.
        """
        late = [time for time in times if not 0 <= time <= self.settings.steps]
        if late:
            raise InputError(f"times: {late[0]} is not among the steps left, {self.settings.steps} to 0")
        observation = self.scene.crop(self.scene.whole)
        guidance = guidance_of(observation, observation, observation.whole, self.scale, self._device)
        if guidance is None or not self.in_one_piece:
            raise InputError(
                "args_diff: only a scene that has data and no more pixels than one patch of "
                f"{self.settings.patch}x{self.settings.patch} can be traced; crop it, or raise patch"
            )
        kept: dict[int, NDArray[np.float32]] = {}

        def watch(left: int, factors: list[Tensor]) -> None:
            if left in times:
                kept[left] = factors[0][0].cpu().numpy().copy()

        with reproducible(self._device, self.settings.threads):
            coefficients, _ = self._joint_run(observation, guidance, progress, watch)
        end = coefficients[0].cpu().numpy()
        return kept | {left: end for left in (1, 0) if left in times}

    def _joint_run(
        self, observation: Observation, guidance: Guidance, progress: Progress, watch: Watch | None = None
    ) -> list[Tensor]:
        """Sample A and E of the whole scene together."""
        return sample(
            self.sampling_networks(),
            [self.start([observation.whole]), self.start_basis()],
            JointLoss([guidance], self.settings),
            self.settings,
            progress,
            watch,
        )

    def record(self, anchors: list[tuple[Observation, Window]], progress: Progress) -> Recording:
        """Sample windows together with the basis, and record the numbers that couple their pixels.

        Parameters
        ----------
        anchors : list of (Observation, Window)
            Windows of the scene, each with a part that contains it.
        progress : callable
            Receives the number of finished steps.

        Raises
        ------
        InputError
            No LR pixel depends on pixels of a single window alone.
        """
        guided = {
            window: guidance
            for part, window in anchors
            if (guidance := guidance_of(self.scene, part, window, self.scale, self._device))
        }
        if not guided:
            raise InputError(
                "args_diff: every LR pixel depends on HR pixels outside the windows that yield the basis; "
                f"ratio {self.scene.spatial_response.ratio} or the response's support is too large for it"
            )
        spatial, spectral = self.sampling_networks(RecordingNorm)
        recorder, loss = RecordingUNet(spatial), JointLoss(list(guided.values()), self.settings, True)
        with reproducible(self._device, self.settings.threads):
            _, basis = sample(
                [recorder, spectral],
                [self.start(list(guided)), self.start_basis()],
                loss,
                self.settings,
                progress,
            )
        return Recording.of(basis, loss, recorder)

    def _sampled(
        self, part: Observation, window: Window, recording: Recording, progress: Progress
    ) -> Iterator[tuple[Patch, Tensor]]:
        """Yield the coefficients ``(d, H, W)`` of the patches with data that a window touches."""
        recording = recording.to(self._device)
        calls = [t for t, _ in times(self.settings.steps, STEPS)]
        network = FrozenUNet(self.sampling_networks(FrozenNorm)[0], calls, recording)
        groups = alike(patches(self.scene, window, self.settings.patch, STRIDE), AT_ONCE[self._device.type])
        for done, group in enumerate(groups):
            guided = {
                patch: guidance
                for patch in group
                if (guidance := guidance_of(self.scene, part, patch.window, self.scale, self._device))
            }
            if guided:
                loss = RecordedLoss(list(guided.values()), recording.bases, recording.pulls, self.settings)
                start = self.start([patch.window for patch in guided])
                report = part_of(progress, done, len(groups))
                (drawn,) = sample([network], [start], loss, self.settings, report)
                yield from zip(guided, drawn, strict=True)

    def _cube(self, coefficients: Tensor, basis: Tensor) -> Tensor:
        """Multiply factors in [0, 1] to a cube in the images' units."""
        return torch.tensordot(basis.T, coefficients, dims=1).clamp_(0, 1).mul_(self.scale)

    def sampling_networks(self, norm: type[Norm] = Norm) -> tuple[SpatialUNet, nn.Module]:
        """Return the networks for sampling, without gradients and channels last.

        The spatial network is a copy, in the precision of the sampling.

        Parameters
        ----------
        norm : type
            Kind of norm of the spatial network.
        """
        spatial = SpatialUNet(self.settings.d, self.settings.training.width, norm)
        spatial.load_state_dict(self.networks["spatial"].state_dict())
        if self._bfloat16:
            to_precision(spatial, torch.bfloat16)
        on_device(spatial, self._device).requires_grad_(False).eval()
        return spatial, self.networks["spectral"].to(self._device).requires_grad_(False).eval()

    def start(self, windows: list[Window]) -> Tensor:
        """Draw A_T ``(n, d, H, W)`` of windows of the scene, as a function of the absolute position."""
        y, x = self.scene.origin
        origins = [(y + window.y0, x + window.x0) for window in windows]
        shape = (self.settings.d, *windows[0].shape)
        return window_noise(self.seed, "args_diff/coefficients", shape, origins).to(self._device)

    def start_basis(self) -> Tensor:
        """Draw E_T ``(d, C)``."""
        basis = standard_normal(self.seed, "args_diff/basis", (1, self.settings.d, self.scene.bands))[0]
        return torch.from_numpy(basis).to(self._device)
