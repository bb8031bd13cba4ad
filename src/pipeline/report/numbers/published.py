"""Results printed in the ARGS-Diff paper (Zhu et al., CVPR 2025, arXiv 2505.11800).

Its Tables 1 to 3 and its ablation are shown beside an experiment's own results and marked as published. They
come from other hardware, another realisation of the noise and possibly another crop, so they are left out
of ranks, means and tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.numbers.columns import BY_KEY
from pipeline.report.numbers.tables import Cell, Run, table

SOURCE = "Zhu et al., CVPR 2025 (arXiv 2505.11800), Tables 1 to 3 and the ablation of the ARGM"
COLUMNS = [BY_KEY[key] for key in ("psnr", "sam", "ergas", "ssim")]
DIGITS = {"psnr": 2, "sam": 2, "ergas": 2, "ssim": 3}
"""Decimals as printed."""


@dataclass(frozen=True)
class Result:
    """One printed line.

    Attributes
    ----------
    name : str
        Name of the method in the publication.
    method : str or None
        The same method in this package, if there is one.
    psnr, sam, ergas, ssim : float or None
        In dB and degrees; None where the publication gives no value.
    seconds : float
        Time of sampling alone on an RTX 4090.
    """

    name: str
    method: str | None
    psnr: float
    sam: float
    ergas: float | None
    ssim: float | None
    seconds: float


NAMES = {
    "CNMF": "cnmf",
    "HySure": "hysure",
    "CuCaNet": "cucanet",
    "MIAE": "miae",
    "PLRDiff": None,
    "S2CycleDiff": None,
    "ARGS-Diff": "args_diff",
    "ARGS-Diff without ARGM": None,
}
"""Printed names, and the same methods in this package."""
TITLES = {"pavia_university": "Pavia University", "chikusei": "Chikusei", "ksc": "Kennedy Space Center (KSC)"}


def _results(*numbers: tuple[float, float, float | None, float | None, float]) -> list[Result]:
    return [Result(name, method, *row) for (name, method), row in zip(NAMES.items(), numbers, strict=True)]


RESULTS = {
    "pavia_university": _results(
        (38.82, 3.13, 1.95, 0.974, 7),
        (37.85, 3.19, 2.32, 0.970, 5),
        (38.86, 2.95, 1.98, 0.970, 401),
        (41.02, 2.73, 1.64, 0.975, 20),
        (40.11, 3.40, 1.94, 0.970, 79),
        (38.77, 3.21, 2.13, 0.970, 297),
        (42.33, 2.64, 1.49, 0.977, 12),
        (41.86, 2.75, None, None, 11),
    ),
    "chikusei": _results(
        (38.14, 2.17, 2.59, 0.967, 11),
        (38.71, 2.25, 2.65, 0.967, 5),
        (39.01, 2.09, 2.55, 0.968, 433),
        (40.53, 1.95, 2.51, 0.969, 24),
        (38.44, 2.40, 2.79, 0.963, 79),
        (39.73, 2.08, 2.53, 0.968, 318),
        (41.90, 1.77, 2.10, 0.970, 12),
        (41.33, 1.89, None, None, 11),
    ),
    "ksc": _results(
        (39.88, 3.47, 1.86, 0.977, 15),
        (40.11, 3.17, 1.80, 0.978, 6),
        (40.39, 3.05, 1.72, 0.977, 474),
        (42.36, 2.58, 1.42, 0.979, 32),
        (40.07, 3.63, 1.83, 0.977, 79),
        (40.19, 3.15, 1.79, 0.978, 349),
        (43.63, 2.54, 1.25, 0.980, 13),
        (43.02, 2.70, None, None, 11),
    ),
}


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
        Key of `RESULTS`.
    """
    return [_line(result) for result in RESULTS[dataset]]


def side_by_side(dataset: str, runs: Sequence[Run], labels: Sequence[str]) -> list[Line]:
    """List the printed results of a data set, each followed by own results of the same method.

    Parameters
    ----------
    dataset : str
        Key of `RESULTS`.
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods in the order of the experiment.
    """
    own = table(runs, labels, COLUMNS)
    method_of = {run["label"]: run["method"] for run in runs}
    lines = []
    for result in RESULTS[dataset]:
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
    return len({method for method in NAMES.values() if method} & set(methods)) > 1


def _line(result: Result) -> Line:
    values = [(column, getattr(result, column.key)) for column in COLUMNS]
    cells = [
        Cell(value, None, "–" if value is None else f"{value:.{DIGITS[column.key]}f}", "")  # noqa: RUF001
        for column, value in values
    ]
    return Line(result.name, True, None, cells, f"{result.seconds:g}")
