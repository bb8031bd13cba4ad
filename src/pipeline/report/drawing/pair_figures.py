"""The responses given to the methods, as inline SVG: rows of R over wavelength, profiles of the PSF."""

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
    "Rows of R as given to the methods, each divided by its largest value: the weights of the HSI's bands in "
    "each MSI band. Where an estimated R is ragged, the scene's spectra do not determine it."
)
SPATIAL = (
    "Profiles of the PSF as given to the methods, summed over the other axis: the weight of HR pixels in an "
    "LR pixel, per LR pixel of distance. Dotted: the LR pixel's edges. A shift moves the centre away from 0."
)


def spectral_response(response: Floats, wavelength: Wavelengths, names: Sequence[str]) -> str:
    """Draw the rows of R over the HSI's bands, each divided by its largest value.

    Parameters
    ----------
    response : (c, C)
        R.
    wavelength : (C,) or None
        Band centres in nm.
    names : sequence of str
        Names of the MSI's bands.
    """
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
    """Draw profiles of the PSF along rows and columns, in LR pixels from an LR pixel's centre.

    Parameters
    ----------
    response : SpatialResponse
        H.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.5), layout="constrained")
        axes = figure.subplots()
        for index, (name, (x, weight)) in enumerate(
            zip(("rows", "columns"), profiles(response), strict=True)
        ):
            relevant = np.abs(weight) > 1e-4 * np.abs(weight).max()
            axes.plot(
                x[relevant],
                weight[relevant],
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
    """Return distance in LR pixels and weight per LR pixel of distance, along rows and columns.

    At a ratio p/q, LR pixels sample the PSF in q different phases, which are put together.

    Parameters
    ----------
    response : SpatialResponse
        H.
    """
    ratio = response.ratio
    reach = response.support_lr + 1
    size = -(-(2 * reach + ratio.denominator) // ratio.denominator) * ratio.denominator
    operator = response.operator(int(size * ratio), int(size * ratio))
    curves = []
    for own, other in ((operator.rows, operator.cols), (operator.cols, operator.rows)):
        x, weight = [], []
        for lr in range(reach, reach + ratio.denominator):
            x.append((np.arange(int(size * ratio)) + 0.5) / float(ratio) - (lr + 0.5))
            weight.append(sum(a[lr] * b[lr].sum() for a, b in zip(own, other, strict=True)) * float(ratio))
        order = np.argsort(np.concatenate(x), kind="stable")
        curves.append((np.concatenate(x)[order], np.concatenate(weight)[order]))
    return curves
