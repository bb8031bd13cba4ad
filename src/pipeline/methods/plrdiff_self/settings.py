"""Settings of `plrdiff_self`, with its budgets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_serializer

from pipeline.methods.diffusion.low_rank_settings import PUBLISHED_STEPS, LowRankSettings
from pipeline.methods.settings import TrainedSettings
from pipeline.settings.strict import Strict


class PriorBudget(Strict):
    """Size of the network and length of its training."""

    width: int = Field(128, ge=32, multiple_of=32, description="channels of the UNet's first level")
    multipliers: list[int] = Field(
        [1, 2, 4, 8, 8],
        min_length=1,
        max_length=5,
        description="channels of each level, in units of the width",
    )
    attention: bool = Field(True, description="attention on the deepest level and in the middle")
    iterations: int = Field(190_000, ge=1)
    batch: int = Field(8, ge=1)
    crop: int = Field(256, ge=8, description="side of a training crop in HR pixels")
    learning_rate: float = Field(1e-5, gt=0, description="at the start; falls linearly to 0")


BUDGETS: dict[str, PriorBudget] = {
    "paper": PriorBudget(),
    "standard": PriorBudget(
        width=64,
        multipliers=[1, 2, 4],
        attention=False,
        iterations=3_000,
        crop=64,
        learning_rate=2e-4,
    ),
    "quick": PriorBudget(
        width=32,
        multipliers=[1, 2, 4],
        attention=False,
        iterations=1_500,
        crop=48,
        learning_rate=2e-4,
    ),
}
STEPS = {"quick": 200, "standard": 200}


class PlrdiffSelfSettings(LowRankSettings, TrainedSettings):
    """The sampler of PLRDiff with a prior trained on the pair's own HR-MSI."""

    seconds_per_megapixel = 1800.0  # for 100 steps of the network of `quick`

    method: Literal["plrdiff_self"] = "plrdiff_self"
    budget: Literal["paper", "standard", "quick"] | PriorBudget = Field(
        "standard", description="a named preset or its fields"
    )
    threads: int = Field(2, ge=1, description="CPU threads; the trained weights depend on their number")

    @field_serializer("budget")
    def _resolved_budget(self, budget: object) -> PriorBudget:
        """Replace a preset by its fields, so that a changed preset is a changed setting."""
        return self.training

    @property
    def training(self) -> PriorBudget:
        """Budget, with the preset's name replaced by its fields."""
        return BUDGETS[self.budget] if isinstance(self.budget, str) else self.budget

    @property
    def length(self) -> int:
        """T, number of sampling steps."""
        default = STEPS.get(self.budget, PUBLISHED_STEPS) if isinstance(self.budget, str) else PUBLISHED_STEPS
        return self.steps or default

    @property
    def expected_speed(self) -> float:
        """Seconds per megapixel of these settings."""
        return self.seconds_per_megapixel * self.length / 100 * (self.training.width / 32) ** 2

    @property
    def expected_training(self) -> float:
        """Rough seconds of the training on a core in float32."""
        budget = self.training
        samples = budget.batch * (budget.crop * budget.width / 32**2) ** 2
        return 0.05 * budget.iterations * samples

    def training_part(self) -> dict[str, Any] | None:
        """Return the settings on which the trained weights depend; all others affect sampling only."""
        return self.model_dump(mode="json", include={"method", "budget", "precision", "device", "threads"})
