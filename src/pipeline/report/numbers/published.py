"""Results printed in the ARGS-Diff paper (Zhu et al., CVPR 2025, arXiv 2505.11800).

They are shown beside an experiment's own results and marked as published. They
come from other hardware, another realisation of the noise and possibly another crop, so they are left out
of ranks, means and tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config.published import Result, published_methods, published_results
from pipeline.report.numbers.columns import BY_KEY
from pipeline.report.numbers.tables import Cell, Run, table

COLUMNS = [BY_KEY[key] for key in ("psnr", "sam", "ergas", "ssim")]
DIGITS = {"psnr": 2, "sam": 2, "ergas": 2, "ssim": 3}
"""Decimals as printed."""


@dataclass(frozen=True)
class Line:
    """A line of the page.

    Attributes
    ----------
    name : str
        Method.
    is_published : bool
        Whether the numbers are printed ones.
    seeds : int or None
        Number of seeds of own results.
    cells : list of Cell
        In the order of `COLUMNS`.
    seconds : str
        Printed sampling time.
    """

    name: str
    is_published: bool
    seeds: int | None
    cells: list[Cell]
    seconds: str


def published(dataset: str) -> list[Line]:
    """List the printed results of a data set.

    Parameters
    ----------
    dataset : str
        A data set with published results.
    """
    return [_line(result) for result in published_results(dataset)]


def side_by_side(dataset: str, runs: Sequence[Run], labels: Sequence[str]) -> list[Line]:
    """List the printed results of a data set, each followed by own results of the same method.

    Parameters
    ----------
    dataset : str
        A data set with published results.
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods in the order of the experiment.
    """
    own = table(runs, labels, COLUMNS)
    method_of = {run["label"]: run["method"] for run in runs}
    lines = []
    for result in published_results(dataset):
        lines.append(_line(result))
        for row in own.rows:
            if result.method is not None and method_of.get(row.label) == result.method:
                cells = [Cell(c.mean, c.sd, c.text, c.spread) for c in row.cells]
                lines.append(Line(row.label, False, len(row.seeds), cells, ""))
    return lines


def has_peers(methods: Sequence[str]) -> bool:
    """Tell whether an experiment has several of the published methods.

    Parameters
    ----------
    methods : sequence of str
        Names of the methods.
    """
    return len(published_methods() & set(methods)) > 1


def _line(result: Result) -> Line:
    values = [(column, getattr(result, column.key)) for column in COLUMNS]
    cells = [
        Cell(value, None, "–" if value is None else f"{value:.{DIGITS[column.key]}f}", "")  # noqa: RUF001
        for column, value in values
    ]
    return Line(result.name, True, None, cells, f"{result.seconds:g}")
