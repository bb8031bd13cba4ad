"""All scenes at a glance: methods x scenes, mean ranks, and Friedman's test where scenes are enough.

Ranks follow Friedman (1937) as Demsar (JMLR 7, 2006) recommends them for several methods on several data
sets, and are of means over the seeds that all methods share. Scenes, not seeds, are the sample here; no
published number takes part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata

from pipeline.report.numbers.columns import HEADLINE, WITHOUT_REFERENCE, Column, fixed
from pipeline.report.numbers.significance import p_in_words
from pipeline.report.numbers.tables import Row, Run, Table, TableRow, filled, make_table

FEWEST_SCENES = 6  # a convention: the p-value is from the chi-squared limit, rough for few scenes
MEAN_RANK = Column("rank", "Mean rank", "", "down", fixed(2))


@dataclass(frozen=True)
class Standing:
    """One metric on all scenes, and what can be said across them."""

    metric: Column
    table: Table
    test: str


def standings(scenes: Mapping[str, Sequence[Run]], labels: Sequence[str]) -> list[Standing]:
    """What can be said across scenes: of those with a reference by PSNR and SAM, of the others by HQNR.

    A metric that fewer than two scenes have has no standing.
    """
    scored = {title: runs for title, runs in scenes.items() if filled(runs, HEADLINE)}
    others = {title: runs for title, runs in scenes.items() if title not in scored}
    found = []
    for metric, titles in [*((metric, scored) for metric in HEADLINE), (WITHOUT_REFERENCE, others)]:
        known = {title: runs for title, runs in titles.items() if filled(runs, [metric])}
        if len(known) > 1:
            found.append(standing(metric, known, labels))
    return found


def standing(metric: Column, scenes: Mapping[str, Sequence[Run]], labels: Sequence[str]) -> Standing:
    """Put every method's metric on every scene side by side; each scene has a value of some method.

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
    ranked = make_table(  # a rank is of no seed; 0 stands for all
        {label: {0: {"rank": rank}} for label, rank in zip(labels, mean_rank, strict=True)}, [MEAN_RANK]
    )
    rows = [
        TableRow(row.label, row.seeds, [*row.cells, *rank.cells])
        for row, rank in zip(found.rows, ranked.rows, strict=True)
    ]
    names = {run["scene"] for runs in scenes.values() for run in runs}
    return Standing(metric, Table([*columns, MEAN_RANK], rows), _test(scores, len(names)))


def _rows(metric: Column, scenes: Mapping[str, Sequence[Run]], label: str) -> dict[int, Row]:
    """A method's metric on all scenes, by seed."""
    rows: dict[int, Row] = {}
    for title, runs in scenes.items():
        for run in (run for run in runs if run["label"] == label):
            rows.setdefault(run["seed"], {})[title] = run["metrics"].get(metric.key)
    return rows


def _score(row: TableRow, index: int, metric: Column) -> float:
    """A number that is smaller for better means; a missing value is worst."""
    compared = row.cells[index].compared
    return np.inf if compared is None else metric.rank(compared)


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
