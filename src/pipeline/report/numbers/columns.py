"""The numbers of a run as columns: how each is headed and printed, and which value is best.

Shared by the page's tables, `summary.csv` and the terminal; no value is computed or read here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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
    "d_lambda",
    "d_s",
    "qnr",
    "hqnr",
    "coverage_90",
    "rank_correlation",
]
"""Of a run, in the order of `summary.csv`."""
SUMMARY_COLUMNS = [
    *("scene", "method", "seed"),
    *METRICS,
    *("parameters", "device"),
    *("seconds_estimate", "seconds_train", "seconds_fuse", "seconds_io", "peak_mem_mb"),
]


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
    Column("d_lambda", "D_λ", "", "down", fixed(4)),
    Column("d_s", "D_s", "", "down", fixed(4)),
    Column("qnr", "QNR", "", "up", fixed(4)),
    Column("hqnr", "HQNR", "", "up", fixed(4)),
    Column("coverage_90", "In 90 % interval", "share", None, fixed(3)),
    Column("rank_correlation", "Rank correlation", "of deviation and error", "up", fixed(2)),
]
HEADLINE = [column for column in QUALITY if column.key in ("psnr", "sam")]
"""What scenes with a reference are ranked by."""
WITHOUT_REFERENCE = next(column for column in QUALITY if column.key == "hqnr")
"""What scenes without one are ranked by."""
COST = [
    Column("seconds_estimate", "Estimate", "s", None, significant),
    Column("seconds_train", "Train", "s", None, significant),
    Column("seconds_fuse", "Fuse", "s", None, significant),
    Column("seconds_io", "I/O", "s", None, significant),
    Column("peak_mem_mb", "Peak host memory", "MB", None, significant),
    Column("parameters", "Trained parameters", "", None, large_count),
]
