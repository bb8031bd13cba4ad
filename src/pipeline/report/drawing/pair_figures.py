"""The told responses as inline SVG: rows of R over wavelength, profiles of the PSF.

In the style of `figures`; shapes are drawn as the methods were told them, not as they were estimated.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.report.drawing.figures import (
    DASHES,
    INK,
    PALETTE,
    STYLE,
    band_axis_name,
    legend,
    looks,
    svg,
    with_gaps,
)
from pipeline.report.drawing.pictures import Floats, Wavelengths, band_axis

SPECTRAL = (
    "Rows of R as told to the methods, each over its largest value: which HSI bands an MSI band sees. "
    "Ragged parts of an estimated R lie where the scene's spectra do not tell it."
)
SPATIAL = (
    "Profiles of the PSF as told to the methods, summed over the other axis: the weight of HR pixels in an "
    "LR pixel, per LR pixel of distance. Dotted: the LR pixel's edges. The centre lies off 0 by the shift."
)


def spectral_response(response: Floats, wavelength: Wavelengths, names: Sequence[str]) -> str:
    """Rows of R ``(c, C)`` over the HSI's bands, each over its largest value."""
    look = looks([f"{i}" for i in range(len(names))])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.5), layout="constrained")
        axes = figure.subplots()
        x = band_axis(wavelength, response.shape[1])
        for row, name, (colour, dashes) in zip(response, names, look.values(), strict=True):
            axes.plot(*with_gaps(x, row / np.abs(row).max()), color=colour, ls=dashes, label=name)
        axes.set(xlabel=band_axis_name(wavelength), ylabel="Relative response")
        legend(figure, axes)
        return svg(figure, "Rows of the spectral response, one curve per MSI band")


def spatial_response(response: SpatialResponse) -> str:
    """Profiles of the PSF along rows and columns, in LR pixels from an LR pixel's centre."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.5), layout="constrained")
        axes = figure.subplots()
        for index, (name, (x, weight)) in enumerate(
            zip(("rows", "columns"), profiles(response), strict=True)
        ):
            seen = np.abs(weight) > 1e-4 * np.abs(weight).max()
            axes.plot(
                x[seen],
                weight[seen],
                color=PALETTE[index],
                ls=DASHES[index],
                marker="os"[index],
                ms=3.5,
                label=f"along {name}",
            )
        for edge in (-0.5, 0.5):
            axes.axvline(edge, color=INK, lw=1, ls=":")
        axes.set(xlabel="Distance from the LR pixel's centre [LR pixels]", ylabel="Weight per LR pixel")
        legend(figure, axes)
        return svg(figure, "Profiles of the point spread function along rows and columns")


def profiles(response: SpatialResponse) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Distance in LR pixels and weight per LR pixel of distance, along rows and columns.

    At a ratio p/q, LR pixels sample the PSF in q different phases, which are put together.
    """
    ratio = response.ratio
    reach = response.support_lr + 1
    size = -(-(2 * reach + ratio.denominator) // ratio.denominator) * ratio.denominator
    operator = response.operator(int(size * ratio), int(size * ratio))
    found = []
    for own, other in ((operator.rows, operator.cols), (operator.cols, operator.rows)):
        x, weight = [], []
        for lr in range(reach, reach + ratio.denominator):
            x.append((np.arange(int(size * ratio)) + 0.5) / float(ratio) - (lr + 0.5))
            weight.append(sum(a[lr] * b[lr].sum() for a, b in zip(own, other, strict=True)) * float(ratio))
        order = np.argsort(np.concatenate(x), kind="stable")
        found.append((np.concatenate(x)[order], np.concatenate(weight)[order]))
    return found
