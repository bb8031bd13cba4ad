"""What every method's settings and every configuration model have in common."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class Strict(BaseModel):
    """A model that refuses unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, content: Any) -> Any:
        if isinstance(content, dict):
            for key in content:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    hint = f" (did you mean {close[0]!r}?)" if close else ""
                    raise ValueError(f"unknown key {key!r}{hint}; accepted: {', '.join(cls.model_fields)}")
        return content


class MethodSettings(Strict):
    """What every method's entry in an experiment holds."""

    seconds_per_megapixel: ClassVar[float]
    """Rough time of a fusion on one or two cores, from which jobs are sized before one was measured."""
    trains: ClassVar[bool] = False
    """Whether fitting it takes minutes or more, so that `noise.trained_seeds` holds for it."""

    method: str
    seeds: Seeds | None = Field(
        None, description="noise seeds of this method; default: `noise.trained_seeds` or `noise.seeds`"
    )

    def deciding(self) -> dict[str, Any]:
        """The settings that decide a result, JSON-ready: all but the choice of seeds."""
        return self.model_dump(mode="json", exclude={"seeds"})

    def training_part(self) -> dict[str, Any] | None:
        """The settings that decide what is trained, where others leave it as it is; else None.

        Methods with equal ones share a training.
        """
        return None

    @property
    def expected_speed(self) -> float:
        """Seconds per megapixel of these settings."""
        return self.seconds_per_megapixel

    @property
    def sampling_steps(self) -> int | None:
        """T of a method that samples step by step, which a trajectory follows; else None."""
        return None

    @property
    def uncertain(self) -> bool:
        """Whether the method gives a standard deviation with its cube."""
        return False

    def fitting(self, hr_shape: tuple[int, int]) -> dict[str, Any]:
        """The settings that decide the fitted method of a scene of that height and width, JSON-ready."""
        return self.deciding()


class TrainedSettings(MethodSettings):
    """What the settings of a method that trains networks hold."""

    trains = True

    checkpoint_every: int = Field(500, ge=1, description="iterations between checkpoints")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1, description="CPU threads; the trained weights depend on their number")

    def deciding(self) -> dict[str, Any]:
        """All but the choice of seeds and how often a training is saved."""
        return self.model_dump(mode="json", exclude={"seeds", "checkpoint_every"})
