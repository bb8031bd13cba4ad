"""A scene's base bands drawn by diffusion, and with them its cube: in one piece, or in patches.

A scene of no more pixels than a patch is sampled as published. A larger scene is sampled patch by patch, with
the recording of a joint run on a few windows, which settles all that would couple the patches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.diffusion.coupling import Recorder, Replay
from pipeline.core.diffusion.sr3 import ALONE, FROZEN, RECORDING, Layers, Shape, SR3UNet
from pipeline.core.sensing.nodata import mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.base import FittedMethod, State
from pipeline.methods.device import device_name, on_device, reproducible, resolve_device
from pipeline.methods.diffusion.anchors import anchor_windows
from pipeline.methods.diffusion.low_rank_guidance import ExactStep, JointLoss, Loss, RecordedLoss
from pipeline.methods.diffusion.low_rank_model import LowRankModel, Recording
from pipeline.methods.diffusion.low_rank_observation import Piece, piece_of
from pipeline.methods.diffusion.low_rank_sampling import Network, sample
from pipeline.methods.diffusion.low_rank_settings import LowRankSettings
from pipeline.methods.diffusion.patches import (
    AT_ONCE,
    Patch,
    alike,
    halo_lr,
    joined,
    part_of,
    patches,
    read_patches,
    window_noise,
)
from pipeline.methods.optimisation import parameter_count
from pipeline.methods.pool import training_pool


@dataclass(frozen=True)
class Prior:
    """A trained network of three channels.

    Attributes
    ----------
    shape : Shape
        Size of the network.
    weights : dict of Tensor
        Its state.
    bfloat16 : bool
        Whether its heavy layers compute in bfloat16.
    """

    shape: Shape
    weights: dict[str, Tensor]
    bfloat16: bool

    def precision_state(self) -> State:
        """Return the precision, for a fitted method's state, whichever device samples the tiles."""
        return {"bfloat16": np.array(self.bfloat16)}


class FittedLowRank(FittedMethod):
    """The sampler of PLRDiff on a scene.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    settings : LowRankSettings
        Settings of the sampling.
    seed : int
        Seed of all noise.
    prior : Prior
        The network.
    model : LowRankModel
        What is settled for the scene.
    kept : dict of ndarray
        Arrays of the state that `Method.restore` needs for the prior.
    """

    def __init__(
        self,
        scene: ObservedScene,
        settings: LowRankSettings,
        seed: int,
        prior: Prior,
        model: LowRankModel,
        kept: State,
    ) -> None:
        super().__init__(scene, halo_lr(scene.spatial_response, prior.shape.stride))
        self.settings, self.seed, self.prior, self.model, self.kept = settings, seed, prior, model, kept
        self._device = resolve_device(settings.device)
        self._mixing = torch.from_numpy(model.mixing).to(self._device)
        with torch.device("meta"):
            self.parameters = parameter_count(SR3UNet(prior.shape))
        self.device = device_name(self._device)
        self.precision = "bfloat16" if prior.bfloat16 else "float32"
        self._base: Tensor | None = None  # of a scene in one piece, once sampled

    @property
    def in_one_piece(self) -> bool:
        """Whether the scene is sampled as published."""
        return self.settings.in_one_piece(self.scene.hr_shape)

    def state(self) -> State:
        """Return scale, E, recording, and what the prior is restored from."""
        return self.model.state() | self.kept

    def recorded(self, progress: Progress) -> FittedLowRank:
        """Return the method with the recording of a joint run, if the scene is larger than a patch.

        Parameters
        ----------
        progress : callable
            Receives the number of finished steps.

        Raises
        ------
        InputError
            No LR pixel depends on pixels of a single window alone.
        """
        if self.in_one_piece:
            return self
        pool = training_pool(self.scene, self.seed, self.settings.method, self.prior.shape.stride)
        pieces = {
            window: piece
            for part, window in anchor_windows(self.scene, pool, self.settings.method)
            if (piece := self._piece(part, window))
        }
        if not pieces:
            raise InputError(
                f"{self.settings.method}: every LR pixel depends on HR pixels outside the windows that "
                f"settle the norms; the ratio or the response's support is too large for the scene"
            )
        recorder, data = Recorder(self.network(RECORDING)), self._joint(list(pieces.values()))
        with reproducible(self._device, self.settings.threads):
            self._drawn(recorder, list(pieces), data, progress)
        pulls, etas = torch.empty(0), torch.empty(0)
        if isinstance(data, JointLoss):
            pulls, etas = torch.stack(data.pulls), torch.tensor(data.etas, dtype=torch.float64)
        recording = Recording(pulls, etas, recorder.records(), recorder.slopes())
        model = replace(self.model, recording=recording)
        return FittedLowRank(self.scene, self.settings, self.seed, self.prior, model, self.kept)

    def read(self, window: Window) -> Observation:
        """Read the patches that a window touches, or the whole of a small scene."""
        if self.in_one_piece:
            return self.scene.crop(self.scene.whole)
        return read_patches(self.scene, self._patches(window))

    def fuse_part(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> NDArray[np.float32]:
        """Fuse a window ``(C, height, width)`` from the part of the scene that `read` returns for it."""
        if self.in_one_piece:
            return super().fuse_part(part, window, progress)
        with reproducible(self._device, self.settings.threads):
            cube = joined(self.scene, part, self._sampled(part, window, progress), part.bands)
        return mark_nodata(cube, part)[:, *window.relative_to(self.scene.window_of(part)).slices]

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Sample a scene in one piece, as published; its windows share one run."""
        piece = self._piece(observation, observation.whole)
        if piece is None:
            return np.full((observation.bands, *observation.hr_shape), np.nan, np.float32)
        with reproducible(self._device, self.settings.threads):
            if self._base is None:
                network, data = self.network(ALONE), self._joint([piece])
                self._base = self._drawn(network, [observation.whole], data, progress)[0]
            cube = self._cube(piece, self._base)
        return mark_nodata(cube, observation)

    def _sampled(
        self, part: Observation, window: Window, progress: Progress
    ) -> Iterator[tuple[Patch, NDArray[np.float32]]]:
        """Yield the cubes of the patches with data that a window touches."""
        recording = self.model.recording
        assert recording is not None
        network = Replay(self.network(FROZEN), recording.records, recording.slopes)
        groups = alike(self._patches(window), AT_ONCE[self._device.type])
        for done, group in enumerate(groups):
            pieces = {patch: piece for patch in group if (piece := self._piece(part, patch.window))}
            if not pieces:
                continue
            data, report = self._alone(list(pieces.values()), recording), part_of(progress, done, len(groups))
            base = self._drawn(network.rewind(), [patch.window for patch in pieces], data, report)
            for (patch, piece), bands in zip(pieces.items(), base, strict=True):
                yield patch, self._cube(piece, bands)

    def _drawn(
        self, network: nn.Module, windows: list[Window], data: Loss | ExactStep | None, progress: Progress
    ) -> Tensor:
        """Draw the base bands ``(n, r, H, W)`` of windows together."""
        start = self.noise("start", windows)
        return sample(
            self._in_precision(network),
            start,
            lambda step: self.noise(f"step/{self.settings.length - step}", windows),
            data,
            self.settings,
            progress,
        )

    def _in_precision(self, network: nn.Module) -> Network:
        def predict(x: Tensor, level: Tensor) -> Tensor:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self.prior.bfloat16):
                noise: Tensor = network(x, level)
            return noise

        return predict

    def _joint(self, pieces: list[Piece]) -> JointLoss | ExactStep:
        """Return how the observations of all windows together act."""
        if self.settings.data_step == "exact":
            return self._exact(pieces)
        return JointLoss([piece.guidance for piece in pieces], self._mixing, self.settings)

    def _alone(self, pieces: list[Piece], recording: Recording) -> RecordedLoss | ExactStep:
        """Return how the observations of each window by itself act, as recorded."""
        if self.settings.data_step == "exact":
            return self._exact(pieces)
        guidance = [piece.guidance for piece in pieces]
        eta1, eta2 = recording.etas.tolist()
        return RecordedLoss(guidance, self._mixing, recording.pulls, (eta1, eta2))

    def _exact(self, pieces: list[Piece]) -> ExactStep:
        sigma = self.scene.sigma_hsi / self.model.scale, self.scene.sigma_msi / self.model.scale
        return ExactStep([piece.guidance for piece in pieces], self.model.mixing.astype(np.float64), *sigma)

    def _piece(self, part: Observation, window: Window) -> Piece | None:
        return piece_of(self.scene, part, window, self.model, self.settings.residual, self._device)

    def _cube(self, piece: Piece, base: Tensor) -> NDArray[np.float32]:
        """Return ``A E + Res`` in the images' units, not clipped."""
        cube = (torch.tensordot(self._mixing.T, base, dims=1) + piece.residual) * self.model.scale
        return cube.cpu().numpy()

    def _patches(self, window: Window) -> list[Patch]:
        return patches(self.scene, window, self.settings.patch, self.prior.shape.stride)

    def network(self, layers: Layers) -> nn.Module:
        """Return the network with its weights, for sampling.

        Parameters
        ----------
        layers : Layers
            Kind of norms and attention.
        """
        with torch.device("meta"):
            network = SR3UNet(self.prior.shape, layers)
        # copied into memory of its own: the last bits depend on the alignment, and a file's is another
        network.to_empty(device="cpu").load_state_dict(self.prior.weights)
        return on_device(network, self._device).requires_grad_(False).eval()

    def noise(self, purpose: str, windows: list[Window]) -> Tensor:
        """Draw standard normal noise ``(n, r, H, W)`` of windows, as a function of the absolute position.

        Parameters
        ----------
        purpose : str
            Name of the draw.
        windows : list of Window
            Windows of the scene.
        """
        y, x = self.scene.origin
        origins = [(y + window.y0, x + window.x0) for window in windows]
        shape = (self.settings.rank, *windows[0].shape)
        return window_noise(self.seed, f"{self.settings.method}/{purpose}", shape, origins).to(self._device)
