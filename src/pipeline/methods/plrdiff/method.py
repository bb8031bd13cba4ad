"""PLRDiff: base bands of the cube drawn by the published diffusion model of aerial photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.core.sensing.observation import ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods.base import State
from pipeline.methods.device import bfloat16_on, resolve_device
from pipeline.methods.diffusion.low_rank_diffusion import FittedLowRank, Prior
from pipeline.methods.diffusion.low_rank_model import LowRankModel
from pipeline.methods.diffusion.patches import halo_lr
from pipeline.methods.plrdiff.published import converted_shape, read_converted
from pipeline.methods.plrdiff.settings import PlrdiffSettings

KEY = "checkpoint"  # of the digest in a fitted method's state


class Plrdiff:
    """The method `plrdiff`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: PlrdiffSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the halo around a patch, in LR pixels."""
        return halo_lr(response, converted_shape(self.settings.checkpoint).stride)

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedLowRank:
        """Settle what belongs to the scene as a whole; nothing is trained."""
        model = LowRankModel.of(scene, self.settings.rank)
        bfloat16 = bfloat16_on(resolve_device(self.settings.device), self.settings.precision)
        prior, kept = self._prior(bfloat16)
        return FittedLowRank(scene, self.settings, seed, prior, model, kept).recorded(progress)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedLowRank:
        """Load the checkpoint, and what was settled for the scene.

        Raises
        ------
        InputError
            The checkpoint has other weights than the one of the fit.
        """
        prior, kept = self._prior(bool(state["bfloat16"]))
        if not np.array_equal(kept[KEY], state[KEY]):
            raise InputError(
                f"{self.settings.checkpoint}: has other weights than the checkpoint of the fit; delete the "
                "fitted method and run `train` again"
            )
        return FittedLowRank(scene, self.settings, seed, prior, LowRankModel.restore(state), kept)

    def _prior(self, bfloat16: bool) -> tuple[Prior, State]:
        """Return the published network, and what a state holds of it: precision and digest."""
        shape, weights, digest = read_converted(self.settings.checkpoint)
        prior = Prior(shape, weights, bfloat16)
        of_file = np.frombuffer(bytes.fromhex(digest), np.uint8).copy()
        return prior, {KEY: of_file} | prior.precision_state()
