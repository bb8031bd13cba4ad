"""The numbers of a run as columns: how each is headed and printed, and which value is best.

Columns of metrics follow from `pipeline.core.quality.metrics`. The page's tables, `summary.csv` and the
terminal share them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.core.quality.comparison import Comparison
from pipeline.core.quality.metric import Direction, Metric
from pipeline.core.quality.metrics import METRICS


def fixed(digits: int) -> Callable[[float], str]:
    """Return a format with a fixed number of decimals.

    Parameters
    ----------
    digits : int
        Decimals.
    """
    return lambda value: f"{value:.{digits}f}"


def significant(value: float) -> str:
    """Format with three significant digits, without an exponent for everyday sizes.

    Parameters
    ----------
    value : float
        A number of any size.
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def large_count(value: float) -> str:
    """Format a count in thousands or millions.

    Parameters
    ----------
    value : float
        The count.

    >>> large_count(20_710_000)
    '20.71 M'
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:.0f}"


@dataclass(frozen=True)
class Column:
    """A number of a run in a table.

    Attributes
    ----------
    key : str
        Where the number stands in the run.
    label : str
        Heading.
    unit : str
        Shown below the heading; empty for a pure number.
    direction : {"higher", "lower", "near 1"} or None
        Which values are better; None for a number that is not ranked.
    text : callable
        Formats a value.
    formula : str
        Definition in a line.
    """

    key: str
    label: str
    unit: str
    direction: Direction | None
    text: Callable[[float], str]
    formula: str = ""

    @classmethod
    def of(cls, metric: Metric[Any]) -> Column:
        """Return the column of a metric.

        Parameters
        ----------
        metric : Metric
            An entry of the table of metrics.
        """
        return cls(metric.name, metric.title, metric.unit, metric.direction, metric.text, metric.formula)

    @property
    def arrow(self) -> str:
        """Direction of the better values."""
        return {"higher": "↑", "lower": "↓", "near 1": "→ 1", None: ""}[self.direction]

    @property
    def better(self) -> str:
        """Direction of the better values in words."""
        words = {"higher": "higher is better", "lower": "lower is better", "near 1": "closest to 1 is best"}
        return words[self.direction] if self.direction else ""

    @property
    def hint(self) -> str:
        """Definition and direction, for the tooltip of the heading."""
        return "; ".join(filter(None, (self.formula, self.better)))

    @property
    def axis(self) -> str:
        """Label of an axis of a chart."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    def rank(self, value: Any) -> Any:
        """Return a number, or an array of them, that is smaller for better values.

        Parameters
        ----------
        value : float or array
            One or more values of the column.
        """
        if self.direction == "higher":
            return -value
        return abs(value - 1) if self.direction == "near 1" else value


QUALITY = [Column.of(metric) for metric in METRICS if metric.listed]
"""Metrics in the order of the tables."""
AGAINST_REFERENCE = {metric.name for metric in METRICS if metric.of is Comparison}
"""Metrics that compare the cube with the reference."""
BY_KEY = {column.key: column for column in QUALITY}
HEADLINE = [BY_KEY["psnr"], BY_KEY["sam"]]
"""Scenes with a reference are ranked by these, and studies show them."""
WITHOUT_REFERENCE = BY_KEY["hqnr"]
"""Scenes without a reference are ranked by it."""
COST = [
    Column("seconds_estimate", "Estimate", "s", None, significant),
    Column("seconds_train", "Train", "s", None, significant),
    Column("seconds_fuse", "Fuse", "s", None, significant),
    Column("seconds_io", "I/O", "s", None, significant),
    Column("peak_mem_mb", "Peak host memory", "MB", None, significant),
    Column("parameters", "Trained parameters", "", None, large_count),
]
SUMMARY_COLUMNS = [
    *("scene", "method", "learns_from", "trained_on", "seed"),
    *(column.key for column in QUALITY),
    *("parameters", "device"),
    *("seconds_estimate", "seconds_train", "seconds_fuse", "seconds_io", "peak_mem_mb"),
]
"""Columns of `summary.csv`."""
