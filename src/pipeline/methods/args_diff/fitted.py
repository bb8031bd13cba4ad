"""A scene's trained ARGS-Diff networks, and the sampling of any window of it.

A scene of no more pixels than a patch is sampled as published. A larger one is sampled patch by patch
with a recording of a joint run of some windows, which settles the basis and all else that would couple
the patches. Nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.sensing.nodata import mark_nodata
from pipeline.core.sensing.noise import standard_normal
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.args_diff.guidance import Guidance, JointLoss, RecordedLoss
from pipeline.methods.args_diff.networks import SpatialUNet, on_device, to_precision
from pipeline.methods.args_diff.norms import FrozenNorm, Norm, RecordingNorm
from pipeline.methods.args_diff.patches import Patch, guidance_of, patches
from pipeline.methods.args_diff.recording import FrozenUNet, Recording, RecordingUNet
from pipeline.methods.args_diff.sampling import Watch, sample, timesteps
from pipeline.methods.args_diff.settings import ArgsDiffSettings
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import device_name, reproducible, resolve_device
from pipeline.methods.optimisation import parameter_count

AT_ONCE = {"cpu": 1, "cuda": 8}  # patches that go through the network together


@dataclass(frozen=True)
class Learned:
    """What a training settles for the whole of a scene.

    Attributes
    ----------
    spatial, spectral : nn.Module
    scale : float
        The images' largest value, by which they are divided.
    bfloat16 : bool
        Whether the spatial network samples in bfloat16.
    recording : Recording or None
        Of a scene that is sampled in patches.
    """

    spatial: nn.Module
    spectral: nn.Module
    scale: float
    bfloat16: bool
    recording: Recording | None = None


class FittedArgsDiff(FittedMethod):
    """Both trained networks of a scene and, where it is larger than a patch, what couples its patches."""

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
        """The weights of both networks, float32, the images' scale, the precision and the recording.

        The precision is that of the training's device, wherever tiles are sampled.
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
        """The patches that a window touches, or the whole of a small scene."""
        if self.in_one_piece:
            return self.scene.crop(self.scene.whole)
        seen = [patch.window for patch in patches(self.scene, window, self.settings.patch)]
        bounds = reduce(Window.union, seen)
        return self.scene.crop(self.scene.padded_window(bounds, 0))

    def fuse_part(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> NDArray[np.float32]:
        """The fused cube ``(C, height, width)`` of a window, from what `read` gave for it."""
        if self.in_one_piece:
            return super().fuse_part(part, window, progress)
        assert self.recording is not None
        own = self.scene.window_of(part)
        planes = np.zeros((self.settings.d, *part.hr_shape), np.float32)
        with reproducible(self._device, self.settings.threads):
            for patch, coefficients in self._sampled(part, window, self.recording, progress):
                inner = patch.core.relative_to(patch.window).slices
                planes[:, *patch.core.relative_to(own).slices] = coefficients[:, *inner].cpu()
            planes = mark_nodata(planes, part)[:, *window.relative_to(own).slices]
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
        """The estimate of the clean A ``(d, H, W)``, in [0, 1], when a number of steps is left.

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
        """A and E of the whole scene."""
        return sample(
            self.sampling_networks(),
            [self.start([observation.whole]), self.start_basis()],
            JointLoss([guidance], self.settings),
            self.settings,
            progress,
            watch,
        )

    def record(self, anchors: list[tuple[Observation, Window]], progress: Progress) -> Recording:
        """Sample windows of the scene together with the basis, and keep what couples their pixels."""
        seen = {
            window: guidance
            for part, window in anchors
            if (guidance := guidance_of(self.scene, part, window, self.scale, self._device))
        }
        if not seen:
            raise InputError(
                "args_diff: no LR pixel sees only one of the windows on which the basis is drawn; "
                f"ratio {self.scene.spatial_response.ratio} or the response's support is too large for it"
            )
        spatial, spectral = self.sampling_networks(RecordingNorm)
        recorder, loss = RecordingUNet(spatial), JointLoss(list(seen.values()), self.settings)
        with reproducible(self._device, self.settings.threads):
            _, basis = sample(
                [recorder, spectral],
                [self.start(list(seen)), self.start_basis()],
                loss,
                self.settings,
                progress,
            )
        return Recording.of(basis, loss, recorder)

    def _sampled(
        self, part: Observation, window: Window, recording: Recording, progress: Progress
    ) -> Iterator[tuple[Patch, Tensor]]:
        """The coefficients ``(d, H, W)`` of the patches that a window touches, where there are data."""
        recording = recording.to(self._device)
        times = [t for t, _ in timesteps(self.settings.steps)]
        network = FrozenUNet(self.sampling_networks(FrozenNorm)[0], times, recording)
        groups = alike(patches(self.scene, window, self.settings.patch), AT_ONCE[self._device.type])
        for done, group in enumerate(groups):
            seen = {
                patch: guidance
                for patch in group
                if (guidance := guidance_of(self.scene, part, patch.window, self.scale, self._device))
            }
            if seen:
                loss = RecordedLoss(list(seen.values()), recording.bases, recording.pulls, self.settings)
                start = self.start([patch.window for patch in seen])
                told = _part_of(progress, done, len(groups))
                (drawn,) = sample([network], [start], loss, self.settings, told)
                yield from zip(seen, drawn, strict=True)

    def _cube(self, coefficients: Tensor, basis: Tensor) -> Tensor:
        """The cube of factors in [0, 1], in the images' units."""
        return torch.tensordot(basis.T, coefficients, dims=1).clamp_(0, 1).mul_(self.scale)

    def sampling_networks(self, norm: type[Norm] = Norm) -> tuple[SpatialUNet, nn.Module]:
        """Copies for sampling: without gradients, channels last, the spatial one in bfloat16 where used."""
        spatial = SpatialUNet(self.settings.d, self.settings.training.width, norm)
        spatial.load_state_dict(self.networks["spatial"].state_dict())
        if self._bfloat16:
            to_precision(spatial, torch.bfloat16)
        on_device(spatial, self._device).requires_grad_(False).eval()
        return spatial, self.networks["spectral"].to(self._device).requires_grad_(False).eval()

    def start(self, windows: list[Window]) -> Tensor:
        """A_T ``(n, d, H, W)`` of windows of the scene, a function of the absolute position."""
        y, x = self.scene.origin
        planes = [
            standard_normal(
                self.seed,
                "args_diff/coefficients",
                (self.settings.d, *window.shape),
                (y + window.y0, x + window.x0),
            )
            for window in windows
        ]
        return torch.from_numpy(np.stack(planes)).to(self._device)

    def start_basis(self) -> Tensor:
        """E_T ``(d, C)``."""
        basis = standard_normal(self.seed, "args_diff/basis", (1, self.settings.d, self.scene.bands))[0]
        return torch.from_numpy(basis).to(self._device)


def alike(found: list[Patch], at_once: int) -> list[list[Patch]]:
    """Patches in groups of at most `at_once` neighbours whose windows have the same shape."""
    by_shape = (list(group) for _, group in groupby(found, key=lambda patch: patch.window.shape))
    return [group[i : i + at_once] for group in by_shape for i in range(0, len(group), at_once)]


def _part_of(progress: Progress, done: int, parts: int) -> Progress:
    """Report one of several equal parts as part of the whole."""

    def report(phase: str, step: int, steps: int, loss: float | None = None) -> None:
        progress(phase, done * steps + step, parts * steps, loss)

    return report
