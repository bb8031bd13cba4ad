"""A comparison's charts with their captions: curves over bands, distributions, residuals, times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from markupsafe import Markup

from pipeline.core.quality.metrics import METRICS
from pipeline.report.drawing import figures
from pipeline.report.drawing.pictures import Floats, Wavelengths
from pipeline.report.numbers.columns import Column
from pipeline.report.numbers.tables import Run, number

Charts = list[tuple[Markup, str]]
"""SVG and caption of each chart."""
Groups = Mapping[str, Sequence[Run]]
"""Runs of each method."""

SAM = (
    "Percentage of the pixels whose spectral angle (SAM) is smaller than a value, on a logarithmic axis; "
    "curves further left are better. SAM compares whole spectra, so each pixel has one value and bands have "
    "none. Of a scene with over a million pixels, a random sample of about a million is shown."
)
RESIDUALS = (
    "Difference between the two images and the fused cube projected through the sensors' responses, in units "
    "of the noise level; one point per seed. At 1 (dashed) the cube explains the images down to their noise, "
    "above 1 it contradicts them, below 1 it fits part of the noise."
)
COVERAGE = (
    "Percentage of the reference's values that lie inside intervals of a nominal coverage, for methods that "
    "give a standard deviation; mean over seeds. On the dashed line the intervals are calibrated, below it "
    "they are too narrow."
)
SPREAD = (
    "RMS error against RMS standard deviation in squares of 8 × 8 pixels, sorted into ten groups of equal "  # noqa: RUF001
    "size; mean over seeds. On the dashed line the standard deviation equals the error. A rising curve means "
    "that errors are larger where the standard deviation is."
)
TIMES = (
    "Wall time of each phase, mean over seeds, on a logarithmic axis; phases that take no time are left out."
)


def charts(
    runs: Sequence[Run],
    labels: Sequence[str],
    sam_shares: Mapping[str, Floats],
    wavelength: Wavelengths,
    look: figures.Look,
) -> Charts:
    """Draw all charts for which the runs have values.

    Parameters
    ----------
    runs : sequence of dict
        All runs' `metrics.json`.
    labels : sequence of str
        Methods to draw.
    sam_shares : dict of array
        Quantiles of the spectral angle at equal steps, by label; empty without a reference.
    wavelength : (C,) or None
        In nm.
    look : dict
        Colour and dashes of each method.
    """
    groups = {label: [run for run in runs if run["label"] == label] for label in labels}
    return [
        *_band_charts(groups, wavelength, look),
        *([(Markup(figures.sam_distribution(sam_shares, look)), SAM)] if sam_shares else []),
        *_uncertainty_charts(groups, look),
        (Markup(figures.residuals(_residuals(groups), look)), RESIDUALS),
        (Markup(figures.times(_seconds(groups), look)), TIMES),
    ]


def _band_charts(groups: Groups, wavelength: Wavelengths, look: figures.Look) -> Iterator[tuple[Markup, str]]:
    """Draw the metrics whose values over the bands are kept and drawn."""
    for metric in METRICS:
        curves = mean_curves(groups, metric.name) if metric.chart else {}
        if not curves:
            continue
        column, log = Column.of(metric), metric.chart == "log"
        svg = figures.band_curves(curves, wavelength, column.axis, look, log=log)
        axis = ", on a logarithmic axis" if log else ""
        yield Markup(svg), f"{column.label} of each band, mean over seeds{axis}; {column.better}."


def _uncertainty_charts(groups: Groups, look: figures.Look) -> Charts:
    """Draw coverage and spread of the methods that give a standard deviation."""
    curves = {
        label: kept
        for label, group in groups.items()
        if (kept := [run["uncertainty"] for run in group if run.get("uncertainty")])
    }
    if not curves:
        return []
    nominal, coverage, predicted, actual = (
        {label: np.mean([curve[key] for curve in kept], axis=0) for label, kept in curves.items()}
        for key in ("nominal", "coverage", "predicted", "found")
    )
    return [
        (Markup(figures.coverage(nominal, coverage, look)), COVERAGE),
        (Markup(figures.spreads(predicted, actual, look)), SPREAD),
    ]


def _residuals(groups: Groups) -> dict[str, tuple[list[float], list[float]]]:
    return {
        label: (_values(group, "metrics", "residual_hsi"), _values(group, "metrics", "residual_msi"))
        for label, group in groups.items()
    }


def _seconds(groups: Groups) -> dict[str, dict[str, float]]:
    return {
        label: {
            part: float(np.mean(_values(group, "seconds", part)))
            for part in ("estimate", "train", "fuse", "io")
        }
        for label, group in groups.items()
    }


def _values(group: Sequence[Run], part: str, key: str) -> list[float]:
    return [number(run[part].get(key)) for run in group]


def mean_curves(groups: Groups, key: str) -> dict[str, Floats]:
    """Average the values over the bands of each method's runs; methods without them are left out.

    Parameters
    ----------
    groups : dict of sequence of dict
        Runs of each method.
    key : str
        Name of the metric.
    """
    kept = {
        label: [run["per_band"][key] for run in group if key in run["per_band"]]
        for label, group in groups.items()
    }
    return {
        label: np.mean([[number(value) for value in curve] for curve in curves], axis=0)
        for label, curves in kept.items()
        if curves
    }
