"""Paired tests of every method against the best one, over the noise seeds that both ran with.

A two-sided paired t-test (Student 1908) with Holm's correction over the methods (Holm 1979). It speaks of
other noise on the same scene and of nothing else; scenes are compared in `standing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_rel

from pipeline.report.tables import Column, Run, number

FEWEST = 3  # seeds in common; two differences have a spread but no test worth its name
BEST = "best"
TOO_SMALL = "n too small"

Values = Mapping[str, Mapping[int, float]]
"""A metric by label and seed."""


@dataclass(frozen=True)
class Difference:
    """A method minus the best one.

    Attributes
    ----------
    label : str
    mean, sd : float
        Of the differences; the sd is NaN for fewer than two of them.
    n : int
        Seeds in common.
    p : float or None
        After Holm's correction; None for the best itself and where `n` is too small.
    """

    label: str
    mean: float
    sd: float
    n: int
    p: float | None


def against_best(values: Values, column: Column) -> dict[str, Difference | None]:
    """Every method's difference from the one with the best mean, which is None; so is what has no value."""
    means = {label: float(np.mean(list(found.values()))) for label, found in values.items() if found}
    if not means:
        return dict.fromkeys(values)
    best = min(means, key=lambda label: column.rank(means[label]))
    others = [label for label in means if label != best]
    paired = {label: _pairs(values[label], values[best]) for label in others}
    tested = [label for label in others if len(paired[label]) >= FEWEST]
    p = dict(zip(tested, holm([_paired_t(paired[label]) for label in tested]), strict=True))
    return {
        label: _difference(label, paired[label], p.get(label)) if label in paired else None
        for label in values
    }


def holm(p: Sequence[float]) -> list[float]:
    """P-values after Holm's step-down correction.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for step, index in enumerate(np.argsort(p, kind="stable")):
        largest = max(largest, min(1.0, (len(p) - step) * p[index]))
        adjusted[index] = largest
    return adjusted


def _pairs(values: Mapping[int, float], best: Mapping[int, float]) -> list[tuple[float, float]]:
    return [(values[seed], best[seed]) for seed in sorted(values.keys() & best.keys())]


def _paired_t(pairs: Sequence[tuple[float, float]]) -> float:
    ours, best = np.array(pairs).T
    difference = ours - best
    if np.ptp(difference) <= 1e-12 * np.abs([ours, best]).max():  # t is 0/0 or infinite
        return 1.0 if abs(difference.mean()) <= 1e-12 * np.abs(best).max() else 0.0
    return float(ttest_rel(ours, best).pvalue)


def _difference(label: str, pairs: Sequence[tuple[float, float]], p: float | None) -> Difference:
    found = np.array([ours - best for ours, best in pairs])
    mean = float(found.mean()) if len(found) else math.nan
    return Difference(label, mean, float(found.std(ddof=1)) if len(found) > 1 else math.nan, len(found), p)


@dataclass(frozen=True)
class Comparison:
    """A cell of the page: a difference and what can be said of it."""

    text: str
    verdict: str


def comparisons(
    runs: Sequence[Run], labels: Sequence[str], columns: Sequence[Column]
) -> list[tuple[str, list[Comparison]]]:
    """A line for each method: its differences from the best one in each column, in words."""
    lines: dict[str, list[Comparison]] = {label: [] for label in labels}
    for column in columns:
        values = {label: _by_seed(runs, label, column.key) for label in labels}
        for label, difference in against_best(values, column).items():
            lines[label].append(_in_words(difference, bool(values[label])))
    return list(lines.items())


def _by_seed(runs: Sequence[Run], label: str, key: str) -> dict[int, float]:
    found = {run["seed"]: number(run["metrics"].get(key)) for run in runs if run["label"] == label}
    return {seed: value for seed, value in found.items() if math.isfinite(value)}


def _in_words(difference: Difference | None, has_values: bool) -> Comparison:
    if difference is None:
        return Comparison(BEST, "") if has_values else Comparison("no value", "")
    if difference.n == 0:
        return Comparison("no common seed", TOO_SMALL)
    spread = "" if math.isnan(difference.sd) else f" ± {difference.sd:.3f}"
    sign = "+" if difference.mean > 0 else "−"  # noqa: RUF001 - a minus sign, as in printed tables
    verdict = TOO_SMALL if difference.p is None else p_in_words(difference.p)
    return Comparison(f"{sign}{abs(difference.mean):.3f}{spread}", f"n = {difference.n}, {verdict}")


def p_in_words(p: float) -> str:
    """A p-value for people.

    >>> p_in_words(0.0123), p_in_words(1e-9)
    ('p = 0.012', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
