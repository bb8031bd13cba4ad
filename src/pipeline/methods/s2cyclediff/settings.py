"""Settings of `s2cyclediff`, with its budgets."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_serializer

from pipeline.methods.supervised import DiffusionSettings, receptive_radius
from pipeline.settings.strict import Strict

FUSION_REACH = 3  # pixels that the three 3x3 convolutions of the fusion block add


class S2CycleDiffBudget(Strict):
    """Size of the networks and length of their training."""

    width: int = Field(64, ge=16, multiple_of=16, description="channels of the first level")
    multipliers: list[int] = Field(
        [1, 2, 2, 2], min_length=2, description="channels of each level, in units of the width"
    )
    iterations: int = Field(21_600, ge=1)
    epoch: int = Field(
        27, ge=0, description="iterations of the first phase, without the fusion block and with a full cycle"
    )
    batch: int = Field(12, ge=1)
    crop: int = Field(128, ge=8, description="side of a training crop in HR pixels")
    learning_rate: float = Field(1e-4, gt=0)
    decay: Literal["none", "cosine"] = Field("none", description="whether the learning rate falls to 0")
    weights: Literal["orthogonal", "default"] = Field(
        "orthogonal", description="weights at the start: orthogonal with zero biases, or PyTorch's default"
    )
    residual: bool = Field(
        False,
        description="predict differences, zero at first: of the branches to the interpolated LR-HSI, of the "
        "fusion block to the mean of both branches",
    )


BUDGETS: dict[str, S2CycleDiffBudget] = {
    "paper": S2CycleDiffBudget(),
    "standard": S2CycleDiffBudget(iterations=20_000, crop=64),
    "quick": S2CycleDiffBudget(
        width=32,
        multipliers=[1, 2, 2],
        iterations=1_500,
        epoch=1_000,
        batch=8,
        crop=32,
        learning_rate=1e-3,
        decay="cosine",
        weights="default",
        residual=True,
    ),
}


class S2CycleDiffSettings(DiffusionSettings):
    """S2CycleDiff (Qu et al., AAAI 2024)."""

    seconds_per_megapixel = 500.0
    sampling_only: ClassVar[frozenset[str]] = DiffusionSettings.sampling_only | {"start"}

    method: Literal["s2cyclediff"] = "s2cyclediff"
    budget: Literal["paper", "standard", "quick"] | S2CycleDiffBudget = Field(
        "quick", description="a named preset or its fields"
    )
    attention: float = Field(
        0.0,
        ge=0,
        description="weight of the self- and cross-attention in training and sampling; 0: not computed",
    )
    start: Literal["uniform", "matched", "normal"] = Field(
        "uniform",
        description="cube that the sampling starts from: uniform in [0, 1], as published; matched: the "
        "interpolated LR-HSI with the noise of the schedule's last step, as in training; normal: N(0, 1)",
    )

    @field_serializer("budget")
    def _resolved_budget(self, budget: object) -> S2CycleDiffBudget:
        """Write a preset as its fields, so that a change of the preset repeats the training."""
        return self.network

    @property
    def network(self) -> S2CycleDiffBudget:
        """The budget, with the preset's name replaced by its fields."""
        return BUDGETS[self.budget] if isinstance(self.budget, str) else self.budget

    @property
    def halvings(self) -> list[int]:
        """How often the spatial cross-attention halves the images of each level, from the training's crops.

        The published code halves images of side h floor(log2(h / 20)) times, at most three times for
        h = 512.
        """
        sides = (self.network.crop >> level for level in range(len(self.network.multipliers) - 1))
        return [min(3, max(0, (side // 20).bit_length() - 1)) for side in sides]

    @property
    def stride(self) -> int:
        """Number that divides the sides of the deepest level's input."""
        levels = len(self.network.multipliers) - 1
        of_attention = [level + count for level, count in enumerate(self.halvings)] if self.attention else []
        return int(2 ** max(levels, *of_attention, 0))

    @property
    def receptive_radius(self) -> int:
        """Distance in HR pixels beyond which an input has no direct influence on an output."""
        return receptive_radius(len(self.network.multipliers)) + FUSION_REACH

    @property
    def expected_training(self) -> float:
        """Rough seconds of the training on a core in float32."""
        budget = self.network
        return 0.1 * budget.iterations * budget.batch / 8 * (budget.crop * budget.width / 32**2) ** 2
