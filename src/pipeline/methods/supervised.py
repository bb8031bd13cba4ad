"""Settings of methods whose networks learn from pairs of images with their reference."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.core.window import Window
from pipeline.methods.settings import Source, TrainedSettings
from pipeline.settings.strict import Distinct, Strict


class Region(Strict):
    """A rectangle of HR pixels of a scene, after its crop."""

    row: int = Field(0, ge=0, description="first row")
    column: int = Field(0, ge=0, description="first column")
    height: int = Field(ge=1)
    width: int = Field(ge=1)

    @property
    def window(self) -> Window:
        """The rectangle as a window."""
        return Window(self.row, self.row + self.height, self.column, self.column + self.width)


class RegionTraining(Strict):
    """Training on a part of the scene's own reference, which no metric then counts."""

    region: Region


class ScenesTraining(Strict):
    """Training on the references of other scenes of the experiment, which are not fused themselves."""

    scenes: Distinct[str] = Field(description="scenes with the same bands")


INPUT_REACH = 32
"""HR pixels by which the interpolation of the LR-HSI reaches beyond a network's own receptive field."""


class SupervisedSettings(TrainedSettings):
    """Settings of a method whose networks learn from pairs of images with their reference."""

    sampling_only: ClassVar[frozenset[str]] = frozenset({"steps", "sampler", "patch"})
    """Settings that no weight depends on."""

    training: Literal["wald"] | RegionTraining | ScenesTraining = Field(
        "wald",
        description="what the networks learn from: the pair itself one Wald level down, where the LR-HSI is "
        "the reference; a part of the scene with its reference; or other scenes with theirs",
    )

    @property
    def learns_from(self) -> Source:
        """The pair alone, or references."""
        return "pair" if self.training == "wald" else "references"

    @property
    def training_scenes(self) -> list[str]:
        """Other scenes of the experiment on whose references the method is trained."""
        return self.training.scenes if isinstance(self.training, ScenesTraining) else []

    @property
    def trained_on(self) -> str:
        """The training data in a few words."""
        match self.training:
            case RegionTraining(region=region):
                return (
                    f"reference of rows {region.row} to {region.row + region.height - 1}, "
                    f"columns {region.column} to {region.column + region.width - 1}"
                )
            case ScenesTraining(scenes=scenes):
                return f"references of {', '.join(scenes)}"
            case _:
                return "the pair, one Wald level down"

    @property
    def receptive_radius(self) -> int:
        """Distance in HR pixels beyond which an input has no direct influence on an output."""
        raise NotImplementedError

    @property
    def unscored(self) -> Region | None:
        """The part of the scene that metrics leave out: the region of the training with a margin."""
        if not isinstance(self.training, RegionTraining):
            return None
        window, margin = self.training.region.window, self.receptive_radius + INPUT_REACH
        row, column = max(0, window.y0 - margin), max(0, window.x0 - margin)
        return Region(
            row=row, column=column, height=window.y1 + margin - row, width=window.x1 + margin - column
        )

    def training_part(self) -> dict[str, Any]:
        """Return the settings on which the trained weights depend; all others affect sampling only."""
        content = self.deciding()
        return {key: value for key, value in content.items() if key not in self.sampling_only}


class DiffusionSettings(SupervisedSettings):
    """Settings of a diffusion model that sees both images."""

    steps: int = Field(25, ge=1, description="sampling steps")
    sampler: Literal["ddim", "ancestral"] = Field(
        "ddim", description="deterministic steps, or a draw from the posterior in each step"
    )
    patch: int = Field(
        256,
        ge=32,
        multiple_of=32,
        description="side in HR pixels of the patches in which a larger scene is drawn; a scene of as many "
        "pixels as one patch is drawn at once",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 networks where the device computes in it, else float32"
    )

    @property
    def sampling_steps(self) -> int | None:
        """None: intermediate estimates are cubes, which no trajectory of coefficients follows."""
        return None

    @property
    def stride(self) -> int:
        """Number that divides the sides of the deepest level's input."""
        raise NotImplementedError


def receptive_radius(levels: int, blocks: int = 2) -> int:
    """Return the distance in pixels over which the convolutions of an SR3 UNet reach.

    Parameters
    ----------
    levels : int
        Number of levels of the network.
    blocks : int
        Residual blocks of each level on the way down; one more on the way up.

    >>> receptive_radius(1), receptive_radius(3)
    (16, 100)
    """
    scales = [2**level for level in range(levels)]
    of_blocks = sum((2 * blocks + 2 * (blocks + 1)) * scale for scale in scales)
    between = sum(scale + 2 * scale for scale in scales[:-1])  # strided convolution down, convolution up
    nearest = sum(scales[:-1])  # enlargement by nearest neighbours
    return 2 + of_blocks + 4 * scales[-1] + between + nearest
