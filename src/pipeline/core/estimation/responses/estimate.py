"""Responses of a pair, with standard errors and goodness of fit on held-out pixels.

Every fold of blocks is predicted by responses that were fitted to the others. The differences of these fits
give the standard errors (block jackknife, Künsch 1989). No reference is used.
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

BOUND = 0.01  # LR pixels from its bound within which a parameter counts as at the bound


@dataclass(frozen=True)
class Responses:
    """Responses of two sensors: ``H(Y_i) = gain_i (R X)_i + offset_i``.

    Goodness of fit is computed on held-out pixels.

    Attributes
    ----------
    spectral_response : (c, C) float64
        R; estimated rows sum to 1.
    spatial_response : SpatialResponse
        H.
    gain, offset : (c,) float64
        Gain and offset of each MSI band: ``(Y - offset) / gain`` is in the HSI's units.
    gain_error, offset_error : (c,) float64
        Standard errors of gain and offset.
    fwhm, fwhm_error : (2,) float64
        Full width at half maximum of the PSF along rows and columns in LR pixels, with standard error.
    centre, centre_error : (2,) float64
        Centre of the PSF relative to the LR pixel's position on the HR grid in LR pixels, with standard
        error.
    correlation : (c,) float64
        Correlation of H(Y) with its prediction from X; 0 if either is constant.
    residual : (c,) float64
        Root mean square of their difference, in the units of Y.
    excess : (c,) float64
        Ratio of the residual to the residual expected from the noise of both images.
    coverage : (c,) float64 or None
        Fraction of each MSI band's SRF covered by the HSI's bands, if known.
    warnings : tuple of str
        Bands that the HSI does not cover or whose fit is poor, and a PSF at the bounds of the search.
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
    """Estimate the responses from the pair alone.

    Parameters
    ----------
    scene : ObservedScene
        The pair. Its spectral response is R unless R is estimated. Its spatial response is H if that is
        given; else the search starts there, which must be within about an LR pixel of the true shift. Its
        noise levels are not used.
    spectral : {"given", "calibrated", "estimated"}
        R as given, R as given with gains fitted, or R and gains estimated.
    spatial : {"given", "gaussian", "separable", "free"}
        H as given, a Gaussian of free width and shift, or a kernel around that Gaussian's centre.
    support : (c, C) bool, optional
        Mask of the values of R that may differ from zero if R is estimated; default: all.
    offset : bool
        Whether each MSI band has an offset.
    coverage : (c,), optional
        Fraction of each MSI band's SRF covered by the HSI (`srf_coverage`); copied to the result, and
        mentioned in warnings if it is low.
    names : sequence of str, optional
        Names of the MSI bands in warnings; default: their numbers.
    progress : callable
        Receives the phase and the number of finished steps.

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
    held_out = _predict_held_out(sample, task, state, progress)
    excess = _excess(sample, state, held_out, state.spatial.noise_gain(*scene.hr_shape))
    names = names or [str(band) for band in range(shape[0])]
    warnings = *warnings_of(names, held_out.correlation, excess, coverage), *_bounds_reached(task, state)
    return _responses(state, held_out, excess, coverage, warnings)


def _responses(
    state: State, held_out: HeldOut, excess: Array, coverage: Array | None, warnings: tuple[str, ...]
) -> Responses:
    """Put together the responses, their standard errors and their goodness of fit."""
    bands = len(state.gain)
    fwhm, centre, _, _ = _split(_parameters(state), bands)
    fwhm_error, centre_error, gain_error, offset_error = _split(held_out.standard_errors, bands)
    return Responses(
        spectral_response=state.spectral,
        spatial_response=state.spatial,
        gain=state.gain,
        offset=state.offset,
        gain_error=gain_error,
        offset_error=offset_error,
        fwhm=fwhm,
        fwhm_error=fwhm_error,
        centre=centre,
        centre_error=centre_error,
        correlation=held_out.correlation,
        residual=held_out.residual,
        excess=excess,
        coverage=coverage,
        warnings=warnings,
    )


@dataclass(frozen=True)
class HeldOut:
    """Predictions of each fold by responses that were fitted to the other folds.

    Attributes
    ----------
    degraded : (c, n) float64
        H(Y) at the pixels of all folds.
    predicted : (c, n) float64
        The same predicted from X.
    parameters : (folds, 4 + 2 c) float64
        Width and centre of the PSF, gains and offsets of each fit.
    """

    degraded: Array
    predicted: Array
    parameters: Array

    @property
    def correlation(self) -> Array:
        """Correlation ``(c,)`` of both."""
        return correlations(self.degraded, self.predicted)

    @property
    def residual(self) -> Array:
        """Root mean square ``(c,)`` of the difference."""
        return np.asarray(np.sqrt(np.square(self.degraded - self.predicted).mean(axis=1)))

    @property
    def standard_errors(self) -> Array:
        """Standard errors ``(4 + 2 c,)`` of the parameters, by the jackknife."""
        # fits to all but one of k folds differ by far less than independent fits: hence the factor k - 1
        return np.asarray(np.sqrt((len(self.parameters) - 1) * np.var(self.parameters, axis=0)))


def _predict_held_out(sample: PairSample, task: Task, state: State, progress: Progress) -> HeldOut:
    """Fit the responses without each fold, starting at the fit to all folds, and predict that fold."""
    degraded, predicted, parameters = [], [], []
    for done, fold in enumerate(sample.folds, start=1):
        fitted, held = sample.split(fold)
        refit = alternate(fitted, task, state, no_progress)
        degraded.append(held.degraded(refit.spatial))
        predicted.append(refit.predict(held.hsi))
        parameters.append(_parameters(refit))
        progress("held out", done, len(sample.folds))
    return HeldOut(np.concatenate(degraded, axis=1), np.concatenate(predicted, axis=1), np.array(parameters))


def _excess(sample: PairSample, state: State, held_out: HeldOut, noise_gain: float) -> Array:
    """Return the ratio ``(c,)`` of the residual to the residual expected from noise."""
    sigma = estimate_hsi_noise(MatchedPixels.complete(sample.hsi, held_out.degraded, 1.0))
    of_hsi = state.gain**2 * (np.square(state.spectral) @ sigma**2)
    of_msi = noise_gain * hr_noise(sample) ** 2
    return held_out.residual / np.sqrt(of_hsi + of_msi)


def _bounds_reached(task: Task, state: State) -> Iterator[str]:
    """Yield a warning for each parameter of the PSF that is at the bounds of the search."""
    if task.spatial != "given":
        names = ("FWHM", "shift along rows", "shift along columns")
        for name, value, low, high in zip(names, state.theta, *bounds(state.spatial.ratio), strict=True):
            if min(value - low, high - value) < BOUND:
                yield (
                    f"PSF: {name} of {value:.2f} LR pixels is at the bounds of the search, "
                    f"{low:g} to {high:g}; align the images first"
                )


def _parameters(state: State) -> Array:
    """Return width and centre of the PSF along rows and columns, gains and offsets as a vector."""
    return np.concatenate([width_of(state.spatial), centre_of(state.spatial), state.gain, state.offset])


def _split(parameters: Array, bands: int) -> list[Array]:
    """Split a vector of parameters into width, centre, gains and offsets."""
    return np.split(parameters, [2, 4, 4 + bands])
