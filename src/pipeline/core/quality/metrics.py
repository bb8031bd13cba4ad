"""The table of metrics, from which `metrics.json`, `summary.csv`, the report and the documentation are made.

A further entry of `METRICS` is computed by the step `evaluate`, has a column in the summary and in the
report, and a line in the documentation.

>>> import numpy as np
>>> x = np.random.default_rng(0).random((4, 40, 40))
>>> values = evaluate(x, x + 0.01, ratio=4)
>>> round(values["rmse"], 6), round(values["psnr_peak1"], 6), values["sam_skipped"]
(0.01, 40.0, 0)
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from pipeline.core.quality.blockwise import Mapped
from pipeline.core.quality.comparison import Array, Comparison, Scores, compare, mean
from pipeline.core.quality.metric import Metric, numbers
from pipeline.core.quality.no_reference import Distortions
from pipeline.core.quality.partial_scores import PixelFunction
from pipeline.core.quality.reliability import Reliability
from pipeline.core.quality.residuals import Residuals

METRICS: list[Metric[Any]] = [
    Metric(
        name="psnr",
        title="PSNR",
        unit="dB",
        direction="higher",
        digits=".2f",
        formula="mean over bands of 10 log10(max_b^2 / MSE_b), at most 140 dB per band; bands without a "
        "positive maximum are left out",
        of=Comparison,
        score=lambda comparison: mean(comparison.psnr),
        per_band=lambda comparison: comparison.psnr,
        chart="linear",
    ),
    Metric(
        name="psnr_peak1",
        title="PSNR peak 1",
        unit="dB",
        direction="higher",
        digits=".2f",
        formula="mean over bands of 10 log10(1 / MSE_b), at most 140 dB per band",
        of=Comparison,
        score=lambda comparison: mean(comparison.psnr_of_peak_1),
    ),
    Metric(
        name="sam",
        title="SAM",
        unit="°",
        direction="lower",
        digits=".3f",
        formula="mean over pixels of the angle between the spectra of reference and cube; pixels with a zero "
        "spectrum are left out",
        of=Comparison,
        score=lambda comparison: comparison.sam,
    ),
    Metric(
        name="sam_skipped",
        title="Without angle",
        unit="pixels",
        direction=None,
        digits=".0f",
        formula="pixels that SAM leaves out since a spectrum is zero",
        of=Comparison,
        score=lambda comparison: comparison.pixels_without_angle,
        listed=False,
    ),
    Metric(
        name="ergas",
        title="ERGAS",
        unit="",
        direction="lower",
        digits=".3f",
        formula="100 / ratio sqrt(mean over bands of MSE_b / mean_b^2); bands whose mean is zero are "
        "left out",
        of=Comparison,
        score=lambda comparison: comparison.ergas,
    ),
    Metric(
        name="ssim",
        title="SSIM",
        unit="",
        direction="higher",
        digits=".4f",
        formula="mean over bands of the structural similarity in uniform windows of 7x7 pixels, with "
        "the range "
        "of the reference's band; bands in which the reference is constant are left out",
        of=Comparison,
        score=lambda comparison: mean(comparison.window_scores[0]),
        per_band=lambda comparison: comparison.window_scores[0],
        chart="linear",
    ),
    Metric(
        name="ssim_gaussian",
        title="SSIM, Gaussian",
        unit="",
        direction="higher",
        digits=".4f",
        formula="like SSIM, with Gaussian windows of 11x11 pixels (sigma 1.5)",
        of=Comparison,
        score=lambda comparison: mean(comparison.window_scores[1]),
        listed=False,
    ),
    Metric(
        name="uiqi",
        title="UIQI",
        unit="",
        direction="higher",
        digits=".4f",
        formula="mean over bands and windows of 8x8 pixels of the universal image quality index",
        of=Comparison,
        score=lambda comparison: mean(comparison.window_scores[2]),
    ),
    Metric(
        name="q2n",
        title="Q2n",
        unit="",
        direction="higher",
        digits=".4f",
        formula="mean over blocks of 32x32 pixels of the hypercomplex quality index, mirrored at the border",
        of=Comparison,
        score=lambda comparison: comparison.q2n,
    ),
    Metric(
        name="cc",
        title="CC",
        unit="",
        direction="higher",
        digits=".4f",
        formula="mean over bands of Pearson's correlation, 0 where only the cube is constant; bands in which "
        "the reference is constant are left out",
        of=Comparison,
        score=lambda comparison: mean(comparison.correlation),
        per_band=lambda comparison: comparison.correlation,
    ),
    Metric(
        name="rmse",
        title="RMSE",
        unit="scene values",
        direction="lower",
        digits="#.3g",
        formula="root mean square error over all bands and pixels",
        of=Comparison,
        score=lambda comparison: comparison.rmse,
        per_band=lambda comparison: comparison.band_rmse,
        chart="log",
    ),
    Metric(
        name="pixels_skipped",
        title="Without data",
        unit="pixels",
        direction=None,
        digits=".0f",
        formula="pixels that are NaN in some band of reference or cube",
        of=Comparison,
        score=lambda comparison: comparison.pixels_without_data,
        listed=False,
    ),
    Metric(
        name="residual_hsi",
        title="Residual HSI",
        unit="noise levels",
        direction="near 1",
        digits=".2f",
        formula="RMS of X - H(Z) over the RMS noise level of its bands",
        of=Residuals,
        score=lambda residuals: residuals.hsi.level,
        per_band=lambda residuals: numbers(residuals.hsi.spectrum),
    ),
    Metric(
        name="residual_msi",
        title="Residual MSI",
        unit="noise levels",
        direction="near 1",
        digits=".2f",
        formula="RMS of Y - R Z over the RMS noise level of its bands",
        of=Residuals,
        score=lambda residuals: residuals.msi.level,
        per_band=lambda residuals: numbers(residuals.msi.spectrum),
    ),
    Metric(
        name="bias_hsi",
        title="Bias HSI",
        unit="noise levels",
        direction=None,
        digits=".2f",
        formula="mean over pixels of X - H(Z) over the noise level of the band, of each band",
        of=Residuals,
        per_band=lambda residuals: numbers(residuals.hsi.bias),
        listed=False,
    ),
    Metric(
        name="bias_msi",
        title="Bias MSI",
        unit="noise levels",
        direction=None,
        digits=".2f",
        formula="mean over pixels of Y - R Z over the noise level of the band, of each band",
        of=Residuals,
        per_band=lambda residuals: numbers(residuals.msi.bias),
        listed=False,
    ),
    Metric(
        name="d_lambda",
        title="D_λ",
        unit="",
        direction="lower",
        digits=".4f",
        formula="mean over pairs of HSI bands of |Q(X_l, X_r) - Q(Z_l, Z_r)|, with Q the mean of UIQI over "
        "windows of 8x8 LR pixels",
        of=Distortions,
        score=lambda distortions: distortions.d_lambda,
    ),
    Metric(
        name="d_s",
        title="D_s",
        unit="",
        direction="lower",
        digits=".4f",
        formula="mean over HSI bands of |Q(X_b, H(Y_m)) - Q(Z_b, Y_m)|, with m the MSI band that "
        "covers b best",
        of=Distortions,
        score=lambda distortions: distortions.d_s,
    ),
    Metric(
        name="d_lambda_khan",
        title="D_λ (Khan)",
        unit="",
        direction="lower",
        digits=".4f",
        formula="1 - Q2n(X, H(Z))",
        of=Distortions,
        score=lambda distortions: distortions.d_lambda_khan,
        listed=False,
    ),
    Metric(
        name="qnr",
        title="QNR",
        unit="",
        direction="higher",
        digits=".4f",
        formula="(1 - D_λ) (1 - D_s)",
        of=Distortions,
        score=lambda distortions: distortions.qnr,
    ),
    Metric(
        name="hqnr",
        title="HQNR",
        unit="",
        direction="higher",
        digits=".4f",
        formula="(1 - D_λ (Khan)) (1 - D_s)",
        of=Distortions,
        score=lambda distortions: distortions.hqnr,
    ),
    Metric(
        name="coverage_90",
        title="In 90 % interval",
        unit="share",
        direction=None,
        digits=".3f",
        formula="fraction of the reference's values within 1.645 standard deviations of the cube; 0.9 "
        "is right",
        of=Reliability,
        score=lambda reliability: reliability.coverage_90,
        per_band=lambda reliability: reliability.band_coverage_90,
    ),
    Metric(
        name="rank_correlation",
        title="Rank correlation",
        unit="of deviation and error",
        direction="higher",
        digits=".2f",
        formula="Spearman's correlation of RMS standard deviation and RMS error of squares of 8x8 pixels",
        of=Reliability,
        score=lambda reliability: reliability.rank_correlation,
    ),
]
"""All metrics, in the order of the columns."""


def metric(name: str, **description: Any) -> Callable[[Callable[[Array, Array], Array]], PixelFunction]:
    """Add a function of reference and fused cube to the table of metrics.

    Parameters
    ----------
    name : str
        Key in `metrics.json` and column of `summary.csv`.
    **description : Any
        `title`, `unit`, `direction`, `digits` and `formula`, as in `Metric`.

    Returns
    -------
    callable
        A decorator for a function of a module. The function takes the spectra ``(C, pixels)`` of reference
        and cube at the valid pixels of a block, in float64, and returns values of any shape. Their mean
        over the scene is the score; NaN is left out.
    """

    def add(function: Callable[[Array, Array], Array]) -> PixelFunction:
        METRICS.append(
            Metric(
                name,
                of=Comparison,
                score=lambda comparison: comparison.pixelwise[function],
                pixelwise=function,
                **description,
            )
        )
        return function

    return add


def pixelwise_functions() -> list[PixelFunction]:
    """List the functions whose means `compare` has to gather."""
    return [entry.pixelwise for entry in METRICS if entry.pixelwise]


def measure(*evidence: Any) -> tuple[dict[str, Any], dict[str, Scores]]:
    """Compute all metrics that follow from the given evidence on a cube.

    Parameters
    ----------
    *evidence : Comparison, Residuals, Distortions or Reliability
        One of each kind at most.

    Returns
    -------
    metrics : dict
        Values by name; None where a metric is not defined.
    per_band : dict
        Values of the bands by name, of the metrics that keep them.
    """
    metrics: dict[str, Any] = {}
    per_band: dict[str, Scores] = {}
    for part in evidence:
        for entry in (entry for entry in METRICS if isinstance(part, entry.of)):
            if entry.score:
                metrics[entry.name] = entry.score(part)
            if entry.per_band and (values := entry.per_band(part)) is not None:
                per_band[entry.name] = values
    return metrics, per_band


def evaluate(
    reference: Any, cube: Any, *, ratio: float | str | Fraction, mapped: Mapped = map
) -> dict[str, Any]:
    """Compute all metrics of a fused cube that need the reference.

    A pixel that is NaN in any band of either cube counts in no metric, nor does any window (SSIM,
    UIQI) or block (Q2n) that holds one.

    Parameters
    ----------
    reference, cube : (C, H, W)
        Arrays as in `pipeline.core.sensing.arrays`, or anything with a shape whose slices are such arrays
        (Zarr); masked values are NaN.
    ratio : rational
        LR pixel size over HR pixel size, for ERGAS.
    mapped : callable
        Like `map`, which is the default; computes the blocks anywhere and yields them in order.

    Returns
    -------
    dict
        Values by the names of `METRICS`, None where a metric is not defined; `per_band` holds lists of the
        bands' values of some of them.

    Raises
    ------
    InputError
        The shapes differ, a cube holds infinite values, or no pixel is valid in all bands of both cubes.
    """
    comparison = compare(reference, cube, ratio=ratio, pixelwise=pixelwise_functions(), mapped=mapped)
    metrics, per_band = measure(comparison)
    return {**metrics, "per_band": per_band}


NEEDS = {
    Comparison: "the reference",
    Residuals: "the observation",
    Distortions: "the observation of a real pair",
    Reliability: "the reference and a standard deviation",
}
"""Input from which each kind of metric is computed, in words."""
BAR = "\\|"  # a bar in a cell of a Markdown table


def markdown_table() -> str:
    """Write the table of metrics as Markdown, for the documentation."""
    lines = ["| metric | name | better | unit | formula | needs | tables |", "|---|---|---|---|---|---|---|"]
    for entry in METRICS:
        better, tables = entry.direction or "", "yes" if entry.listed else "no"
        cells = (entry.title, f"`{entry.name}`", better, entry.unit, entry.formula, NEEDS[entry.of], tables)
        lines.append(f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |")
    return "\n".join(lines)
