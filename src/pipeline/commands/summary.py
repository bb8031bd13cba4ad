"""`pipeline summary`: the metrics of a finished experiment, and where its report lies."""

from __future__ import annotations

from pathlib import Path

from pipeline.report.numbers.tables import format_table, read_summary


def run(results: Path) -> str:
    """Return the table of metrics as text, with the path of the report below it.

    Parameters
    ----------
    results : Path
        The experiment's folder, `results/<experiment>`.
    """
    return f"{format_table(read_summary(results))}\n\nReport: {results / 'report.html'}"
