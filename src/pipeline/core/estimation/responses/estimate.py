"""Responses of a pair with their errors and their goodness of fit on held-out pixels.

Every fold of blocks is predicted by responses fitted without it; how far these differ gives the
standard errors (the block jackknife, Künsch 1989). No reference is involved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.estimation.noise_levels import MatchedPixels, estimate_hsi_noise
from pipeline.core.estimation.responses.alternation import (
    Spatial,
    Spectral,
    State,
    Task,
    alternate,
    start_from,
)
from pipeline.core.estimation.responses.gaussian import bounds
from pipeline.core.estimation.responses.goodness import hr_noise, warnings_of
from pipeline.core.estimation.responses.sample import PairSample, read_sample
from pipeline.core.estimation.responses.shape import centre_of, width_of
from pipeline.core.rounding import correlations
from pipeline.core.sensing.observation import ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError

Array = NDArray[np.float64]

BOUND = 0.01  # LR pixels within which a parameter counts as at its bound


@dataclass(frozen=True)
class Responses:
    """What is known of two sensors: ``H(Y_i) = gain_i (R X)_i + offset_i``.

    Errors are standard errors. Figures of fit are those of pixels that were not fitted.

    Attributes
    ----------
    spectral_response : (c, C) float64
        R; estimated rows sum to one.
    spatial_response : SpatialResponse
        H.
    gain, offset : (c,) float64
        ``(Y - offset) / gain`` is in the HSI's units.
    gain_error, offset_error : (c,) float64
    fwhm, fwhm_error : (2,) float64
        Of the PSF's profile along rows and columns, in LR pixels.
    centre, centre_error : (2,) float64
        Of the PSF against the LR pixel's place on the HR grid, in LR pixels.
    correlation : (c,) float64
        Of H(Y) with its prediction from X; 0 where one of them is constant.
    residual : (c,) float64
        Root mean square of their difference, in the units of Y.
    excess : (c,) float64
        The residual over what the noise of both images explains of it.
    coverage : (c,) float64 or None
        Share of each MSI band's SRF that the HSI's bands see, where known.
    warnings : tuple of str
        Bands that the HSI does not cover or whose fit is bad, and a PSF at the search's bounds.
    """

    spectral_response: Array
    spatial_response: SpatialResponse
    gain: Array
    offset: Array
    gain_error: Array
    offset_error: Array
    fwhm: Array
    fwhm_error: Array
    centre: Array
    centre_error: Array
    correlation: Array
    residual: Array
    excess: Array
    coverage: Array | None
    warnings: tuple[str, ...]


def estimate_responses(
    scene: ObservedScene,
    *,
    spectral: Spectral = "estimated",
    spatial: Spatial = "gaussian",
    support: NDArray[np.bool_] | None = None,
    offset: bool = False,
    coverage: Array | None = None,
    names: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> Responses:
    """Estimate what is asked for from the pair alone.

    Parameters
    ----------
    scene : ObservedScene
        Its spectral response is taken as given where R is not estimated. Its spatial response is H
        where that is given, and else where the search begins: within about an LR pixel of the true
        shift. Its noise levels are not used.
    spectral : {"given", "calibrated", "estimated"}
        R as given, R as given with gains fitted, or R and gains estimated.
    spatial : {"given", "gaussian", "separable", "free"}
        H as given, a Gaussian of free width and shift, or a kernel around that Gaussian's centre.
    support : (c, C) bool, optional
        Where an estimated R may differ from zero; default everywhere.
    offset : bool
        Whether each MSI band has an offset.
    coverage : (c,), optional
        Share of each MSI band's SRF that the HSI sees, see `srf_coverage`; passed on, with warnings.
    names : sequence of str, optional
        The MSI's bands in warnings; default: their numbers.
    progress : callable

    Raises
    ------
    InputError
        Too few LR pixels with data in both images; a band that no response explains.
    """
    shape = scene.hr_msi.shape[0], scene.bands
    if support is None:
        support = np.ones(shape, np.bool_)
    if support.shape != shape or not support.any(axis=1).all():
        raise InputError(
            f"support: expected {shape} values with one or more HSI bands per MSI band, got {support.shape}"
        )
    sample = read_sample(scene, progress)
    task = Task(spectral, spatial, support, offset)
    start = start_from(scene.spectral_response, scene.spatial_response)
    state = alternate(sample, task, start, progress)
    noise_gain = state.spatial.noise_gain(*scene.hr_shape)
    numbers = [str(band) for band in range(shape[0])]
    return _judged(sample, task, state, noise_gain, coverage, names or numbers, progress)


def _judged(
    sample: PairSample,
    task: Task,
    state: State,
    noise_gain: float,
    coverage: Array | None,
    names: Sequence[str],
    progress: Progress,
) -> Responses:
    """The state with its errors and goodness of fit."""
    seen, predicted, figures = [], [], []
    for done, fold in enumerate(sample.folds, start=1):
        fitted, held = sample.split(fold)
        refit = alternate(fitted, task, state, no_progress)
        seen.append(held.degraded(refit.spatial))
        predicted.append(refit.predict(held.hsi))
        figures.append(_figures(refit))
        progress("held out", done, len(sample.folds))
    msi, told = np.concatenate(seen, axis=1), np.concatenate(predicted, axis=1)
    bands = len(msi)
    correlation = correlations(msi, told)
    residual = np.sqrt(np.square(msi - told).mean(axis=1))
    sigma = estimate_hsi_noise(MatchedPixels(sample.hsi, msi, 1.0))
    of_msi = noise_gain * hr_noise(sample) ** 2
    excess = residual / np.sqrt(state.gain**2 * (np.square(state.spectral) @ sigma**2) + of_msi)
    whole = np.split(_figures(state), [2, 4, 4 + bands])
    errors = np.split(np.sqrt((len(figures) - 1) * np.var(figures, axis=0)), [2, 4, 4 + bands])
    return Responses(
        state.spectral,
        state.spatial,
        state.gain,
        state.offset,
        errors[2],
        errors[3],
        whole[0],
        errors[0],
        whole[1],
        errors[1],
        correlation,
        residual,
        excess,
        coverage,
        (*warnings_of(names, correlation, excess, coverage), *_bounds_reached(task, state)),
    )


def _bounds_reached(task: Task, state: State) -> Iterator[str]:
    """One line for each of the PSF's parameters that the search did not find inside its bounds."""
    if task.spatial != "given":
        names = ("FWHM", "shift along rows", "shift along columns")
        for name, value, low, high in zip(names, state.theta, *bounds(state.spatial.ratio), strict=True):
            if min(value - low, high - value) < BOUND:
                yield (
                    f"PSF: {name} of {value:.2f} LR pixels is at the bounds of the search, "
                    f"{low:g} to {high:g}; align the images first"
                )


def _figures(state: State) -> Array:
    """FWHM and centre along rows and columns, gains and offsets in one vector."""
    return np.concatenate([width_of(state.spatial), centre_of(state.spatial), state.gain, state.offset])
