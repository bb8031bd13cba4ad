"""Settings of `miae`, with its budgets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_serializer

from pipeline.methods.settings import TrainedSettings
from pipeline.settings.strict import Strict


class MiaeBudget(Strict):
    """How long and on how many pixels at a time MIAE's network is trained."""

    constant_iterations: int = Field(1000, ge=0, description="at the full learning rate")
    falling_iterations: int = Field(9000, ge=1, description="with a learning rate falling linearly to 0")
    learning_rate: float = Field(5e-3, gt=0)
    patch: int = Field(3, ge=1, description="side in LR pixels of what a training patch compares")
    batch: int = Field(
        100, ge=1, description="patches of one iteration; a scene of no more pixels is taken as a whole"
    )


MIAE_BUDGETS: dict[str, MiaeBudget] = {
    "paper": MiaeBudget(),
    "standard": MiaeBudget(constant_iterations=320, falling_iterations=2880, patch=8, batch=2),
}


class MiaeSettings(TrainedSettings):
    """MIAE, model inspired autoencoder (Liu et al. 2022)."""

    seconds_per_megapixel = 30.0

    method: Literal["miae"] = "miae"
    budget: Literal["paper", "standard"] | MiaeBudget = Field(
        "standard", description="a named preset or its fields"
    )
    responses: Literal["given", "blind"] = Field(
        "given", description="use the responses that the pair comes with, or estimate both from the pair"
    )
    endmembers: int = Field(80, ge=1, description="e, the width of the network")
    stages: int = Field(3, ge=1, description="estimates of the abundances, each from the one before")

    @field_serializer("budget")
    def _resolved_budget(self, budget: str | MiaeBudget) -> MiaeBudget:
        """Replace a preset by its fields, so that a changed preset is a changed setting."""
        return self.training

    @property
    def expected_training(self) -> float:
        """Rough seconds of the training."""
        return 0.03 * (self.training.constant_iterations + self.training.falling_iterations)

    @property
    def training(self) -> MiaeBudget:
        """Budget, with the preset's name replaced by its fields."""
        return MIAE_BUDGETS[self.budget] if isinstance(self.budget, str) else self.budget
