"""Settings of `ddpm_fus`, with its budgets.

The paper does not publish most of them. Each default that is assumed is listed in the method's README.md.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_serializer

from pipeline.methods.supervised import DiffusionSettings, receptive_radius
from pipeline.settings.strict import Strict


class Budget(Strict):
    """Size of the network and length of its training."""

    width: int = Field(64, ge=32, multiple_of=32, description="channels of the UNet's first level")
    multipliers: list[int] = Field(
        [1, 2, 4, 8], min_length=1, description="channels of each level, in units of the width"
    )
    attention: list[int] = Field([3], description="levels with attention, counted from 0")
    iterations: int = Field(250_000, ge=1)
    batch: int = Field(16, ge=1)
    crop: int = Field(64, ge=8, description="side of a training crop in HR pixels")
    learning_rate: float = Field(1e-4, gt=0, description="at the start; falls to 0 as a cosine")
    prediction: Literal["noise", "clean"] = Field(
        "noise",
        description="what the network predicts: the noise, as published, or the clean image, which "
        "few channels can hold",
    )
    residual: bool = Field(
        False,
        description="draw the difference to the interpolated LR-HSI, each band in units of its spread, in "
        "place of the cube",
    )


BUDGETS: dict[str, Budget] = {
    "paper": Budget(),
    "standard": Budget(iterations=20_000),
    "quick": Budget(
        width=32,
        multipliers=[1, 2, 4],
        attention=[],
        iterations=1_500,
        batch=8,
        crop=32,
        learning_rate=2e-3,
        prediction="clean",
        residual=True,
    ),
}


class DdpmFusSettings(DiffusionSettings):
    """DDPM-Fus (arXiv 2307.03423)."""

    seconds_per_megapixel = 400.0

    method: Literal["ddpm_fus"] = "ddpm_fus"
    budget: Literal["paper", "standard", "quick"] | Budget = Field(
        "quick", description="a named preset or its fields"
    )
    diffusion_steps: int = Field(2000, ge=1, description="T, length of the noise schedule")
    first_beta: float = Field(1e-6, gt=0, lt=1, description="variance of the schedule's first step")
    last_beta: float = Field(1e-2, gt=0, lt=1, description="variance of the schedule's last step")

    @field_serializer("budget")
    def _resolved_budget(self, budget: object) -> Budget:
        """Write a preset as its fields, so that a change of the preset repeats the training."""
        return self.network

    @property
    def network(self) -> Budget:
        """The budget, with the preset's name replaced by its fields."""
        return BUDGETS[self.budget] if isinstance(self.budget, str) else self.budget

    @property
    def stride(self) -> int:
        """Number that divides the sides of the deepest level's input."""
        return int(2 ** (len(self.network.multipliers) - 1))

    @property
    def receptive_radius(self) -> int:
        """Distance in HR pixels beyond which an input has no direct influence on an output."""
        return receptive_radius(len(self.network.multipliers))

    @property
    def expected_training(self) -> float:
        """Rough seconds of the training on a core in float32."""
        budget = self.network
        return 0.05 * budget.iterations * budget.batch / 8 * (budget.crop * budget.width / 32**2) ** 2
