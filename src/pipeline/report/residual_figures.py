"""Maps and curves of residuals in noise levels; 1, what noise alone leaves, is the middle of the scale.

The scale is logarithmic, from 1/u to u, and the same for both images and all methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pipeline.report import pictures
from pipeline.report.figures import STYLE, Look, legend, level_line, log_axis, svg
from pipeline.report.pictures import Floats, Pixels

COLOUR_MAP = "RdBu_r"
LEAST_UPPER = 4.0
"""The scale spans at least a fourth of the noise level to four times it."""


def common_upper(maps: Sequence[Floats]) -> float:
    """Upper end u of one scale for several maps, rounded so that its ends can be read."""
    needed = pictures.common_upper(list(maps))
    return float(max(LEAST_UPPER, 2 ** np.ceil(np.log2(needed))))


def map_picture(values: Floats, upper: float) -> Pixels:
    """A map as ``(H, W, 4)``: white at 1, red above and blue below; no-data is transparent."""
    valid = np.isfinite(values)
    scaled = np.log(np.clip(np.where(valid, values, 1), 1 / upper, upper)) / (2 * np.log(upper)) + 0.5
    return pictures.with_alpha(matplotlib.colormaps[COLOUR_MAP](scaled)[..., :3], valid)


def colour_bar(upper: float) -> str:
    """The scale of the maps; values beyond its ends share the last colours."""
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(4.6, 0.72), layout="constrained")
        bar = Colorbar(
            figure.subplots(),
            cmap=matplotlib.colormaps[COLOUR_MAP],
            norm=LogNorm(1 / upper, upper),
            orientation="horizontal",
            extend="both",
        )
        assert bar.solids is not None
        bar.solids.set_rasterized(True)
        bar.set_label("Residual [noise levels]")
        bar.ax.xaxis.set_major_locator(LogLocator(base=2, numticks=12))
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.xaxis.set_minor_formatter(NullFormatter())
        return svg(figure, f"Colour scale: residual from {1 / upper:g} to {upper:g} noise levels, 1 in white")


def named_bands(
    curves: Mapping[str, Floats], names: Sequence[str], name: str, look: Look, log: bool, level: float
) -> str:
    """A measure of each of a few named bands, a row of points per method, and a dashed line at `level`."""
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
