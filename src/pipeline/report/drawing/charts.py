"""A comparison's charts with their captions: curves over bands, distributions, residuals, times.

Takes the numbers from the runs and hands them to `figures`; no drawing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from pipeline.report.drawing import figures
from pipeline.report.drawing.pictures import Floats, Wavelengths
from pipeline.report.numbers.tables import Run, number

PSNR = "PSNR of each band, mean over seeds; higher is better."
RMSE = "RMSE of each band, mean over seeds, on a logarithmic axis; lower is better."
SSIM = "SSIM of each band, mean over seeds; higher is better."
SAM = (
    "Spectral angle: the share of pixels whose SAM is below a value, on a logarithmic axis; further left is "
    "better. SAM compares whole spectra, so it has one value per pixel and none per band. Of a scene with "
    "over a million pixels, about a million are drawn evenly."
)
RESIDUALS = (
    "Residuals: how far the fused cube, seen through the sensors' responses, is from the observation, in "
    "units of the noise level; a point for each seed. At 1 (dashed) it explains the observation down to its "
    "noise, above it contradicts the observation, below it also fits the noise."
)
COVERAGE = (
    "Share of the reference's values that lie in the intervals of a nominal coverage, mean over seeds, of "
    "the methods that give a standard deviation. On the dashed line the intervals are honest, below it they "
    "are too narrow."
)
SPREAD = (
    "RMS error against RMS standard deviation of squares of 8 × 8 pixels, in ten groups of equal size, mean "  # noqa: RUF001
    "over seeds. On the dashed line the deviation is as large as the error; what rises is told where to look."
)
TIMES = (
    "Wall time of each phase, mean over seeds, on a logarithmic axis; a phase that takes no time is left out."
)


def charts(
    runs: Sequence[Run],
    labels: Sequence[str],
    sam_shares: Mapping[str, Floats],
    wavelength: Wavelengths,
    look: figures.Look,
) -> list[tuple[Markup, str]]:
    """SVG and caption of each chart; `sam_shares` are quantiles of the spectral angle at equal steps.

    Where no run was compared with a reference, no chart needs one.
    """
    groups = {label: [run for run in runs if run["label"] == label] for label in labels}
    psnr, rmse, ssim = (mean_curves(groups, key) for key in ("psnr", "rmse", "ssim"))
    residuals = {
        label: (_values(group, "metrics", "residual_hsi"), _values(group, "metrics", "residual_msi"))
        for label, group in groups.items()
    }
    seconds = {
        label: {
            part: float(np.mean(_values(group, "seconds", part)))
            for part in ("estimate", "train", "fuse", "io")
        }
        for label, group in groups.items()
    }
    drawn = []
    if psnr:  # else there is no reference
        drawn = [
            (figures.band_curves(psnr, wavelength, "PSNR [dB]", look), PSNR),
            (figures.band_curves(rmse, wavelength, "RMSE [scene values]", look, log=True), RMSE),
            (figures.band_curves(ssim, wavelength, "SSIM", look), SSIM),
            (figures.sam_distribution(sam_shares, look), SAM),
        ]
    sure = {
        label: found
        for label, group in groups.items()
        if (found := [run["uncertainty"] for run in group if run.get("uncertainty")])
    }
    if sure:
        means = {
            key: {label: np.mean([run[key] for run in found], axis=0) for label, found in sure.items()}
            for key in ("nominal", "coverage", "predicted", "found")
        }
        drawn.append((figures.coverage(means["nominal"], means["coverage"], look), COVERAGE))
        drawn.append((figures.spreads(means["predicted"], means["found"], look), SPREAD))
    drawn.append((figures.residuals(residuals, look), RESIDUALS))
    drawn.append((figures.times(seconds, look), TIMES))
    return [(Markup(svg), caption) for svg, caption in drawn]


def _values(group: Sequence[Run], part: str, key: str) -> list[float]:
    return [number(run[part].get(key)) for run in group]


def mean_curves(groups: Mapping[str, Sequence[Run]], key: str) -> dict[str, Floats]:
    """A measure of each band, mean over each method's runs; a method without it is left out."""
    found = {
        label: [run["per_band"][key] for run in group if key in run["per_band"]]
        for label, group in groups.items()
    }
    return {
        label: np.mean([[number(value) for value in curve] for curve in curves], axis=0)
        for label, curves in found.items()
        if curves
    }
