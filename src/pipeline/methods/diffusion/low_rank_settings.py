"""Settings of the sampler of PLRDiff, which two methods share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_serializer

from pipeline.methods.settings import MethodSettings

PUBLISHED_STEPS = 500
PUBLISHED_ETA = 2.0
PUBLISHED_PIXELS = 256**2  # of the published scenes


class LowRankSettings(MethodSettings):
    """Settings of the sampler of PLRDiff (Rui et al. 2024)."""

    trains = True

    steps: int | None = Field(
        None, ge=1, description="T, number of sampling steps; default: 500, or as the budget says"
    )
    eta1: float | None = Field(
        None,
        gt=0,
        description="step size of the guidance; default: 2 for 500 steps on 256x256 pixels, as published, "
        "in proportion to the image's side and inversely to the number of steps",
    )
    eta2: float | None = Field(
        None, ge=0, description="step size on the HR-MSI's part of the loss; default: eta1's"
    )
    guidance: Literal["norm", "squared"] = Field(
        "norm", description="norms of the residuals as in the public code, or their squares as in the paper"
    )
    residual: Literal["optimised", "interpolated", "none"] = Field(
        "optimised",
        description="what the base bands do not explain: interpolated and then fitted to the LR-HSI, "
        "interpolated, or left out",
    )
    sampler: Literal["ancestral", "ddim"] = Field(
        "ancestral", description="a draw from the posterior in each step, or deterministic steps"
    )
    data_step: Literal["gradient", "exact"] = Field(
        "gradient",
        description="how the observations correct a step: by the gradient through the network, or by the "
        "exact minimiser around the network's estimate",
    )
    rank: Literal[3, 6] = Field(3, description="number of base bands; 6 are two triples for the network")
    patch: int = Field(
        256,
        ge=32,
        multiple_of=16,
        description="side in HR pixels of the patches in which a larger scene is sampled; a scene of as many "
        "pixels as one patch is sampled as published",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 networks where the device computes in it, else float32"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1, description="CPU threads; the last bits of results depend on their number")

    @field_serializer("steps")
    def _resolved_steps(self, steps: int | None) -> int:
        """Replace the default by its number, so that a changed default is a changed setting."""
        return self.length

    @property
    def length(self) -> int:
        """T, number of sampling steps."""
        return self.steps or PUBLISHED_STEPS

    def step_sizes(self, pixels: int) -> tuple[float, float]:
        """Return eta1 and eta2.

        The gradient of a norm has a length that depends neither on the residual nor on the image's size. With
        the published number at other sizes and steps, the sampling would end before it reaches the images.

        Parameters
        ----------
        pixels : int
            Number of HR pixels whose residuals are in the norms.
        """
        scaled = PUBLISHED_STEPS / self.length * (pixels / PUBLISHED_PIXELS) ** 0.5
        eta1 = self.eta1 or PUBLISHED_ETA * (scaled if self.guidance == "norm" else 1.0)
        return eta1, eta1 if self.eta2 is None else self.eta2

    def in_one_piece(self, hr_shape: tuple[int, int]) -> bool:
        """Tell whether a scene is sampled as published: it has no more pixels than a patch.

        Parameters
        ----------
        hr_shape : (int, int)
            Height and width of the scene in HR pixels.
        """
        height, width = hr_shape
        return height * width <= self.patch**2
