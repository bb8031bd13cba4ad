"""The experiment's numbers: rows of `summary.csv`, means and spreads over seeds, the best values marked.

Tables are cells of text here; `template.html` lays them out.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pipeline.errors import InputError
from pipeline.report.numbers.columns import (
    COST,
    HEADLINE,
    QUALITY,
    SUMMARY_COLUMNS,
    Column,
    significant,
)
from pipeline.report.numbers.seeds import basis_in_words, comparable_means, mean

Run = Mapping[str, Any]
"""Content of one `metrics.json`."""
Row = dict[str, Any]
"""One row of `summary.csv`."""

SHORT = {"residual_hsi": "Res. HSI", "residual_msi": "Res. MSI", "peak_mem_mb": "Host MB"}
"""Headings for the terminal."""
TERMINAL = ("psnr", "sam", "ergas", "ssim", "residual_hsi", "residual_msi", "peak_mem_mb")
STAND_INS = ("d_lambda", "d_s", "qnr", "hqnr")
"""Metrics that the terminal shows in addition for a scene without a reference."""
BLOCKS = {
    "pair": "Pair alone",
    "external": "Prior learned from other images",
    "references": "Trained on references",
}
"""Headings of the rows, by what the methods learn from."""
NO_VALUE = "–"  # noqa: RUF001 - an en dash, as in printed tables


@dataclass(frozen=True)
class Cell:
    """Mean and spread of one number over the seeds of one method.

    Attributes
    ----------
    mean, sd : float or None
        Mean and sample standard deviation.
    text, spread : str
        Both as printed.
    compared : float or None
        Mean over the seeds that all methods share; the best of these is marked.
    best : bool
        Whether it is marked as the best.
    """

    mean: float | None
    sd: float | None
    text: str
    spread: str
    compared: float | None = None
    best: bool = False


@dataclass(frozen=True)
class TableRow:
    """The row of a method.

    Attributes
    ----------
    label : str
        Name of the method in the experiment.
    seeds : list of int
        Seeds that it ran with.
    cells : list of Cell
        In the order of the columns.
    source : {"pair", "external", "references"}
        What the method learns from.
    """

    label: str
    seeds: list[int]
    cells: list[Cell]
    source: str = "pair"


@dataclass(frozen=True)
class Table:
    """A table of methods and numbers.

    Attributes
    ----------
    columns : list of Column
        Numbers.
    rows : list of TableRow
        Methods.
    """

    columns: list[Column]
    rows: list[TableRow]

    def split(self, index: int) -> tuple[Table, Table]:
        """Split the table before the column `index` into two tables.

        Parameters
        ----------
        index : int
            Number of columns of the first table.
        """
        first, second = slice(index), slice(index, None)
        parts = (
            Table(self.columns[part], [replace(row, cells=row.cells[part]) for row in self.rows])
            for part in (first, second)
        )
        return next(parts), next(parts)

    @property
    def blocks(self) -> list[tuple[str, list[TableRow]]]:
        """Rows by what the methods learn from, each block with its heading; no heading for a single block."""
        blocks = {heading: [row for row in self.rows if row.source == key] for key, heading in BLOCKS.items()}
        kept = [(heading, rows) for heading, rows in blocks.items() if rows]
        return kept if len(kept) > 1 else [("", rows) for _, rows in kept]

    @property
    def basis(self) -> str:
        """Seeds over which the best is chosen, in words."""
        return basis_in_words(row.seeds for row in self.rows)


def number(value: Any) -> float:
    """Convert a JSON number; null is NaN.

    Parameters
    ----------
    value : float, str or None
        As JSON or CSV holds it.
    """
    return math.nan if value is None or value == "" else float(value)


def summary_row(run: Run, scene: str) -> Row:
    """Make a run's row of `summary.csv`.

    Parameters
    ----------
    run : dict
        Content of its `metrics.json`.
    scene : str
        The scene, or scene and response.
    """
    values = {
        "scene": scene,
        "method": run["label"],
        "learns_from": run["learns_from"],
        "trained_on": run["trained_on"],
        "seed": run["seed"],
        **{column.key: run["metrics"].get(column.key) for column in QUALITY},
        **{f"seconds_{part}": run["seconds"].get(part) for part in ("estimate", "train", "fuse", "io")},
        **{key: run[key] for key in ("parameters", "device", "peak_mem_mb")},
    }
    return {column: values[column] for column in SUMMARY_COLUMNS}


def may_differ(column: str) -> bool:
    """Tell whether a column of `summary.csv` may differ between two runs on the same device.

    Parameters
    ----------
    column : str
        Name of the column.
    """
    return column.startswith("seconds_") or column == "peak_mem_mb"


def summary_csv(rows: Iterable[Row]) -> str:
    """Write `summary.csv`: every digit of the metrics, an empty field where there is no value.

    Parameters
    ----------
    rows : iterable of dict
        As `summary_row` makes them.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, SUMMARY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        empty = {key: "" for key, value in row.items() if isinstance(value, float) and math.isnan(value)}
        writer.writerow(row | empty)
    return text.getvalue()


def table(runs: Sequence[Run], labels: Sequence[str], columns: Sequence[Column]) -> Table:
    """Tabulate mean and sample standard deviation over each method's seeds, and mark the best.

    Parameters
    ----------
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods in the order of the rows.
    columns : sequence of Column
        Numbers to show.
    """
    groups = {
        label: {run["seed"]: _value(run, columns) for run in runs if run["label"] == label}
        for label in labels
    }
    return make_table(groups, columns, sources(runs))


def sources(runs: Iterable[Run]) -> dict[str, str]:
    """Return what each method learns from, by label.

    Parameters
    ----------
    runs : iterable of dict
        Runs' `metrics.json`.
    """
    return {run["label"]: run["learns_from"] for run in runs}


def filled(runs: Sequence[Run], columns: Sequence[Column]) -> list[Column]:
    """Select the columns for which some run has a value: a scene without a reference has no PSNR.

    Parameters
    ----------
    runs : sequence of dict
        All runs' `metrics.json`.
    columns : sequence of Column
        Columns to choose from.
    """
    values = [_value(run, columns) for run in runs]
    return [c for c in columns if any(not math.isnan(number(row[c.key])) for row in values)]


def devices(runs: Sequence[Run], labels: Sequence[str]) -> dict[str, str]:
    """Name the devices on which each method computed.

    Parameters
    ----------
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods.
    """
    return {
        label: ", ".join(dict.fromkeys(run["device"] for run in runs if run["label"] == label))
        for label in labels
    }


def _value(run: Run, columns: Sequence[Column]) -> Row:
    seconds = {f"seconds_{part}": value for part, value in run["seconds"].items()}
    every: Row = {**run["metrics"], **seconds, **{key: run.get(key) for key in ("peak_mem_mb", "parameters")}}
    return {column.key: every.get(column.key) for column in columns}


def make_table(
    groups: Mapping[str, Mapping[int, Row]],
    columns: Sequence[Column],
    learned: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """Make a table, and mark the best over the seeds that all methods share.

    Parameters
    ----------
    groups : dict of dict of dict
        Numbers by label, seed and key.
    columns : sequence of Column
        Numbers to show.
    learned : dict of str
        What each method learns from, by label; from the pair alone by default.
    """
    cells: dict[str, list[Cell]] = {label: [] for label in groups}
    for column in columns:
        values = {label: _present(rows, column.key) for label, rows in groups.items()}
        compared = comparable_means(values)
        best = _best(compared, column)
        for label, own in values.items():
            cells[label].append(_cell(list(own.values()), column, compared.get(label), best))
    return Table(
        list(columns),
        [
            TableRow(label, sorted(rows), cells[label], learned.get(label, "pair"))
            for label, rows in groups.items()
        ],
    )


def _present(rows: Mapping[int, Row], key: str) -> dict[int, float]:
    """Return a number by seed, without missing values."""
    values = {seed: number(row.get(key)) for seed, row in rows.items()}
    return {seed: value for seed, value in values.items() if not math.isnan(value)}


def _cell(values: list[float], column: Column, compared: float | None, best: str | None) -> Cell:
    if not values or compared is None:
        return Cell(None, None, NO_VALUE, "")
    average = mean(values)
    sd = statistics.stdev(values) if len(values) > 1 and math.isfinite(average) else None
    text = column.text(average)
    spread = f"{sd:.{_decimals(text)}f}" if sd else ""
    return Cell(average, sd, text, spread, compared, column.text(compared) == best)


def _decimals(text: str) -> int:
    """Count the digits after the point: a spread is printed as finely as its mean."""
    return len(text.partition(".")[2])


def _best(compared: Mapping[str, float], column: Column) -> str | None:
    """Return the best mean as printed; equal text counts as equally good. A single method is not ranked."""
    if column.direction is None or len(compared) < 2:
        return None
    return column.text(min(compared.values(), key=column.rank))


def format_table(rows: Sequence[Row]) -> str:
    """Format the rows of `summary.csv` for the terminal: means over each method's seeds.

    `*` marks the best over the seeds that all methods share; a line names these seeds where some methods ran
    with others. PSNR and SAM have their standard deviation. A scene has the columns for which it has values,
    and the columns of `STAND_INS` if it has no reference.

    Parameters
    ----------
    rows : sequence of dict
        As `summary_row` makes them, or as `csv.DictReader` reads them.
    """
    blocks = []
    for scene in dict.fromkeys(row["scene"] for row in rows):
        groups: dict[str, dict[int, Row]] = {}
        learned: dict[str, str] = {}
        for row in (row for row in rows if row["scene"] == scene):
            learned[row["method"]] = row["learns_from"]
            parts = [number(row[f"seconds_{part}"]) for part in ("estimate", "train", "fuse")]
            total = sum(part for part in parts if not math.isnan(part))
            groups.setdefault(row["method"], {})[int(row["seed"])] = row | {"seconds": total}
        blocks.append(_text_block(scene, make_table(groups, _terminal_columns(groups), learned)))
    return "\n\n".join(blocks)


def _terminal_columns(groups: Mapping[str, Mapping[int, Row]]) -> list[Column]:
    """Select the columns for which the scene has values and the terminal has room."""
    seconds = Column("seconds", "Seconds", "", None, significant)
    rows = [row for group in groups.values() for row in group.values()]
    known = [c for c in [*QUALITY, *COST] if any(not math.isnan(number(row.get(c.key))) for row in rows)]
    keys = TERMINAL if HEADLINE[0] in known else (*TERMINAL, *STAND_INS)
    return [*(column for column in known if column.key in keys), seconds]


def _text_block(scene: str, content: Table) -> str:
    head = [scene, "seeds", *(f"{SHORT.get(c.key, c.label)} {c.arrow}".strip() for c in content.columns)]
    spreads = [c in HEADLINE for c in content.columns]
    lines = [head]
    for heading, rows in content.blocks:
        lines += [[f"{heading}:", *[""] * (len(head) - 1)]] if heading else []
        for row in rows:
            cells = [_printed(cell, spread) for cell, spread in zip(row.cells, spreads, strict=True)]
            lines.append([row.label, str(len(row.seeds)), *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    unequal = len({tuple(row.seeds) for row in content.rows}) > 1
    note = [f"* best mean {content.basis}"] if unequal else []
    return "\n".join([text[0], "-" * len(text[0]), *text[1:], *note])


def _printed(cell: Cell, with_spread: bool) -> str:
    spread = f" ±{cell.spread}" if cell.spread and with_spread else ""
    return cell.text + spread + ("*" if cell.best else " ")


def read_summary(path: Path) -> list[Row]:
    """Read the rows of a `summary.csv`.

    Parameters
    ----------
    path : Path
        The file, or the folder that holds it.
    """
    path = path / "summary.csv" if path.is_dir() else path
    try:
        with path.open(newline="") as stream:
            rows: list[Row] = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the workflow for this experiment first") from None
    if not rows or list(rows[0]) != SUMMARY_COLUMNS:
        raise InputError(f"{path}: not a summary of the report step; delete it and run the workflow again")
    return rows
