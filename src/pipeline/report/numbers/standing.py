"""All scenes at a glance: methods x scenes, mean ranks, and Friedman's test where scenes are enough.

Ranks follow Friedman (1937), as Demsar (JMLR 7, 2006) recommends for several methods on several data sets.
Means over the seeds that all methods share are ranked. The sample consists of scenes, not of seeds;
published numbers are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata

from pipeline.report.numbers.columns import HEADLINE, WITHOUT_REFERENCE, Column, fixed
from pipeline.report.numbers.significance import p_in_words
from pipeline.report.numbers.tables import Row, Run, Table, TableRow, filled, make_table, sources

FEWEST_SCENES = 6  # a convention: the p-value is from the chi-squared limit, rough for few scenes
MEAN_RANK = Column("rank", "Mean rank", "", "lower", fixed(2))


@dataclass(frozen=True)
class Standing:
    """One metric on all scenes.

    Attributes
    ----------
    metric : Column
        The metric.
    table : Table
        Methods x scenes, with the mean rank.
    test : str
        Result of Friedman's test, or the reason why it is not made.
    """

    metric: Column
    table: Table
    test: str


def standings(scenes: Mapping[str, Sequence[Run]], labels: Sequence[str]) -> list[Standing]:
    """Compare methods across scenes: by PSNR and SAM with a reference, by HQNR without one.

    A metric that fewer than two scenes have is left out.

    Parameters
    ----------
    scenes : dict of sequence of dict
        The runs of each scene, by its title.
    labels : sequence of str
        Methods in the order of the experiment.
    """
    scored = {title: runs for title, runs in scenes.items() if filled(runs, HEADLINE)}
    others = {title: runs for title, runs in scenes.items() if title not in scored}
    result = []
    for metric, titles in [*((metric, scored) for metric in HEADLINE), (WITHOUT_REFERENCE, others)]:
        known = {title: runs for title, runs in titles.items() if filled(runs, [metric])}
        if len(known) > 1:
            result.append(standing(metric, known, labels))
    return result


def standing(metric: Column, scenes: Mapping[str, Sequence[Run]], labels: Sequence[str]) -> Standing:
    """Put every method's metric on every scene side by side; each scene has a value of some method.

    Parameters
    ----------
    metric : Column
        The metric.
    scenes : dict of sequence of dict
        The runs of each scene, by its title.
    labels : sequence of str
        Methods in the order of the experiment.
    """
    columns = [replace(metric, key=title, label=title) for title in scenes]
    learned = sources(run for runs in scenes.values() for run in runs)
    content = make_table({label: _rows(metric, scenes, label) for label in labels}, columns, learned)
    scores = np.array([[_score(row, i, metric) for row in content.rows] for i in range(len(columns))])
    mean_rank = rankdata(scores, axis=1).mean(axis=0)
    ranked = make_table(  # a rank belongs to no seed; 0 stands for all
        {label: {0: {"rank": rank}} for label, rank in zip(labels, mean_rank, strict=True)},
        [MEAN_RANK],
        learned,
    )
    rows = [
        replace(row, cells=[*row.cells, *rank.cells])
        for row, rank in zip(content.rows, ranked.rows, strict=True)
    ]
    names = {run["scene"] for runs in scenes.values() for run in runs}
    return Standing(metric, Table([*columns, MEAN_RANK], rows), _test(scores, len(names)))


def _rows(metric: Column, scenes: Mapping[str, Sequence[Run]], label: str) -> dict[int, Row]:
    """Collect a method's metric on all scenes, by seed."""
    rows: dict[int, Row] = {}
    for title, runs in scenes.items():
        for run in (run for run in runs if run["label"] == label):
            rows.setdefault(run["seed"], {})[title] = run["metrics"].get(metric.key)
    return rows


def _score(row: TableRow, index: int, metric: Column) -> float:
    """Return a number that is smaller for better means; a missing value is worst."""
    compared = row.cells[index].compared
    return np.inf if compared is None else float(metric.rank(compared))


def _test(scores: NDArray[np.float64], scenes: int) -> str:
    """State the result of Friedman's test on scores ``(columns, methods)``, or why it is not made."""
    columns, methods = scores.shape
    for count, needed, name in ((scenes, FEWEST_SCENES, "scenes"), (methods, 3, "methods")):
        if count < needed:
            return f"No test across scenes: it needs at least {needed} {name}; there are {count}."
    if scenes < columns:
        return "No test across scenes: the same scene under several responses counts once."
    p = float(friedmanchisquare(*scores.T).pvalue)
    return (
        f"Friedman's test of the hypothesis that all methods rank equally, {scenes} scenes: {p_in_words(p)}."
    )
