"""Settings of `args_diff`, with its budgets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_serializer, model_validator

from pipeline.methods.settings import Proposal, TrainedSettings
from pipeline.settings.strict import Strict


class TrainingBudget(Strict):
    """Length of the training of ARGS-Diff's two networks, and width of the spatial one."""

    width: int = Field(64, ge=32, multiple_of=32, description="channels of the spatial UNet's first level")
    spatial_iterations: int = Field(30_000, ge=1)
    spatial_batch: int = Field(16, ge=1)
    crop: int = Field(128, ge=8, multiple_of=8, description="side of a training crop in HR pixels")
    spectral_iterations: int = Field(500_000, ge=1)
    spectral_batch: int = Field(128, ge=1)
    spatial_learning_rate: float = Field(1e-4, gt=0, description="at the start; falls linearly to 0")
    spectral_learning_rate: float = Field(1e-4, gt=0, description="at the start; falls linearly to 0")
    ema: Literal["warm_up", "constant"] = Field(
        "warm_up",
        description="decay of the moving average of the weights: rising to 0.9999, or 0.9999 from the first "
        "step as in the public code",
    )


BUDGETS: dict[str, TrainingBudget] = {
    "paper": TrainingBudget(),
    "standard": TrainingBudget(
        spatial_iterations=1_600,
        spatial_batch=4,
        crop=64,
        spectral_iterations=40_000,
        spectral_learning_rate=3e-4,
    ),
    "quick": TrainingBudget(
        width=32,
        spatial_iterations=1_000,
        spatial_batch=4,
        crop=32,
        spectral_iterations=15_000,
        spatial_learning_rate=3e-4,
        spectral_learning_rate=3e-4,
    ),
}


FAST_SECONDS_PER_MEGAPIXEL = 150.0

PUBLISHED_ONLY = ("variant", "d", "steps", "rho1", "rho2", "lambda1", "lambda2", "argm", "r", "patch", "stop")
"""Settings of ARGS-Diff that do not act with a `FastBudget`."""


class FastBudget(Strict):
    """ARGS-Diff with exact data steps and one small network, which denoises single planes."""

    denoiser_width: int = Field(32, ge=1, description="channels of the network's finer scale")
    denoiser_iterations: int = Field(600, ge=1)
    denoiser_batch: int = Field(8, ge=1)
    denoiser_crop: int = Field(48, ge=8, description="side of a training crop in HR pixels")
    denoiser_learning_rate: float = Field(1e-3, gt=0, description="at the start; falls linearly to 0")
    exact_steps: int = Field(6, ge=2, description="noise levels that are walked down")


class ArgsDiffSettings(TrainedSettings):
    """ARGS-Diff (arXiv 2505.11800)."""

    seconds_per_megapixel = 6000.0
    proposal = Proposal("trained on the pair, for minutes to hours", "{budget: quick}")

    method: Literal["args_diff"] = "args_diff"
    budget: Literal["paper", "standard", "quick", "fast"] | TrainingBudget | FastBudget = Field(
        "standard", description="a named preset or its fields; fast: exact data steps in place of guidance"
    )
    variant: Literal["code", "paper"] = Field(
        "code", description="the public code's update rules, or the ones printed in the paper"
    )
    d: int = Field(8, ge=1, description="subspace dimension")
    steps: int = Field(
        500, ge=2, le=1000, description="T, number of sampling steps, out of the schedule's 1000"
    )
    rho1: float = Field(0.05, gt=0, description="step size on the coefficients A")
    rho2: float = Field(0.05, gt=0, description="step size on the basis E")
    lambda1: float = Field(1.0, ge=0, description="weight of the HR-MSI in the guidance")
    lambda2: float = Field(1.0, ge=0, description="weight of the HR-MSI in the ARGM")
    argm: bool | Literal["coefficients", "basis"] = Field(
        True,
        description="adaptive residual guided module: on, off, or on A (coefficients) or E (basis) alone",
    )
    r: float = Field(10.0, gt=0, description="ratio of the guidance's step to the ARGM's")
    patch: int = Field(
        256,
        ge=32,
        multiple_of=8,
        description="side in HR pixels of the patches in which a larger scene is sampled; a scene of as many "
        "pixels as one patch is sampled as published",
    )
    stop: Literal["budget", "held_out"] = Field(
        "budget", description="end training by the budget, or earlier by the loss on held-out samples"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 networks where the device computes in it, else float32"
    )
    threads: int = Field(2, ge=1, description="CPU threads; the trained weights depend on their number")

    @field_serializer("budget")
    def _resolved_budget(self, budget: object) -> TrainingBudget | FastBudget:
        """Replace a preset by its fields, so that a changed preset is a changed setting."""
        return self.fast or self.training

    @model_validator(mode="after")
    def _acting(self) -> ArgsDiffSettings:
        """Refuse settings that exact data steps leave without effect."""
        for name in PUBLISHED_ONLY if self.fast else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name}: has no effect with budget: fast; leave it out")
        return self

    @property
    def expected_speed(self) -> float:
        """Seconds per megapixel of these settings."""
        return FAST_SECONDS_PER_MEGAPIXEL if self.fast else self.seconds_per_megapixel

    @property
    def expected_training(self) -> float:
        """Rough seconds of the training: its iterations times their measured cost on a core in float32."""
        if self.fast:
            return 0.06 * self.fast.denoiser_iterations
        budget = self.training
        samples = budget.spatial_batch * (budget.crop * budget.width / 32**2) ** 2
        return 0.04 * budget.spatial_iterations * samples + 0.005 * budget.spectral_iterations

    @property
    def sampling_steps(self) -> int | None:
        """Number of sampling steps; None with exact data steps, which cannot be traced."""
        return None if self.fast else self.steps

    def training_part(self) -> dict[str, Any] | None:
        """Return the settings on which the trained weights depend; all others affect sampling only."""
        if self.fast:
            return None
        trained = {"method", "budget", "d", "stop", "precision", "device", "threads"}
        return self.model_dump(mode="json", include=trained)

    def fitting(self, hr_shape: tuple[int, int]) -> dict[str, Any]:
        """Return the settings that determine the fitted state.

        They are the training's, and all settings if the scene is sampled in patches: then the fit samples an
        anchor.

        Parameters
        ----------
        hr_shape : (int, int)
            Height and width of the scene in HR pixels.
        """
        part = self.training_part()
        return part if part and self.in_one_piece(hr_shape) else self.deciding()

    def in_one_piece(self, hr_shape: tuple[int, int]) -> bool:
        """Tell whether a scene is sampled as published: it has no more pixels than a patch.

        Parameters
        ----------
        hr_shape : (int, int)
            Height and width of the scene in HR pixels.
        """
        height, width = hr_shape
        return height * width <= self.patch**2

    @property
    def fast(self) -> FastBudget | None:
        """Budget of exact data steps; None for a published training."""
        if self.budget == "fast":
            return FastBudget()
        return self.budget if isinstance(self.budget, FastBudget) else None

    @property
    def training(self) -> TrainingBudget:
        """Budget of a published training, with the preset's name replaced by its fields."""
        budget = BUDGETS[self.budget] if isinstance(self.budget, str) else self.budget
        assert isinstance(budget, TrainingBudget), "a fast budget has no published training"
        return budget
