"""The description of a metric: its name, direction, unit, formula and place in tables and charts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.comparison import Scores
from pipeline.core.quality.partial_scores import PixelFunction

Evidence = TypeVar("Evidence")
Direction = Literal["higher", "lower", "near 1"]
"""Which values are better."""


@dataclass(frozen=True)
class Metric(Generic[Evidence]):
    """One number that describes a fused cube.

    Attributes
    ----------
    name : str
        Key in `metrics.json` and column of `summary.csv`.
    title : str
        Heading of its column in the report.
    unit : str
        Shown below the heading; empty for a pure number.
    direction : {"higher", "lower", "near 1"} or None
        Which values are better; None for a number that is not ranked.
    digits : str
        Format of the values in tables, such as `.2f`.
    formula : str
        Definition in a line, for the documentation and the report.
    of : type
        Type of the evidence it is computed from: `Comparison`, `Residuals`, `Distortions` or `Reliability`.
    score : callable, optional
        Computes the number; None for a measure that exists band by band only.
    per_band : callable, optional
        Computes the values of the bands, where they are kept as well; may return None.
    listed : bool
        Whether it is a column of `summary.csv` and of the report's tables.
    chart : {"linear", "log"}, optional
        The axis on which the report draws its values over the bands.
    pixelwise : callable, optional
        Function of the spectra of reference and cube, whose mean over the scene is the score.
    """

    name: str
    title: str
    unit: str
    direction: Direction | None
    digits: str
    formula: str
    of: type[Evidence]
    score: Callable[[Evidence], float | None] | None = None
    per_band: Callable[[Evidence], Scores | None] | None = None
    listed: bool = True
    chart: Literal["linear", "log"] | None = None
    pixelwise: PixelFunction | None = None

    def text(self, value: float) -> str:
        """Format a value for a table.

        Parameters
        ----------
        value : float
            The score.
        """
        return format(value, self.digits)


def numbers(values: NDArray[np.float64] | None) -> Scores | None:
    """Return values of bands as JSON can hold them, None for NaN.

    Parameters
    ----------
    values : (n,) or None
        Values of the bands.
    """
    if values is None:
        return None
    return [float(value) if np.isfinite(value) else None for value in values]
