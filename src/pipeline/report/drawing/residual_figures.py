"""Maps and curves of residuals in noise levels, on a scale whose middle is 1: what noise alone leaves.

The scale is logarithmic on both sides of 1, and the same for both images and all methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.colorbar import Colorbar
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from pipeline.report.drawing import pictures
from pipeline.report.drawing.figures import STYLE, Look, legend, level_line, log_axis, svg
from pipeline.report.drawing.pictures import Floats, Pixels

COLOUR_MAP = "RdBu_r"
LOWER = 0.25
UPPERS = 4.0, 16.0
"""Limits of the scale's upper end: on a longer scale, 2 would look like 1."""


def common_upper(maps: Sequence[Floats]) -> float:
    """Choose the upper end of one scale for several maps, a power of two.

    Parameters
    ----------
    maps : sequence of (H, W)
        Residuals in noise levels.
    """
    least, most = UPPERS
    return float(np.clip(2 ** np.ceil(np.log2(pictures.common_upper(list(maps)))), least, most))


def _norm(upper: float) -> TwoSlopeNorm:
    """Map logarithms to base 2 to the colour map, with 1 in its middle."""
    return TwoSlopeNorm(0, np.log2(LOWER), np.log2(upper))


def map_picture(values: Floats, upper: float) -> Pixels:
    """Colour a map: white at 1, red above and blue below; no-data is transparent.

    Parameters
    ----------
    values : (H, W)
        Residuals in noise levels.
    upper : float
        Upper end of the scale.

    Returns
    -------
    (H, W, 4)
        8-bit RGBA.
    """
    valid = np.isfinite(values)
    scaled = _norm(upper)(np.log2(np.clip(np.where(valid, values, 1), LOWER, upper)))
    return pictures.with_alpha(matplotlib.colormaps[COLOUR_MAP](scaled)[..., :3], valid)


def colour_bar(upper: float) -> str:
    """Draw the scale of the maps up to `upper`; values beyond its ends share the last colours.

    Parameters
    ----------
    upper : float
        Upper end of the scale.
    """
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(4.6, 0.72), layout="constrained")
        bar = Colorbar(
            figure.subplots(),
            cmap=matplotlib.colormaps[COLOUR_MAP],
            norm=_norm(upper),
            orientation="horizontal",
            extend="both",
        )
        assert bar.solids is not None
        bar.solids.set_rasterized(True)
        bar.set_label("Residual [noise levels]")
        bar.ax.xaxis.set_major_locator(MultipleLocator(1))
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{2**value:g}"))
        return svg(figure, f"Colour scale: residual from {LOWER:g} to {upper:g} noise levels, 1 in white")


def named_bands(
    curves: Mapping[str, Floats], names: Sequence[str], name: str, look: Look, log: bool, level: float
) -> str:
    """Draw a measure of each of a few named bands, connected points for each method.

    Parameters
    ----------
    curves : dict of (c,)
        Values by method.
    names : sequence of str
        Names of the bands.
    name : str
        Label of the y axis.
    look : dict
        Colour and dashes of each method.
    log : bool
        Whether the y axis is logarithmic.
    level : float
        Where to draw a dashed line.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.5), layout="constrained")
        axes = figure.subplots()
        for label, values in curves.items():
            colour, dashes = look[label]
            axes.plot(
                range(len(values)),
                values,
                color=colour,
                ls=dashes,
                lw=0.8,
                marker="o",
                ms=5,
                mew=0,
                label=label,
            )
        level_line(axes, level)
        if log and any((np.asarray(values) > 0).any() for values in curves.values()):
            log_axis(axes, "y")
        few = len(names) <= 6
        axes.set_xticks(range(len(names)), names, rotation=0 if few else 45, ha="center" if few else "right")
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set(xlabel="MSI band", ylabel=name)
        legend(figure, axes)
        return svg(figure, f"{name} of each MSI band, per method")
