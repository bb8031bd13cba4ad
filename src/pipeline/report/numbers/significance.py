"""Paired tests of every method against the best one, over the seeds that both ran with.

A two-sided paired t-test (Student 1908) with Holm's correction over the methods (Holm 1979). It estimates
whether other seeds (noise and random starts) on the same scene would change the order; scenes are compared
in `standing`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_rel

from pipeline.report.numbers.columns import Column
from pipeline.report.numbers.seeds import Values, comparable_means
from pipeline.report.numbers.tables import Run, number

FEWEST = 3  # common seeds: a t-test on two differences would have a single degree of freedom
BEST = "best"
BEST_OF_MANY = f"best with {FEWEST} seeds or more"
NO_TEST = "no test"


@dataclass(frozen=True)
class Difference:
    """The differences of two methods over their common seeds.

    Attributes
    ----------
    mean, sd : float
        Mean and standard deviation; NaN without common seeds, `sd` also for a single one.
    n : int
        Number of common seeds.
    p : float or None
        P-value after Holm's correction; None where `n` is too small.
    """

    mean: float
    sd: float
    n: int
    p: float | None


def bases(values: Values, column: Column) -> dict[str, str]:
    """Choose the methods that all others are tested against, with their rank in words.

    The best method is always chosen. If it has too few seeds for a test, the best of the methods with enough
    seeds is chosen as well.

    Parameters
    ----------
    values : dict of dict
        A metric by label and seed.
    column : Column
        The metric.
    """
    means = comparable_means(values)
    if not means:
        return {}
    best = min(means, key=lambda label: column.rank(means[label]))
    means = comparable_means({label: own for label, own in values.items() if len(own) >= FEWEST})
    if best in means or len(means) < 2:
        return {best: BEST}
    return {best: BEST, min(means, key=lambda label: column.rank(means[label])): BEST_OF_MANY}


def against(base: str, values: Values) -> dict[str, Difference]:
    """Compare all other methods with `base`; a method without a value is left out.

    Parameters
    ----------
    base : str
        Label of the method that is subtracted.
    values : dict of dict
        A metric by label and seed.
    """
    paired = {label: _pairs(own, values[base]) for label, own in values.items() if own and label != base}
    tested = [label for label, pairs in paired.items() if len(pairs) >= FEWEST]
    p = dict(zip(tested, holm([_paired_t(paired[label]) for label in tested]), strict=True))
    return {label: _difference(pairs, p.get(label)) for label, pairs in paired.items()}


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values by Holm's step-down correction.

    Parameters
    ----------
    p : sequence of float
        P-values of several tests.

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


def _difference(pairs: Sequence[tuple[float, float]], p: float | None) -> Difference:
    values = np.array([ours - best for ours, best in pairs])
    mean = float(values.mean()) if len(values) else math.nan
    return Difference(mean, float(values.std(ddof=1)) if len(values) > 1 else math.nan, len(values), p)


@dataclass(frozen=True)
class Verdict:
    """A cell in the report's table of differences.

    Attributes
    ----------
    text : str
        Mean difference and its standard deviation, or the reason why there is none.
    remark : str
        Number of seeds and p-value.
    """

    text: str
    remark: str = ""


@dataclass(frozen=True)
class Contrast:
    """A column in the report's table of differences: every method minus the method `base`.

    Attributes
    ----------
    metric : Column
        The metric that is compared.
    base : str
        Label of the method that is subtracted.
    cells : dict of Verdict
        Cell of each method by its label.
    """

    metric: Column
    base: str
    cells: dict[str, Verdict]


def contrasts(runs: Sequence[Run], labels: Sequence[str], columns: Sequence[Column]) -> list[Contrast]:
    """Return the table of differences from the best method, a column per metric and base.

    Parameters
    ----------
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods in the order of the experiment.
    columns : sequence of Column
        Metrics.
    """
    result = []
    for column in columns:
        values = {label: _by_seed(runs, label, column.key) for label in labels}
        for base, rank in bases(values, column).items():
            differences = against(base, values)
            cells = {label: Verdict("no value") for label in labels} | {base: Verdict(rank)}
            cells |= {label: _in_words(difference) for label, difference in differences.items()}
            result.append(Contrast(column, base, cells))
    return result


def _by_seed(runs: Sequence[Run], label: str, key: str) -> dict[int, float]:
    values = {run["seed"]: number(run["metrics"].get(key)) for run in runs if run["label"] == label}
    return {seed: value for seed, value in values.items() if math.isfinite(value)}


def _in_words(difference: Difference) -> Verdict:
    if difference.n == 0:
        return Verdict("no common seed", NO_TEST)
    spread = "" if math.isnan(difference.sd) else f" ± {difference.sd:.3f}"
    sign = "+" if difference.mean > 0 else "−"  # noqa: RUF001 - a minus sign, as in printed tables
    test = NO_TEST if difference.p is None else p_in_words(difference.p)
    return Verdict(f"{sign}{abs(difference.mean):.3f}{spread}", f"n = {difference.n}, {test}")


def p_in_words(p: float) -> str:
    """Format a p-value.

    Parameters
    ----------
    p : float
        The p-value.

    >>> p_in_words(0.0123), p_in_words(1e-9)
    ('p = 0.012', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
