"""Settings of `cucanet`, with its budgets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_serializer

from pipeline.methods.settings import TrainedSettings
from pipeline.settings.strict import Strict


class CucanetBudget(Strict):
    """Length of CuCaNet's training, and size of its crops."""

    constant: int = Field(2_000, ge=0, description="iterations at the full learning rate")
    falling: int = Field(8_000, ge=1, description="iterations at a learning rate falling linearly to 0")
    learning_rate: float = Field(
        5e-3,
        gt=0,
        description="learning rate of the HSI's stream; half of it for the MSI's, a fifth for attentions and "
        "responses",
    )
    crop: int = Field(256, ge=1, description="side of a training crop in HR pixels")


CUCANET_BUDGETS: dict[str, CucanetBudget] = {
    "paper": CucanetBudget(),
    "standard": CucanetBudget(constant=600, falling=2_400, crop=24),
    "quick": CucanetBudget(constant=80, falling=320, crop=24),
}


class CucanetSettings(TrainedSettings):
    """CuCaNet (Yao et al., ECCV 2020)."""

    seconds_per_megapixel = 20.0

    method: Literal["cucanet"] = "cucanet"
    budget: Literal["paper", "standard", "quick"] | CucanetBudget = Field(
        "standard", description="a named preset or its fields"
    )
    responses: Literal["given", "learned"] = Field(
        "given",
        description="responses of the observation, or PSF and SRF learned with the networks, as published; "
        "learned needs an integer ratio",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="precision of the training; auto: bfloat16 where the device computes in it, else float32",
    )

    @field_serializer("budget")
    def _resolved_budget(self, budget: str | CucanetBudget) -> CucanetBudget:
        """Replace a preset by its fields, so that a changed preset is a changed setting."""
        return self.training

    @property
    def expected_training(self) -> float:
        """Rough seconds of the training."""
        return 0.06 * (self.training.constant + self.training.falling)

    @property
    def training(self) -> CucanetBudget:
        """Budget, with the preset's name replaced by its fields."""
        return CUCANET_BUDGETS[self.budget] if isinstance(self.budget, str) else self.budget
