"""The sampler of PLRDiff with a prior trained on the pair.

The network knows the noise of three-band images. It is trained on random triples of the HR-MSI's bands, as a
stand-in for the published network, which was trained on millions of aerial photographs.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.diffusion.sr3 import Shape, SR3UNet, orthogonal_
from pipeline.core.sensing.nodata import filled_observation
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.methods.base import State
from pipeline.methods.device import bfloat16_on, reproducible, resolve_device
from pipeline.methods.diffusion.low_rank_diffusion import FittedLowRank, Prior
from pipeline.methods.diffusion.low_rank_model import LowRankModel
from pipeline.methods.diffusion.low_rank_sampling import CHANNELS
from pipeline.methods.diffusion.noise_prediction import Recipe, train
from pipeline.methods.diffusion.patches import halo_lr
from pipeline.methods.optimisation import Checkpoint, pair_fingerprint, weights_under
from pipeline.methods.plrdiff_self.settings import PlrdiffSelfSettings
from pipeline.methods.plrdiff_self.training import continuous_levels, triples_draw
from pipeline.methods.pool import training_pool, unit_scale


class PlrdiffSelf:
    """The method `plrdiff_self`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: PlrdiffSelfSettings) -> None:
        self.settings = settings
        budget = settings.training
        deepest = len(budget.multipliers) - 1
        self.shape = Shape(
            CHANNELS,
            CHANNELS,
            budget.width,
            tuple(budget.multipliers),
            attention={deepest} if budget.attention else (),
            middle_attention=budget.attention,
        )

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the halo around a patch, in LR pixels."""
        return halo_lr(response, self.shape.stride)

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedLowRank:
        """Train the prior, and settle what belongs to the scene as a whole."""
        scale, pool = unit_scale(scene), training_pool(scene, seed, "plrdiff_self", self.shape.stride)
        prior = self._trained([filled_observation(part) for part in pool], scale, seed, checkpoint, progress)
        return self._settled(scene, seed, prior, progress)

    def _trained(
        self, pool: list[Observation], scale: float, seed: int, checkpoint: Path | None, progress: Progress
    ) -> Prior:
        """Train the prior on parts of a scene without no-data."""
        settings, budget, device = self.settings, self.settings.training, resolve_device(self.settings.device)
        recipe = Recipe(
            "plrdiff_self",
            "prior",
            continuous_levels(),
            budget.iterations,
            budget.learning_rate,
            seed,
            device,
            bfloat16_on(device, settings.precision),
            Checkpoint(
                checkpoint / "prior.safetensors" if checkpoint else None,
                settings.checkpoint_every,
                pair_fingerprint(pool, settings.training_part(), seed),
            ),
        )
        draw = triples_draw([part.hr_msi / scale for part in pool], budget.crop, budget.batch)
        with reproducible(device, settings.threads):
            network = train(lambda: orthogonal_(SR3UNet(self.shape)), draw, None, recipe, progress)
        weights = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
        return Prior(self.shape, weights, recipe.bfloat16)

    def fit_trained(
        self, scene: ObservedScene, state: State, seed: int = 0, progress: Progress = no_progress
    ) -> FittedLowRank:
        """Fit with the prior of a fitted method that has the same `training_part`."""
        return self._settled(scene, seed, self._prior(state), progress)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedLowRank:
        """Load the prior's weights and what was settled for the scene."""
        return self._fitted(scene, seed, self._prior(state), LowRankModel.restore(state))

    def _prior(self, state: State) -> Prior:
        return Prior(self.shape, weights_under("prior.", state), bool(state["bfloat16"]))

    def _settled(self, scene: ObservedScene, seed: int, prior: Prior, progress: Progress) -> FittedLowRank:
        model = LowRankModel.of(scene, self.settings.rank)
        return self._fitted(scene, seed, prior, model).recorded(progress)

    def _fitted(self, scene: ObservedScene, seed: int, prior: Prior, model: LowRankModel) -> FittedLowRank:
        kept = {f"prior.{name}": tensor.numpy() for name, tensor in prior.weights.items()}
        return FittedLowRank(scene, self.settings, seed, prior, model, kept | prior.precision_state())
