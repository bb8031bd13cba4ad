"""R and the PSF of a pair by turns: each from the other, until the PSF stays.

The fixed point is reached with Aitken's relaxation (Küttler and Wall 2008), since plain turns close
in slowly where the scene has few pixels. Starts near the truth within a LR pixel. Judging the result
is not done here.
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
TOLERANCE = 2e-4  # LR pixels that FWHM and shift move in a turn
CHOICES = 2  # turns in which the smoothness of R is chosen anew
RELAXATION = (0.5, 6.0)  # bounds of Aitken's factor
KERNEL_TURNS = 3


@dataclass(frozen=True)
class Task:
    """What is estimated.

    Attributes
    ----------
    spectral : {"given", "calibrated", "estimated"}
    spatial : {"given", "gaussian", "separable", "free"}
    support : (c, C) bool
        Where R may differ from zero.
    offset : bool
        Whether an MSI band may have an offset.
    """

    spectral: Spectral
    spatial: Spatial
    support: NDArray[np.bool_]
    offset: bool


@dataclass(frozen=True)
class State:
    """The responses at a turn: ``H(Y) = gain * R X + offset``.

    Attributes
    ----------
    spectral : (c, C) float64
        R.
    gain, offset : (c,) float64
    spatial : SpatialResponse
    theta : (3,) float64
        FWHM and shift of the Gaussian PSF that fits best.
    weight : (c,) float64 or None
        Smoothness of R, once chosen.
    kernel_weight : float or None
        Smoothness of the kernel, once chosen.
    """

    spectral: Array
    gain: Array
    offset: Array
    spatial: SpatialResponse
    theta: Array
    weight: Array | None = None
    kernel_weight: float | None = None

    def predict(self, hsi: Array) -> Array:
        """H(Y) (c, n) of spectra (C, n)."""
        return self.gain[:, None] * (self.spectral @ hsi) + self.offset[:, None]


def start_from(spectral: Array, spatial: SpatialResponse) -> State:
    """The state before anything is estimated."""
    bands = len(spectral)
    theta = np.clip([spatial.fwhm or 1.0, *spatial.shift], *bounds(spatial.ratio))
    return State(spectral, np.ones(bands), np.zeros(bands), spatial, theta)


def alternate(sample: PairSample, task: Task, state: State, progress: Progress) -> State:
    """Turns from a state to the fixed point; where R or the PSF is given, a single one."""
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
        found = fit_gaussian(sample, state.spectral @ sample.hsi, state.theta, task.offset)
        moved = found - state.theta
        progress("responses", turn, TURNS, float(np.abs(moved).max()))
        if task.spectral != "estimated" or np.abs(moved).max() < TOLERANCE:
            state = replace(state, theta=found)
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
    """R, gain and offset of the state's PSF."""
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
