"""R and the PSF of a pair in turn, each estimated from the other, until the PSF converges.

The fixed point is found with Aitken's relaxation (Küttler and Wall 2008), because plain turns converge slowly
for scenes with few pixels. The start must be within an LR pixel of the true shift.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.estimation.responses.gaussian import bounds, fit_gaussian, gaussian
from pipeline.core.estimation.responses.kernels import choose_weight, fit_kernel, quadratics
from pipeline.core.estimation.responses.sample import PairSample
from pipeline.core.estimation.responses.spectral import (
    calibrate,
    choose_weights,
    fit_rows,
    moments_of,
    unexplained,
)
from pipeline.core.rounding import FLAT_POWER
from pipeline.core.sensing.observation import Progress
from pipeline.core.sensing.spatial import SpatialResponse

Array = NDArray[np.float64]
Spectral = Literal["given", "calibrated", "estimated"]
Spatial = Literal["given", "gaussian", "separable", "free"]

TURNS = 40
TOLERANCE = 2e-4  # LR pixels by which FWHM and shift change in a turn when they have converged
CHOICES = 2  # turns in which the smoothness of R is chosen; later changes would keep the PSF moving
RELAXATION = (0.5, 6.0)  # bounds of Aitken's factor
KERNEL_TURNS = 3


@dataclass(frozen=True)
class Task:
    """Responses to estimate.

    Attributes
    ----------
    spectral : {"given", "calibrated", "estimated"}
        R as given, R as given with fitted gains, or R and gains estimated.
    spatial : {"given", "gaussian", "separable", "free"}
        H as given, a Gaussian of free width and shift, or a kernel around that Gaussian's centre.
    support : (c, C) bool
        Mask of the values of R that may differ from zero.
    offset : bool
        Whether an MSI band may have an offset.
    """

    spectral: Spectral
    spatial: Spatial
    support: NDArray[np.bool_]
    offset: bool


@dataclass(frozen=True)
class State:
    """The responses after a turn: ``H(Y) = gain * R X + offset``.

    Attributes
    ----------
    spectral : (c, C) float64
        R.
    gain, offset : (c,) float64
        Gain and offset of each MSI band.
    spatial : SpatialResponse
        H.
    theta : (3,) float64
        FWHM and shift of the best-fitting Gaussian PSF.
    weight : (c,) float64 or None
        Weight of the smoothness of R, once chosen.
    kernel_weight : float or None
        Weight of the smoothness of the kernel, once chosen.
    """

    spectral: Array
    gain: Array
    offset: Array
    spatial: SpatialResponse
    theta: Array
    weight: Array | None = None
    kernel_weight: float | None = None

    def predict(self, hsi: Array) -> Array:
        """Predict H(Y) ``(c, n)`` from spectra ``(C, n)``."""
        return self.gain[:, None] * (self.spectral @ hsi) + self.offset[:, None]


def start_from(spectral: Array, spatial: SpatialResponse) -> State:
    """Return the state before the first turn.

    Parameters
    ----------
    spectral : (c, C) float64
        R.
    spatial : SpatialResponse
        H, with the ratio.
    """
    bands = len(spectral)
    theta = np.clip([spatial.fwhm or 1.0, *spatial.shift], *bounds(spatial.ratio))
    return State(spectral, np.ones(bands), np.zeros(bands), spatial, theta)


def alternate(sample: PairSample, task: Task, state: State, progress: Progress) -> State:
    """Estimate R and H in turn, from a state to the fixed point.

    Parameters
    ----------
    sample : PairSample
        LR pixels of the pair.
    task : Task
        Responses to estimate.
    state : State
        Start of the turns.
    progress : callable
        Receives the number of turns and the last change.
    """
    if task.spatial == "given":
        return spectral_turn(sample, task, state)
    state = _gaussian_turns(sample, task, state, progress)
    if task.spatial == "gaussian":
        return state
    for turn in range(1, KERNEL_TURNS + 1):
        state = spectral_turn(sample, task, _kernel_turn(sample, task, state))
        progress("kernel", turn, KERNEL_TURNS)
    return state


def _gaussian_turns(sample: PairSample, task: Task, state: State, progress: Progress) -> State:
    factor, before = 1.0, np.zeros(3)
    choices = CHOICES if state.weight is None else 0
    for turn in range(1, TURNS + 1):
        state = replace(state, spatial=gaussian(state.theta, sample))
        state = spectral_turn(sample, task, state, choose=turn <= choices)
        fitted = fit_gaussian(sample, state.spectral @ sample.hsi, state.theta, task.offset)
        moved = fitted - state.theta
        progress("responses", turn, TURNS, float(np.abs(moved).max()))
        if task.spectral != "estimated" or np.abs(moved).max() < TOLERANCE:
            state = replace(state, theta=fitted)
            break
        if turn > choices + 1:
            bend = moved - before
            if bend.any():  # else the search stays at its bounds
                factor = float(np.clip(-factor * (before @ bend) / (bend @ bend), *RELAXATION))
        state = replace(state, theta=np.clip(state.theta + factor * moved, *bounds(sample.ratio)))
        before = moved
    state = replace(state, spatial=gaussian(state.theta, sample))
    return spectral_turn(sample, task, state)


def spectral_turn(sample: PairSample, task: Task, state: State, choose: bool = False) -> State:
    """Estimate R, gain and offset for the state's PSF.

    Parameters
    ----------
    sample : PairSample
        LR pixels of the pair.
    task : Task
        Responses to estimate.
    state : State
        State whose PSF is taken as known.
    choose : bool
        Whether the smoothness of R is chosen again.
    """
    if task.spectral == "given":
        return state
    degraded = sample.degraded(state.spatial)
    if task.spectral == "estimated":
        state = _with_rows(sample, degraded, task, state, choose)
    gain, offset = calibrate(state.spectral @ sample.hsi, degraded, task.offset)
    return replace(state, gain=gain, offset=offset)


def _with_rows(sample: PairSample, degraded: Array, task: Task, state: State, choose: bool) -> State:
    weight = state.weight
    if weight is None or choose:
        weight = choose_weights(sample.hsi, degraded, sample.fold, task.support, task.offset)
    rows, _ = fit_rows(moments_of(sample.hsi, degraded), weight, task.support, task.offset)
    return replace(state, spectral=rows / rows.sum(axis=1, keepdims=True), weight=weight)


def _kernel_turn(sample: PairSample, task: Task, state: State) -> State:
    matched, centred = state.spectral @ sample.hsi, gaussian(state.theta, sample)
    left = unexplained(matched, sample.degraded(centred), task.offset)
    power = np.maximum(np.square(left).mean(axis=1), FLAT_POWER * np.square(matched).mean(axis=1))
    variance = state.gain**2 * power
    forms = quadratics(sample, state.predict(sample.hsi), variance, centred)
    separable = task.spatial == "separable"
    weight = state.kernel_weight or choose_weight(forms, separable)
    kernel = fit_kernel(forms, weight, separable)
    response = SpatialResponse.from_psf(kernel, ratio=sample.ratio).shifted(*centred.shift)
    return replace(state, spatial=response, kernel_weight=weight)
