"""The weight of the vector total variation, chosen on the observation alone.

Rows of LR pixels are held out, the rest is fused, and H of the result is compared with the held-out pixels.
The weight is chosen by the one-standard-error rule of Breiman et al. 1984.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation, Progress
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.solvers.engine import Engine, array, interpolated
from pipeline.core.solvers.gaussian import data_terms
from pipeline.methods.hysure.vector_tv import fuse_vector_tv, started
from pipeline.methods.pool import drawn_windows

SIDE = 128  # HR pixels: side of the windows that are fused
WINDOWS = 4
EVERY = 4  # every 4th row of LR pixels is held out
ITERATIONS = 30  # for each weight, from the solution of the one before
WEIGHTS = 10 ** np.arange(-1, 2.6, 0.5)  # in units of the noise variance
EXACT = 1e-6  # of the noise variance, below which a difference of squared errors is none

Array = NDArray[np.float64]


def search_windows(pool: list[Observation], seed: int) -> list[Observation]:
    """Draw at most `WINDOWS` squares from the pool."""
    return drawn_windows(pool, seed, "hysure/windows", SIDE, WINDOWS)


def choose_lphi(
    windows: list[Observation],
    basis: Array,
    engine: Engine,
    noise: float,
    penalty: Callable[[float], float],
    progress: Progress,
) -> float:
    """Choose the largest weight whose held-out error is within one standard error of the smallest error.

    The standard error is that of the difference over the same LR pixels. Weights are tried in increasing
    order until the error leaves that range.

    Parameters
    ----------
    windows : list of Observation
        Windows of the scene.
    basis : (d, C)
        E.
    engine : Engine
        Device and type of the images.
    noise : float
        Noise variance of the LR-HSI in units of its data term, about which the weights lie.
    penalty : callable
        From a weight to the penalty of the ADMM.
    progress : callable
        Receives the number of weights tried and the error of the last.

    Returns
    -------
    float
        The weight; `noise` if no window has two rows of LR pixels.
    """
    folds = [Fold(window, basis, engine) for window in windows if window.lr_shape[0] > 1]
    folds = [fold for fold in folds if fold.valid.any()]
    if not folds:
        return noise
    errors: list[Array] = []
    for done, weight in enumerate(noise * WEIGHTS, start=1):
        errors.append(np.concatenate([fold.error(weight, penalty(weight)) for fold in folds]))
        progress("lphi", done, len(WEIGHTS), float(errors[-1].mean()))
        best = min(errors, key=np.mean)
        if not _as_good(errors[-1], best, EXACT * noise):
            break
    good = [_as_good(error, best, EXACT * noise) for error in errors]
    return float(noise * max(weight for weight, is_good in zip(WEIGHTS, good, strict=False) if is_good))


def _as_good(error: Array, best: Array, equal: float) -> bool:
    """Tell whether errors exceed the best ones by at most a standard error of the mean excess.

    An excess up to `equal` counts as none: every weight predicts a constant image exactly.
    """
    excess = error - best
    return bool(excess.mean() <= excess.std() / np.sqrt(excess.size) + equal)


class Fold:
    """Fusion of a window without its held-out rows of LR pixels, and the error there.

    Without whole rows H stays separable, so that the fusion stays exact; without scattered pixels it would
    not.

    Parameters
    ----------
    window : Observation
        Window with at least two rows of LR pixels.
    basis : (d, C)
        E.
    engine : Engine
        Device and type of the images.
    """

    def __init__(self, window: Observation, basis: Array, engine: Engine) -> None:
        held = np.arange(1, window.lr_shape[0], EVERY)
        kept = np.delete(np.arange(window.lr_shape[0]), held)
        lr_hsi = window.lr_hsi.copy()
        lr_hsi[:, held] = np.nan  # so that gaps in the other rows are not filled from these
        terms = data_terms(filled_observation(replace(window, lr_hsi=lr_hsi)), basis, engine)
        whole = data_terms(filled_observation(window), basis, engine)
        self.terms = replace(
            terms, operator=_rows(terms.operator, kept), coefficients=terms.coefficients[:, kept]
        )
        self.operator, self.truth = _rows(whole.operator, held), whole.coefficients[:, held]
        self.valid = ~missing_pixels(window.lr_hsi)[held]
        guess = terms.coefficients.clone()
        guess[:, held] = guess[:, held - 1]
        self.iterate = started(interpolated(guess, window.hr_shape, window.spatial_response.shift))

    def error(self, lphi: float, mu: float) -> Array:
        """Return the squared errors of the valid held-out LR pixels, in units of the LR-HSI's data term.

        Parameters
        ----------
        lphi : float
            Weight of the total variation.
        mu : float
            Penalty of the ADMM.
        """
        self.iterate = fuse_vector_tv(self.terms, self.iterate, lphi, mu, ITERATIONS)
        error = array(self.operator.forward(self.iterate.coefficients) - self.truth)[:, self.valid]
        return np.einsum("dn,de,en->n", error, self.terms.by_hsi, error)


def _rows(operator: SpatialOperator, rows: NDArray[np.intp]) -> SpatialOperator:
    """Restrict H to rows of LR pixels."""
    return SpatialOperator(tuple(factor[rows] for factor in operator.rows), operator.cols)
