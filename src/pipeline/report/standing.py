"""All scenes at a glance: methods x scenes, mean ranks, and Friedman's test where scenes are enough.

Ranks follow Friedman (1937) as Demsar (JMLR 7, 2006) recommends them for several methods on several data
sets. Scenes, not noise seeds, are the sample here; no published number takes part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata

from pipeline.report.significance import p_in_words
from pipeline.report.tables import Column, Row, Run, Table, TableRow, fixed, make_table

FEWEST_SCENES = 6  # with fewer, no outcome of a signed-rank test of two methods is below 0.05
MEAN_RANK = Column("rank", "Mean rank", "", "down", fixed(2))


@dataclass(frozen=True)
class Standing:
    """One metric on all scenes, and what can be said across them."""

    metric: Column
    table: Table
    test: str


def standing(metric: Column, scenes: Mapping[str, Sequence[Run]], labels: Sequence[str]) -> Standing:
    """Put every method's metric on every scene side by side.

    Parameters
    ----------
    metric : Column
    scenes : dict of sequence of dict
        The runs of each scene, by its title.
    labels : sequence of str
        Methods in the order of the experiment.
    """
    columns = [replace(metric, key=title, label=title) for title in scenes]
    found = make_table({label: _rows(metric, scenes, label) for label in labels}, columns)
    scores = np.array([[_score(row, i, metric) for row in found.rows] for i in range(len(columns))])
    mean_rank = rankdata(scores, axis=1).mean(axis=0)
    ranked = make_table(
        {label: ([], [{"rank": rank}]) for label, rank in zip(labels, mean_rank, strict=True)}, [MEAN_RANK]
    )
    rows = [
        TableRow(row.label, row.seeds, [*row.cells, *rank.cells])
        for row, rank in zip(found.rows, ranked.rows, strict=True)
    ]
    names = {run["scene"] for runs in scenes.values() for run in runs}
    return Standing(metric, Table([*columns, MEAN_RANK], rows), _test(scores, len(names)))


def _rows(metric: Column, scenes: Mapping[str, Sequence[Run]], label: str) -> tuple[list[int], list[Row]]:
    """A method's seeds, and of each the metric on all scenes."""
    rows: dict[int, Row] = {}
    for title, runs in scenes.items():
        for run in (run for run in runs if run["label"] == label):
            rows.setdefault(run["seed"], {})[title] = run["metrics"].get(metric.key)
    return list(rows), list(rows.values())


def _score(row: TableRow, index: int, metric: Column) -> float:
    """A number that is smaller for better means; a missing value is worst."""
    mean = row.cells[index].mean
    return np.inf if mean is None else metric.rank(mean)


def _test(scores: NDArray[np.float64], scenes: int) -> str:
    """What Friedman's test says of scores ``(columns, methods)``, or why it is not made."""
    columns, methods = scores.shape
    for found, needed, name in ((scenes, FEWEST_SCENES, "scenes"), (methods, 3, "methods")):
        if found < needed:
            return f"No test across scenes: it needs at least {needed} {name}, here are {found}."
    if scenes < columns:
        return "No test across scenes: a scene under several responses is not several scenes."
    p = float(friedmanchisquare(*scores.T).pvalue)
    return f"Friedman's test over {scenes} scenes that all methods are equal: {p_in_words(p)}."
