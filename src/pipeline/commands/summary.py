"""`pipeline summary`: the metrics of a finished experiment, and where its report lies."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import InputError
from pipeline.report.numbers.tables import format_table, read_summary
from pipeline.runs.finished import report_faults
from pipeline.runs.paths import experiment_at


def run(results: Path) -> str:
    """Return the table of metrics as text, with the path of the report below it.

    Parameters
    ----------
    results : Path
        The experiment's folder, `results/<experiment>`.

    Raises
    ------
    InputError
        There is no table, or it was changed since it was written.
    """
    ledger = experiment_at(results).ledger
    if ledger.exists() and (faults := report_faults(ledger)[1]):
        raise InputError(
            f"{faults[0]} since it was written; run `pipeline verify {results}` and the workflow again"
        )
    return f"{format_table(read_summary(results))}\n\nReport: {results / 'report.html'}"
