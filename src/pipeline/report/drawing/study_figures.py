"""The figures of studies as inline SVG: quality over a setting, heat maps, differences, cost.

They show the metrics of `HEADLINE`. `studies` chooses the runs that they are drawn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from pipeline.report.drawing.figures import DASHES, INK, PALETTE, STYLE, Look, legend, log_axis, svg
from pipeline.report.numbers.columns import HEADLINE, large_count

Values = NDArray[np.float64]
MARKERS = "osD^"  # of points, in place of dashes: colours repeat after six methods
LOG_SPAN = 10  # largest over smallest value of a setting, from which its axis is logarithmic


PSNR = HEADLINE[0]
NAMES = " and ".join(column.label for column in HEADLINE)


@dataclass(frozen=True)
class Point:
    """Quality and cost of one method, means over seeds.

    Attributes
    ----------
    psnr : float
        In dB.
    fusing : float
        Seconds of the fusion alone.
    total : float
        Seconds of estimation, training and fusion.
    memory : float
        Peak of the host in MB.
    parameters : int
        Number of parameters trained by gradient descent.
    """

    psnr: float
    fusing: float
    total: float
    memory: float
    parameters: int


def lines(x: Sequence[float], series: Mapping[str, Mapping[str, Values]], axis: str, look: Look) -> str:
    """Draw PSNR and SAM over a setting, a line for each method.

    Parameters
    ----------
    x : sequence of float
        Values of the setting.
    series : dict of dict of (values, seeds)
        By method and metric.
    axis : str
        Label of the x axis.
    look : dict
        Colour and dashes of each method.
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = _pair(3.5)
        for panel, column in zip(panels, HEADLINE, strict=True):
            for label, measured in series.items():
                values = measured[column.key]
                spread = values.std(axis=1, ddof=1) if values.shape[1] > 1 else None
                colour, dashes = look[label]
                panel.errorbar(
                    x,
                    values.mean(axis=1),
                    spread,
                    color=colour,
                    ls=dashes,
                    marker="o",
                    ms=5,
                    capsize=3,
                    label=label,
                )
            panel.set(xlabel=axis, ylabel=column.axis)
            if min(x) > 0 and max(x) >= LOG_SPAN * min(x):
                panel.set_xscale("log")
                panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xticks(x, [f"{value:g}" for value in x])
        if len(series) > 1:
            legend(figure, panels[0])
        return svg(figure, f"{NAMES} over {axis}")


def heat_map(
    rows: Sequence[float], columns: Sequence[float], means: Mapping[str, Values], axes: tuple[str, str]
) -> str:
    """Draw PSNR and SAM over two settings, with the values in the cells and the best in bold.

    Parameters
    ----------
    rows, columns : sequence of float
        Values of the two settings.
    means : dict of (rows, columns)
        By metric.
    axes : (str, str)
        Names of the two settings.
    """
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure, panels = _pair(1.3 + 0.55 * len(rows))
        for panel, column in zip(panels, HEADLINE, strict=True):
            values = means[column.key]
            quality = -column.rank(values)
            panel.pcolormesh(quality, cmap="viridis", edgecolors="none", rasterized=True)
            middle = (np.nanmin(quality) + np.nanmax(quality)) / 2
            for (row, place), value in np.ndenumerate(values):
                panel.text(
                    place + 0.5,
                    row + 0.5,
                    column.text(value),
                    ha="center",
                    va="center",
                    color="white" if quality[row, place] < middle else "black",
                    weight="bold" if quality[row, place] == np.nanmax(quality) else "normal",
                )
            panel.set_xticks(np.arange(len(columns)) + 0.5, [f"{value:g}" for value in columns])
            panel.set_yticks(np.arange(len(rows)) + 0.5, [f"{value:g}" for value in rows])
            panel.set(xlabel=axes[1], ylabel=axes[0], title=column.axis)
            panel.invert_yaxis()
        return svg(figure, f"{NAMES} over {axes[0]} and {axes[1]}")


def differences(values: Mapping[str, Mapping[str, Values]], base: str) -> str:
    """Draw PSNR and SAM of each method minus the values of `base`: a point per seed, a bar for the mean.

    Parameters
    ----------
    values : dict of dict of (seeds,)
        Differences under the same seed, by method and metric.
    base : str
        The method that was subtracted.
    """
    with matplotlib.rc_context(STYLE):
        figure, panels = _pair(1.35 + 0.42 * len(values))
        for panel, column in zip(panels, HEADLINE, strict=True):
            for row, measured in enumerate(values.values()):
                own = measured[column.key]
                panel.plot(own, np.full(len(own), row), "o", ms=6.5, mew=0, color=PALETTE[0], alpha=0.7)
                panel.plot([own.mean()] * 2, [row - 0.28, row + 0.28], color=INK, lw=1.6)
            panel.axvline(0, color=INK, lw=1, dashes=(4, 3))
            panel.set_yticks(range(len(values)), list(values))
            panel.set_ylim(len(values) - 0.5, -0.5)
            panel.set_xlabel(f"{column.axis}, difference to {base}")
        return svg(figure, f"Differences of {NAMES} to {base}, per method and seed")


def cost(points: Mapping[str, Point], look: Look) -> str:
    """Draw PSNR against wall time and against peak host memory, a point for each method.

    Parameters
    ----------
    points : dict of Point
        By method.
    look : dict
        Colour and dashes of each method.
    """
    with matplotlib.rc_context(STYLE):
        figure, (of_time, of_memory) = _pair(3.9)
        for label, point in points.items():
            colour, dashes = look[label]
            marker = MARKERS[DASHES.index(dashes)]
            name = f"{label} ({large_count(point.parameters)})" if point.parameters else label
            of_time.plot([point.fusing, point.total], [point.psnr] * 2, color=colour, lw=1)
            of_time.plot(point.fusing, point.psnr, marker, ms=7, mfc="none", color=colour)
            of_time.plot(point.total, point.psnr, marker, ms=7, color=colour, label=name)
            of_memory.plot(point.memory, point.psnr, marker, ms=7, color=colour)
        log_axis(of_time, "x")
        log_axis(of_memory, "x")
        of_time.set(xlabel="Wall time [s]", ylabel=PSNR.axis)
        of_memory.set(xlabel="Peak host memory [MB]", ylabel=PSNR.axis)
        legend(figure, of_time)
        return svg(figure, "PSNR against wall time and peak host memory, per method")


def _pair(height: float) -> tuple[Figure, tuple[Axes, Axes]]:
    """Make two panels side by side."""
    figure = Figure(figsize=(10, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    return figure, (left, right)
