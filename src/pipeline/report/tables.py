"""The experiment's numbers: rows of `summary.csv`, means and spreads over seeds, the best in bold.

Text and cells only; how a table looks on the page is up to `template.html`.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Run = Mapping[str, Any]
"""Content of one `metrics.json`."""
Row = dict[str, Any]
"""One row of `summary.csv`."""

METRICS = [
    "psnr",
    "psnr_peak1",
    "sam",
    "ergas",
    "ssim",
    "uiqi",
    "q2n",
    "cc",
    "rmse",
    "residual_hsi",
    "residual_msi",
]
SUMMARY_COLUMNS = [
    *("scene", "method", "seed"),
    *METRICS,
    *("parameters", "device"),
    *("seconds_estimate", "seconds_train", "seconds_fuse", "seconds_io", "peak_mem_mb"),
]
SHORT = {"residual_hsi": "Res. HSI", "residual_msi": "Res. MSI", "peak_mem_mb": "MB"}
"""Headings for the terminal."""
NO_VALUE = "–"  # noqa: RUF001 - an en dash, as in printed tables


def fixed(digits: int) -> Callable[[float], str]:
    """A format with a fixed number of decimals."""
    return lambda value: f"{value:.{digits}f}"


def significant(value: float) -> str:
    """Three significant digits, never an exponent for everyday sizes."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def large_count(value: float) -> str:
    """A count in thousands or millions.

    >>> large_count(20_710_000)
    '20.71 M'
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:.0f}"


@dataclass(frozen=True)
class Column:
    """A number of a run: where it stands, how it is headed and which value is best."""

    key: str
    label: str
    unit: str
    best: Literal["up", "down", "one"] | None
    text: Callable[[float], str]

    @property
    def arrow(self) -> str:
        """Direction of the better values."""
        return {"up": "↑", "down": "↓", "one": "→ 1", None: ""}[self.best]

    @property
    def hint(self) -> str:
        """The arrow in words."""
        words = {"up": "higher is better", "down": "lower is better", "one": "closest to 1 is best"}
        return words[self.best] if self.best else ""

    def rank(self, value: float) -> float:
        """A number that is smaller for better values."""
        return {"up": -value, "down": value, "one": abs(value - 1)}[self.best or "down"]


QUALITY = [
    Column("psnr", "PSNR", "dB", "up", fixed(2)),
    Column("psnr_peak1", "PSNR peak 1", "dB", "up", fixed(2)),
    Column("sam", "SAM", "°", "down", fixed(3)),
    Column("ergas", "ERGAS", "", "down", fixed(3)),
    Column("ssim", "SSIM", "", "up", fixed(4)),
    Column("uiqi", "UIQI", "", "up", fixed(4)),
    Column("q2n", "Q2n", "", "up", fixed(4)),
    Column("cc", "CC", "", "up", fixed(4)),
    Column("rmse", "RMSE", "scene values", "down", lambda value: f"{value:#.3g}"),
    Column("residual_hsi", "Residual HSI", "noise levels", "one", fixed(2)),
    Column("residual_msi", "Residual MSI", "noise levels", "one", fixed(2)),
]
HEADLINE = [column for column in QUALITY if column.key in ("psnr", "sam")]
COST = [
    Column("seconds_estimate", "Estimate", "s", None, significant),
    Column("seconds_train", "Train", "s", None, significant),
    Column("seconds_fuse", "Fuse", "s", None, significant),
    Column("seconds_io", "I/O", "s", None, significant),
    Column("peak_mem_mb", "Peak memory", "MB", None, significant),
    Column("parameters", "Trained parameters", "", None, large_count),
]


@dataclass(frozen=True)
class Cell:
    """Mean and spread of one number over the seeds of one method."""

    mean: float | None
    sd: float | None
    text: str
    spread: str
    best: bool = False


@dataclass(frozen=True)
class TableRow:
    """A method's line."""

    label: str
    seeds: list[int]
    cells: list[Cell]


@dataclass(frozen=True)
class Table:
    """Methods x numbers."""

    columns: list[Column]
    rows: list[TableRow]


def number(value: Any) -> float:
    """A JSON number; null is NaN."""
    return math.nan if value is None or value == "" else float(value)


def summary_row(run: Run, scene: str) -> Row:
    """A run's row of `summary.csv`; `scene` may name the response as well."""
    values = {
        "scene": scene,
        "method": run["label"],
        "seed": run["seed"],
        **{key: run["metrics"].get(key) for key in METRICS},
        **{f"seconds_{part}": run["seconds"].get(part) for part in ("estimate", "train", "fuse", "io")},
        **{key: run[key] for key in ("parameters", "device", "peak_mem_mb")},
    }
    return {column: values[column] for column in SUMMARY_COLUMNS}


def may_differ(column: str) -> bool:
    """Whether a column of `summary.csv` may differ between two runs on the same device."""
    return column.startswith("seconds_") or column == "peak_mem_mb"


def summary_csv(rows: Iterable[Row]) -> str:
    """Text of `summary.csv`: every digit of the metrics, an empty field where there is no value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SUMMARY_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        empty = {key: "" for key, value in row.items() if isinstance(value, float) and math.isnan(value)}
        writer.writerow(row | empty)
    return text.getvalue()


def table(runs: Sequence[Run], labels: Sequence[str], columns: Sequence[Column]) -> Table:
    """Mean and sample standard deviation over seeds; the best means are marked."""
    grouped = {label: [run for run in runs if run["label"] == label] for label in labels}
    values = {label: [_value(run, columns) for run in group] for label, group in grouped.items()}
    return make_table(
        {label: ([run["seed"] for run in grouped[label]], values[label]) for label in labels}, columns
    )


def devices(runs: Sequence[Run], labels: Sequence[str]) -> dict[str, str]:
    """Where each method computed."""
    return {
        label: ", ".join(dict.fromkeys(run["device"] for run in runs if run["label"] == label))
        for label in labels
    }


def _value(run: Run, columns: Sequence[Column]) -> Row:
    seconds = {f"seconds_{part}": value for part, value in run["seconds"].items()}
    every: Row = {**run["metrics"], **seconds, **{key: run.get(key) for key in ("peak_mem_mb", "parameters")}}
    return {column.key: every.get(column.key) for column in columns}


def make_table(groups: Mapping[str, tuple[list[int], list[Row]]], columns: Sequence[Column]) -> Table:
    """A table from the seeds and the values of each label."""
    cells = {
        label: [_cell([number(row.get(column.key)) for row in rows], column) for column in columns]
        for label, (_, rows) in groups.items()
    }
    for index, column in enumerate(columns):
        best = _best([line[index] for line in cells.values()], column)
        for line in cells.values():
            if line[index].text in best:
                line[index] = Cell(**{**line[index].__dict__, "best": True})
    return Table(
        list(columns), [TableRow(label, sorted(seeds), cells[label]) for label, (seeds, _) in groups.items()]
    )


def _cell(values: list[float], column: Column) -> Cell:
    valid = [value for value in values if not math.isnan(value)]
    if not valid:
        return Cell(None, None, NO_VALUE, "")
    mean = math.fsum(valid) / len(valid) if all(map(math.isfinite, valid)) else max(valid)
    sd = statistics.stdev(valid) if len(valid) > 1 and math.isfinite(mean) else None
    text = column.text(mean)
    return Cell(mean, sd, text, f"{sd:.{_decimals(text)}f}" if sd else "")


def _decimals(text: str) -> int:
    """Digits after the point: a spread is printed as finely as its mean."""
    return len(text.partition(".")[2])


def _best(cells: list[Cell], column: Column) -> set[str]:
    """Texts of the best cells: what reads the same is as good. A single method is not ranked."""
    ranked = [(column.rank(cell.mean), cell.text) for cell in cells if cell.mean is not None]
    if column.best is None or len(ranked) < 2:
        return set()
    return {min(ranked)[1]}


def format_table(rows: Sequence[Row]) -> str:
    """The rows of `summary.csv` as text for the terminal: means over seeds, `*` marks the best.

    The headline's metrics have their ± sd; the page has those of all.

    Parameters
    ----------
    rows : sequence of dict
        As `summary_row` makes them, or as `csv.DictReader` reads them.
    """
    keys = ("psnr", "sam", "ergas", "ssim", "residual_hsi", "residual_msi", "peak_mem_mb")
    seconds = Column("seconds", "Seconds", "", None, significant)
    columns = [*(column for column in [*QUALITY, *COST] if column.key in keys), seconds]
    blocks = []
    for scene in dict.fromkeys(row["scene"] for row in rows):
        groups: dict[str, tuple[list[int], list[Row]]] = {}
        for row in (row for row in rows if row["scene"] == scene):
            seeds, values = groups.setdefault(row["method"], ([], []))
            parts = [number(row[f"seconds_{part}"]) for part in ("estimate", "train", "fuse")]
            seeds.append(int(row["seed"]))
            values.append(row | {"seconds": sum(part for part in parts if not math.isnan(part))})
        blocks.append(_text_block(scene, make_table(groups, columns)))
    return "\n\n".join(blocks)


def _text_block(scene: str, content: Table) -> str:
    head = [scene, "seeds", *(f"{SHORT.get(c.key, c.label)} {c.arrow}".strip() for c in content.columns)]
    spreads = [c in HEADLINE for c in content.columns]
    lines = [head]
    for row in content.rows:
        cells = [
            cell.text + (f" ±{cell.spread}" if cell.spread and spread else "") + ("*" if cell.best else " ")
            for cell, spread in zip(row.cells, spreads, strict=True)
        ]
        lines.append([row.label, str(len(row.seeds)), *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(
            [line[0].ljust(widths[0]), *(x.rjust(w) for x, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    ]
    return "\n".join([text[0], "-" * len(text[0]), *text[1:]])
