"""Settings of `spectral_mlp`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.methods.settings import TrainedSettings


class SpectralMlpSettings(TrainedSettings):
    """Per-pixel network from an HR-MSI pixel to a spectrum, in the manner of SpectraLift (2025)."""

    seconds_per_megapixel = 3.0
    trains = False  # in seconds

    method: Literal["spectral_mlp"] = "spectral_mlp"
    width: int = Field(128, ge=1, description="width of the hidden layers")
    layers: int = Field(2, ge=1, description="number of hidden layers")
    iterations: int = Field(2000, ge=1, description="training steps; the learning rate falls as a cosine")
    batch: int = Field(256, ge=1, description="LR pixels in a step")
    learning_rate: float = Field(3e-3, gt=0, description="learning rate of the first step")

    @property
    def expected_training(self) -> float:
        """Rough seconds of the training."""
        return 0.003 * self.iterations
