"""`pipeline compare`: compare two summaries, times and memory aside.

Numbers are compared digit for digit, as printed, without tolerance.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from pipeline.report.numbers.columns import SUMMARY_COLUMNS
from pipeline.report.numbers.tables import may_differ, read_summary

SAME = [column for column in SUMMARY_COLUMNS if not may_differ(column)]


def run(first: Path, second: Path) -> list[str]:
    """Return the differences between two summaries, one line each; none if their results are the same.

    Parameters
    ----------
    first, second : Path
        A `summary.csv` or the folder that holds it.
    """
    differences = []
    for index, (ours, theirs) in enumerate(zip_longest(read_summary(first), read_summary(second)), 1):
        row = ours or theirs
        assert row is not None
        place = f"row {index} ({row['scene']}, {row['method']}, seed {row['seed']})"
        if ours is None or theirs is None:
            differences.append(f"{place}: only in {first if ours else second}")
            continue
        differences += [f"{place}: {c}: {ours[c]} and {theirs[c]}" for c in SAME if ours[c] != theirs[c]]
    return differences
