"""The report's charts as inline SVG: spectra, per-band curves, distributions, residuals, times.

Text is drawn in the page's own colour and font, so that charts follow a dark page and a printed one.
Colours are Okabe and Ito's palette, one per method throughout. The same numbers give the same bytes.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from pipeline.report.drawing.pictures import COLOUR_MAP, GAMMA, Floats, Wavelengths, band_axis

PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
DASHES = ["-", "--", "-.", ":"]
INK = "#010203"
"""Placeholder of the page's text colour until the SVG is written."""
FAINT = "#040506"
"""Placeholder of the page's grid colour."""
STYLE: Any = {
    "svg.hashsalt": "report",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
}
Look = Mapping[str, tuple[str, str]]
"""Colour and dashes of each method."""


def looks(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Give every method a colour and a dash pattern; colours repeat with other dashes after six.

    Parameters
    ----------
    labels : sequence of str
        Methods.
    """
    size = len(PALETTE)
    return {label: (PALETTE[i % size], DASHES[i // size % len(DASHES)]) for i, label in enumerate(labels)}


def with_gaps(x: Floats, y: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sort a curve by `x`, and break it where neighbours are over three times the usual step apart.

    Parameters
    ----------
    x, y : (n,)
        Points of the curve.

    >>> with_gaps(np.array([1.0, 2, 3, 10, 11]), np.array([5.0, 5, 5, 6, 6]))[1]
    array([ 5.,  5.,  5., nan,  6.,  6.])
    """
    order = np.argsort(x, kind="stable")
    x, y = np.asarray(x, np.float64)[order], np.asarray(y, np.float64)[order]
    steps = np.diff(x)
    if steps.size == 0:
        return x, y
    breaks = np.flatnonzero(steps > 3 * np.median(steps)) + 1
    return np.insert(x, breaks, (x[breaks - 1] + x[breaks]) / 2), np.insert(y, breaks, np.nan)


@dataclass(frozen=True)
class Spectra:
    """Spectra of a few pixels.

    Attributes
    ----------
    base : (pixels, C)
        Spectra drawn beneath the spectra of the methods.
    fused : dict of (pixels, C)
        Spectra of each method.
    wavelength : (C,) or None
        Band centres in nm.
    titles : sequence of str
        Names of the pixels.
    name : str
        Name of `base` in the legend.
    points : (c,) and (pixels, c), optional
        Centres and values of the HR-MSI's bands.
    """

    base: Floats
    fused: Mapping[str, Floats]
    wavelength: Wavelengths
    titles: Sequence[str]
    name: str = "reference"
    points: tuple[Floats, Floats] | None = None


def spectra(content: Spectra, look: Look) -> str:
    """Draw spectra of a few pixels, each method's upon a broad grey curve.

    Parameters
    ----------
    content : Spectra
        Spectra to draw.
    look : dict
        Colour and dashes of each method.
    """
    count = len(content.base)
    with matplotlib.rc_context(STYLE):
        columns = min(3, count)
        rows = -(-count // columns)
        figure = Figure(figsize=(10, 2.45 * rows + 0.45), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for axes in panels[count:]:
            axes.set_visible(False)
        for index, axes in enumerate(panels[:count]):
            _spectra_of_pixel(axes, content, index, look)
            if index + columns >= count:
                axes.set_xlabel(band_axis_name(content.wavelength))
                axes.tick_params(labelbottom=True)
            if index % columns == 0:
                axes.set_ylabel("Scene value")
        legend(figure, panels[0])
        return svg(figure, f"Spectra of the numbered pixels, {content.name} and fused cubes")


def _spectra_of_pixel(axes: Axes, content: Spectra, index: int, look: Look) -> None:
    base = _curve(content.wavelength, content.base[index])
    axes.plot(*base, color=INK, lw=3.4, alpha=0.3, label=content.name)
    for label, values in content.fused.items():
        axes.plot(*_curve(content.wavelength, values[index]), **_line(look, label), lw=1.1)
    if content.points is not None:
        centres, values = content.points
        axes.plot(centres, values[index], "D", color=INK, ms=4.5, mfc="none", label="HR-MSI")
    axes.set_title(content.titles[index], loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def band_curves(
    curves: Mapping[str, Floats],
    wavelength: Wavelengths,
    name: str,
    look: Look,
    log: bool = False,
    level: float | None = None,
) -> str:
    """Draw a measure of each band, one curve per method.

    Parameters
    ----------
    curves : dict of (C,)
        Values by method.
    wavelength : (C,) or None
        Band centres in nm.
    name : str
        Label of the y axis.
    look : dict
        Colour and dashes of each method.
    log : bool
        Whether the y axis is logarithmic.
    level : float, optional
        Where to draw a dashed line.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _single()
        for label, values in curves.items():
            axes.plot(*_curve(wavelength, values), **_line(look, label))
        if level is not None:
            level_line(axes, level)
        if log and any((np.asarray(values) > 0).any() for values in curves.values()):
            log_axis(axes, "y")
        axes.set(xlabel=band_axis_name(wavelength), ylabel=name)
        legend(figure, axes)
        return svg(figure, f"{name} of each band, one curve per method")


def sam_distribution(quantiles: Mapping[str, Floats], look: Look) -> str:
    """Draw the percentage of pixels whose spectral angle is below a value.

    Parameters
    ----------
    quantiles : dict of (n,)
        Quantiles of the angle at equal steps, by method.
    look : dict
        Colour and dashes of each method.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _single()
        for label, values in quantiles.items():
            axes.plot(values, np.linspace(0, 100, len(values)), **_line(look, label))
        axes.set(xlabel="SAM of a pixel [°]", ylabel="Pixels with a smaller SAM [%]", ylim=(0, 100.5))
        low = [float(np.quantile(values, 0.01)) for values in quantiles.values() if values.any()]
        if any(value > 0 for value in low):
            log_axis(axes, "x")
            axes.set_xlim(left=min(value for value in low if value > 0))
        legend(figure, axes)
        return svg(figure, "Cumulative distribution of the spectral angle over pixels, per method")


def coverage(nominal: Mapping[str, Floats], actual: Mapping[str, Floats], look: Look) -> str:
    """Draw the percentage of values inside intervals of a nominal coverage.

    Parameters
    ----------
    nominal, actual : dict of (levels,)
        Fractions by method.
    look : dict
        Colour and dashes of each method.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _single()
        axes.plot([0, 100], [0, 100], color=INK, lw=1.2, dashes=(4, 3))
        for label, values in actual.items():
            axes.plot(100 * nominal[label], 100 * values, marker="o", ms=4, **_line(look, label))
        axes.set(xlabel="Nominal coverage [%]", ylabel="Values inside [%]", xlim=(0, 100.5), ylim=(0, 100.5))
        legend(figure, axes)
        return svg(figure, "Coverage of the intervals against their nominal coverage, per method")


def spreads(predicted: Mapping[str, Floats], actual: Mapping[str, Floats], look: Look) -> str:
    """Draw RMS error against RMS standard deviation of groups of squares.

    Parameters
    ----------
    predicted, actual : dict of (groups,)
        RMS standard deviation and RMS error by method.
    look : dict
        Colour and dashes of each method.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _single()
        for label, values in actual.items():
            axes.plot(predicted[label], values, marker="o", ms=4, **_line(look, label))
        every = np.concatenate([*predicted.values(), *actual.values()])
        ends = [every.min(), every.max()]
        axes.plot(ends, ends, color=INK, lw=1.2, dashes=(4, 3))
        if (every > 0).all():
            log_axis(axes, "x")
            log_axis(axes, "y")
        axes.set(xlabel="RMS standard deviation [scene values]", ylabel="RMS error [scene values]")
        legend(figure, axes)
        return svg(figure, "RMS error against RMS standard deviation, per method")


def residuals(values: Mapping[str, tuple[Sequence[float], Sequence[float]]], look: Look) -> str:
    """Draw residuals of LR-HSI and HR-MSI, a point for each seed.

    Parameters
    ----------
    values : dict of two sequences of float
        Residuals of both images in noise levels, by method.
    look : dict
        Colour and dashes of each method.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(len(values))
        every = [v for pair in values.values() for part in pair for v in part if np.isfinite(v) and v > 0]
        for row, (label, pair) in enumerate(values.items()):
            for part, offset, marker in zip(pair, (-0.13, 0.13), "os", strict=True):
                y = np.full(len(part), row + offset)
                axes.plot(part, y, marker, ms=6.5, mew=0, color=look[label][0], alpha=0.75)
        for name, marker in (("LR-HSI", "o"), ("HR-MSI", "s")):
            axes.plot([], [], marker, color=INK, ms=6.5, mew=0, label=name)
        axes.axvline(1, color=INK, lw=1.2, dashes=(4, 3))
        if every:
            log_axis(axes, "x")
            axes.set_xlim(min(*every, 1) / 1.3, max(*every, 1) * 1.3)
        axes.set_xlabel("Residual [noise levels]")
        _label_rows(axes, list(values))
        legend(figure, axes)
        return svg(figure, "Residuals against the noise level, per method")


def times(seconds: Mapping[str, Mapping[str, float]], look: Look) -> str:
    """Draw the seconds of each phase; phases that take no time are left out.

    Parameters
    ----------
    seconds : dict of dict of float
        Mean over seeds, by method and phase.
    look : dict
        Colour and dashes of each method.
    """
    phases = (("estimate", "v"), ("train", "D"), ("fuse", "o"), ("io", "s"))
    names = {"estimate": "estimate", "train": "train", "fuse": "fuse", "io": "I/O"}
    with matplotlib.rc_context(STYLE):
        figure, axes = _rows(len(seconds))
        for row, (label, parts) in enumerate(seconds.items()):
            for phase, marker in phases:
                value = parts.get(phase, np.nan)
                if np.isfinite(value) and value > 0:
                    axes.plot(value, row, marker, ms=7.5, mew=0, color=look[label][0], alpha=0.85)
        for phase, marker in phases:
            axes.plot([], [], marker, color=INK, ms=6.5, mew=0, label=names[phase])
        if any(v > 0 for parts in seconds.values() for v in parts.values()):
            log_axis(axes, "x")
        axes.set_xlabel("Wall time [s]")
        _label_rows(axes, list(seconds))
        legend(figure, axes)
        return svg(figure, "Wall time of each phase, per method")


def colour_bar(upper: float, name: str) -> str:
    """Draw the scale of the error maps.

    Parameters
    ----------
    upper : float
        Upper end of the scale; larger values share the last colour.
    name : str
        Quantity and unit.
    """
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(4.6, 0.72), layout="constrained")
        axes = figure.subplots()
        bar = Colorbar(
            axes,
            cmap=matplotlib.colormaps[COLOUR_MAP],
            norm=PowerNorm(GAMMA, 0, upper),
            orientation="horizontal",
            extend="max",
        )
        assert bar.solids is not None
        bar.solids.set_rasterized(True)
        bar.set_label(name)
        bar.ax.xaxis.set_major_locator(MaxNLocator(6))
        return svg(figure, f"Colour scale: {name} from 0 to {upper:.3g}")


def _single() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.4, 3.5), layout="constrained")
    return figure, figure.subplots()


def _rows(count: int) -> tuple[Figure, Axes]:
    """Make a chart with a line for each method, the first on top."""
    figure = Figure(figsize=(5.4, 1.35 + 0.42 * count), layout="constrained")
    return figure, figure.subplots()


def _label_rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)


def log_axis(axes: Axes, which: str) -> None:
    """Make the axis `which`, x or y, logarithmic with plain numbers, and enough of them on a short span.

    Parameters
    ----------
    axes : Axes
        The chart.
    which : {"x", "y"}
        The axis.
    """
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axes.dataLim.intervalx if which == "x" else axes.dataLim.intervaly
    subs = tuple(range(1, 10)) if high < 5 * low else (1, 2, 5) if high < 100 * low else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def level_line(axes: Axes, level: float) -> None:
    """Draw a dashed line where a measure should be.

    Parameters
    ----------
    axes : Axes
        The chart.
    level : float
        Height of the line.
    """
    axes.axhline(level, color=INK, lw=1.2, dashes=(4, 3))


def _curve(wavelength: Wavelengths, values: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return with_gaps(band_axis(wavelength, len(values)), values)


def band_axis_name(wavelength: Wavelengths) -> str:
    """Return the label of an axis of HSI bands.

    Parameters
    ----------
    wavelength : (C,) or None
        Band centres in nm.
    """
    return "Band number" if wavelength is None else "Wavelength [nm]"


def _line(look: Look, label: str) -> dict[str, Any]:
    colour, dashes = look[label]
    return {"color": colour, "linestyle": dashes, "label": label}


def legend(figure: Figure, axes: Axes) -> None:
    """Draw a legend above the figure, in as many columns as fit.

    Parameters
    ----------
    figure : Figure
        Where the legend is drawn.
    axes : Axes
        Whose curves it names.
    """
    handles, labels = axes.get_legend_handles_labels()
    letters = 12.5 * figure.get_figwidth()
    columns = max(1, int(letters / (max(map(len, labels), default=0) + 5)))
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, handlelength=1.6, columnspacing=1.2
    )


def svg(figure: Figure, description: str) -> str:
    """Return the figure as an SVG element that refers to nothing outside the page.

    Parameters
    ----------
    figure : Figure
        A finished figure.
    description : str
        Alternative text for readers who cannot see it.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, dpi=150, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--grid)")
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    own = sha256(text.encode()).hexdigest()[:8]  # ids of several charts share the page's namespace
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{own}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(description)}" ', 1)
