"""Settings of `miae`, with its budgets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_serializer

from pipeline.methods.settings import TrainedSettings
from pipeline.settings.strict import Strict


class MiaeBudget(Strict):
    """Length of the training of MIAE's network, and number of pixels in a step."""

    constant_iterations: int = Field(1000, ge=0, description="iterations at the full learning rate")
    falling_iterations: int = Field(
        9000, ge=1, description="iterations with a learning rate falling linearly to 0"
    )
    learning_rate: float = Field(5e-3, gt=0)
    patch: int = Field(3, ge=1, description="side in LR pixels of the window that a training patch compares")
    batch: int = Field(
        100, ge=1, description="patches in an iteration; a scene of no more pixels is a single patch"
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
        "given", description="responses of the observation, or both estimated from the pair by this method"
    )
    endmembers: int = Field(80, ge=1, description="e, number of endmembers and width of the network")
    stages: int = Field(3, ge=1, description="successive estimates of the abundances")

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
