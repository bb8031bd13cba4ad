"""The results of one scene under one response, from which its part of the page is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline.core.sensing.observation import Image, ObservedScene
from pipeline.report.drawing.figures import Look, looks
from pipeline.report.drawing.pictures import Wavelengths, band_names
from pipeline.report.numbers.tables import Run
from pipeline.report.pair import Records


class Plane(Protocol):
    """A map ``(y, x)``, in memory or not, whose slices NumPy can read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Height and width."""

    def __getitem__(self, key: Any) -> Any:
        """Return the values of a window."""


@dataclass(frozen=True)
class FusedImages:
    """The images of one method, in memory or anything whose slices NumPy can read.

    Attributes
    ----------
    cube : (C, H, W)
        The fused cube.
    deviation : (C, H, W), optional
        Its standard deviation.
    residual_maps : (h, w) and (H, W), optional
        Residuals of LR-HSI and HR-MSI in noise levels.
    """

    cube: Image
    deviation: Image | None = None
    residual_maps: tuple[Plane, Plane] | None = None


@dataclass(frozen=True)
class SceneResults:
    """All methods' results on one scene under one response.

    Attributes
    ----------
    title : str
        Scene, or scene and response.
    labels : sequence of str
        Methods in the order of the experiment.
    runs : sequence of dict
        All runs' `metrics.json`.
    observation : ObservedScene
        Observation with the seed that `common_seed` names. Of two real images it holds the estimated
        responses, and the HR-MSI in the LR-HSI's units.
    wavelength : (C,) or None
        Band centres in nm.
    fused : dict of FusedImages
        Images fused by each method from that observation, by label.
    reference : (C, H, W) or None
        In memory, or anything whose slices NumPy can read.
    records : Records
        Records of the steps `align` and `estimate`.
    dataset : str or None
        Data set whose published results are shown beside these.
    tables_only : sequence of str
        Methods that are in the tables but not in pictures and charts.
    """

    title: str
    labels: Sequence[str]
    runs: Sequence[Run]
    observation: ObservedScene
    wavelength: Wavelengths
    fused: Mapping[str, FusedImages]
    reference: Image | None = None
    records: Records = field(default_factory=Records)
    dataset: str | None = None
    tables_only: Sequence[str] = ()

    @property
    def seed(self) -> int:
        """Seed whose images are shown."""
        return common_seed(self.runs)

    @property
    def drawn(self) -> list[str]:
        """Methods in pictures and charts."""
        return [label for label in self.labels if label not in self.tables_only]

    @property
    def look(self) -> Look:
        """Colour and dashes of the methods that are drawn."""
        return looks(self.drawn)

    @property
    def missing(self) -> list[str]:
        """Methods that did not run with the seed whose images are shown."""
        return [label for label in self.drawn if label not in self.fused]

    @property
    def learned(self) -> str:
        """Which methods learn from more than the pair, and from what, in a sentence; empty if none does."""
        return learned_in_words(self.runs)

    @property
    def hsi_names(self) -> list[str]:
        """Names of the HSI's bands in sentences."""
        return band_names(self.wavelength, self.observation.bands)

    @property
    def msi_names(self) -> list[str]:
        """Names of the MSI's bands."""
        return self.records.msi_names(self.observation.hr_msi.shape[0])


def learned_in_words(runs: Sequence[Run]) -> str:
    """Say which methods learn from more than the pair, and from what; empty if none does.

    Parameters
    ----------
    runs : sequence of dict
        Runs' `metrics.json`.
    """
    trained = {run["label"]: run["trained_on"] for run in runs if run["learns_from"] != "pair"}
    parts = [f"{label} is trained on {data}" for label, data in trained.items()]
    return "; ".join(parts) + ". All other methods see the pair alone." if parts else ""


def common_seed(runs: Sequence[Run]) -> int:
    """Return the lowest of the seeds that most methods ran with; all of them, as a rule.

    Parameters
    ----------
    runs : sequence of dict
        All runs' `metrics.json`.
    """
    seeds: list[int] = [run["seed"] for run in runs]
    return max(sorted(set(seeds)), key=seeds.count)
