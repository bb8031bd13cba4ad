"""Settings that all methods have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from pipeline.settings.strict import Seeds, Strict

Source = Literal["pair", "external", "references"]
"""What a method learns from: the pair alone, images from elsewhere, or references."""


class Proposal(NamedTuple):
    """How `pipeline pair` proposes a method in the experiment it writes.

    Attributes
    ----------
    remark : str
        Comment after the entry.
    settings : str
        Settings of the entry, as YAML on one line.
    """

    remark: str
    settings: str = "{}"


class MethodSettings(Strict):
    """Settings that an experiment's entry of any method has.

    Attributes
    ----------
    method : str
        Name of the method, and of its folder.
    seeds : list of int, optional
        Noise seeds under which the method runs.
    """

    seconds_per_megapixel: ClassVar[float]
    """Rough time of a fusion on one or two cores; sizes the jobs as long as no time was measured."""
    proposal: ClassVar[Proposal | None] = None
    """Entry in the experiments that `pipeline pair` writes; commented out if the method `trains`."""
    trains: ClassVar[bool] = False
    """Whether fitting takes minutes or more, so that `noise.trained_seeds` applies."""

    method: str
    seeds: Seeds | None = Field(
        None, description="noise seeds of this method; default: `noise.trained_seeds` or `noise.seeds`"
    )

    def deciding(self) -> dict[str, Any]:
        """Return the settings that determine a result, JSON-ready: all but the choice of seeds."""
        return self.model_dump(mode="json", exclude={"seeds"})

    def training_part(self) -> dict[str, Any] | None:
        """Return the settings that determine the training; None if all settings do.

        Entries with equal training parts share a training.
        """
        return None

    @property
    def expected_speed(self) -> float:
        """Seconds per megapixel of these settings."""
        return self.seconds_per_megapixel

    @property
    def expected_training(self) -> float:
        """Rough duration of a training on one or two cores in seconds, for the estimate of the time left."""
        return 0.0

    @property
    def learns_from(self) -> Source:
        """What the method learns from."""
        return "pair"

    @property
    def trained_on(self) -> str:
        """The training data in a few words."""
        return "the pair"

    @property
    def training_scenes(self) -> list[str]:
        """Other scenes of the experiment on whose references the method is trained."""
        return []

    @property
    def sampling_steps(self) -> int | None:
        """Number of sampling steps, which a trajectory can follow; None for other methods."""
        return None

    @property
    def uncertain(self) -> bool:
        """Whether the cube comes with a standard deviation."""
        return False

    @property
    def asks_for_gpu(self) -> bool:
        """Whether jobs of the method ask a cluster for a GPU."""
        return False

    def fitting(self, hr_shape: tuple[int, int]) -> dict[str, Any]:
        """Return the settings that determine the fitted method, JSON-ready.

        Parameters
        ----------
        hr_shape : (int, int)
            Height and width of the scene in HR pixels.
        """
        return self.deciding()


class DeviceSettings(MethodSettings):
    """Settings of a method that computes on a CPU or on a GPU."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the GPU if there is one")
    threads: int = Field(1, ge=1, description="CPU threads; the last bits of a result depend on their number")

    @property
    def asks_for_gpu(self) -> bool:
        """Whether jobs ask for a GPU; with `auto` they use their machine's, but do not queue for one."""
        return self.device == "cuda"


class SolverSettings(DeviceSettings):
    """Settings of a method that solves for the cube without networks."""

    precision: Literal["auto", "float32", "float64"] = Field(
        "auto", description="floating-point type of the images; auto: float32 where rounding does not matter"
    )


class TrainedSettings(DeviceSettings):
    """Settings of a method that trains networks."""

    trains = True

    checkpoint_every: int = Field(500, ge=1, description="iterations between checkpoints")

    @property
    def asks_for_gpu(self) -> bool:
        """Whether jobs ask for a GPU: with `auto` too, since a training takes hours without."""
        return self.device != "cpu"

    def deciding(self) -> dict[str, Any]:
        """Return all settings but the choice of seeds and the interval of checkpoints."""
        return self.model_dump(mode="json", exclude={"seeds", "checkpoint_every"})
