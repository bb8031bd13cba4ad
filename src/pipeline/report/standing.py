"""All scenes at a glance: methods x scenes, mean ranks, and Friedman's test where scenes are enough.

Ranks follow Friedman (1937) as Demsar (JMLR 7, 2006) recommends them for several methods on several data
sets. Scenes, not noise seeds, are the sample here; no published number takes part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import friedmanchisquare, rankdata

from pipeline.report.significance import p_in_words
from pipeline.report.tables import HEADLINE, Cell, Column, Run, Table, TableRow, fixed, make_table

FEWEST_SCENES = 6  # with fewer, no outcome of a signed-rank test of two methods is below 0.05


@dataclass(frozen=True)
class Standing:
    """The overview's table and what can be said across scenes."""

    table: Table
    tests: list[str]


def standing(scenes: Mapping[str, Sequence[Run]], labels: Sequence[str]) -> Standing:
    """Put every method's headline metrics on every scene side by side.

    Parameters
    ----------
    scenes : dict of sequence of dict
        The runs of each scene, by its title.
    labels : sequence of str
        Methods in the order of the experiment.
    """
    columns = [
        replace(
            column, key=f"{title}/{column.key}", label=title, unit=f"{column.label} {column.unit}".strip()
        )
        for title in scenes
        for column in HEADLINE
    ]
    found = make_table({label: _rows(scenes, label) for label in labels}, columns)
    ranks = {
        column.key: _mean_ranks(found, [c for c in found.columns if c.key.endswith(f"/{column.key}")])
        for column in HEADLINE
    }
    rank_columns = [Column(c.key, f"Mean rank {c.label}", "", "down", fixed(2)) for c in HEADLINE]
    groups = {label: ([0], [{key: mean[i] for key, mean in ranks.items()}]) for i, label in enumerate(labels)}
    ranked = make_table(groups, rank_columns)
    rows = [
        TableRow(row.label, row.seeds, [*row.cells, *last.cells])
        for row, last in zip(found.rows, ranked.rows, strict=True)
    ]
    names = {run["scene"] for runs in scenes.values() for run in runs}
    return Standing(Table([*columns, *rank_columns], rows), [_test(found, c, len(names)) for c in HEADLINE])


def _rows(scenes: Mapping[str, Sequence[Run]], label: str) -> tuple[list[int], list[dict[str, float]]]:
    """A method's seeds, and of each its metrics on all scenes."""
    rows: dict[int, dict[str, float]] = {}
    for title, runs in scenes.items():
        for run in (run for run in runs if run["label"] == label):
            row = rows.setdefault(run["seed"], {})
            row |= {f"{title}/{c.key}": run["metrics"].get(c.key) for c in HEADLINE}
    return list(rows), list(rows.values())


def _mean_ranks(table: Table, columns: Sequence[Column]) -> list[float]:
    """Mean over scenes of each method's rank, 1 the best; ties share theirs, a missing value is last."""
    ranks = [rankdata(_ordered(table, column)) for column in columns]
    return [float(value) for value in np.mean(ranks, axis=0)]


def _ordered(table: Table, column: Column) -> list[float]:
    """Of each method a number that is smaller for better means."""
    cells: list[Cell] = [row.cells[table.columns.index(column)] for row in table.rows]
    return [np.inf if cell.mean is None else column.rank(cell.mean) for cell in cells]


def _test(table: Table, metric: Column, scenes: int) -> str:
    """What Friedman's test says of one metric, or why it is not made."""
    columns = [c for c in table.columns if c.key.endswith(f"/{metric.key}")]
    if scenes < FEWEST_SCENES or len(table.rows) < 3:
        return (
            f"{metric.label}: no test across scenes; {scenes} scenes and {len(table.rows)} methods are too few, "
            f"{FEWEST_SCENES} and 3 are needed."
        )
    if scenes < len(columns):
        return f"{metric.label}: no test across scenes; one scene under several responses counts only once."
    values = np.array([_ordered(table, column) for column in columns])
    p = float(friedmanchisquare(*values.T).pvalue)
    return f"{metric.label}: Friedman's test over {scenes} scenes, all methods equal: {p_in_words(p)}."
