"""Factor analysis of incomplete values: what the known values of a pixel say about its missing ones.

The model is ``x = mean + L^T f + noise`` with factors f ~ N(0, I) and noise of its own variance in each row
(factor analysis). Expectation maximisation fits it to values of which any may be missing: each row's loadings
follow from the pixels that know the row (Rubin and Thayer 1982).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import FLAT_POWER

Array = NDArray[np.float64]

ROUNDS = 20  # of expectation maximisation; it starts from principal components, so that few are needed
PIXELS_PER_FACTOR = 8  # below which a factor would follow the noise
FIRST_ROUNDS = 4  # of principal components with the missing values replaced by their projections
AT_ONCE = 4096  # pixels whose factors are computed at once, which bounds the memory


@dataclass(frozen=True)
class FactorModel:
    """A fitted model.

    Attributes
    ----------
    mean : (D,)
        Mean of each row.
    loadings : (k, D)
        L.
    noise : (D,)
        Noise variance of each row, positive.
    """

    mean: Array
    loadings: Array
    noise: Array

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the arrays, from which `of` makes the same model."""
        return asdict(self)

    @classmethod
    def of(cls, state: Mapping[str, NDArray[Any]]) -> FactorModel:
        """Make the model from its arrays."""
        return cls(*(np.asarray(state[name], np.float64) for name in ("mean", "loadings", "noise")))

    def filled(self, values: NDArray[Any]) -> Array:
        """Replace the missing values of pixels by their expectation given the known ones.

        Parameters
        ----------
        values : (D, n)
            Values; NaN where missing. A pixel without any known value stays NaN.
        """
        result = np.array(values, np.float64)
        chosen = np.flatnonzero(np.isnan(result).any(axis=0) & ~np.isnan(result).all(axis=0))
        for start in range(0, len(chosen), AT_ONCE):
            part = chosen[start : start + AT_ONCE]
            known = ~np.isnan(result[:, part])
            factors, _ = self.factors(result[:, part], known)
            expected = self.mean[:, None] + self.loadings.T @ factors
            result[:, part] = np.where(known, result[:, part], expected)
        return result

    def extended(self, values: Array, further: Array) -> FactorModel:
        """Return the model with further rows, regressed on the factors.

        Parameters
        ----------
        values : (D, n)
            Values of the model's rows; NaN where missing.
        further : (E, n)
            Values of the further rows at the same pixels; NaN where missing.
        """
        means, loadings, noise = [], [], []
        for row in further:
            chosen = ~np.isnan(row) & ~np.isnan(values).all(axis=0)
            factors, _ = self.factors(values[:, chosen], ~np.isnan(values[:, chosen]))
            terms = np.vstack([np.ones(len(factors[0])), factors])
            solution, *_ = np.linalg.lstsq(terms.T, row[chosen], rcond=None)
            residual = row[chosen] - solution @ terms
            means.append(solution[0])
            loadings.append(solution[1:])
            noise.append(residual @ residual / max(1, len(residual) - len(solution)))
        return FactorModel(
            np.append(self.mean, means),
            np.hstack([self.loadings, np.transpose(loadings)]),
            np.append(self.noise, _positive(np.array(noise), further, ~np.isnan(further))),
        )

    def factors(self, values: Array, known: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return mean ``(k, n)`` and covariance ``(n, k, k)`` of the factors of pixels.

        Parameters
        ----------
        values : (D, n)
            Values.
        known : (D, n) bool
            Values that count.
        """
        k = len(self.loadings)
        weighted = self.loadings / self.noise
        products = np.einsum("kd,ld->dkl", weighted, self.loadings).reshape(len(self.mean), -1)
        precision = (known.T.astype(np.float64) @ products).reshape(-1, k, k) + np.eye(k)
        covariance = np.linalg.inv(precision)
        signal = weighted @ np.where(known, values - self.mean[:, None], 0.0)
        return np.einsum("nkl,ln->kn", covariance, signal), covariance


def fit_factor_model(values: NDArray[Any], factors: int) -> FactorModel:
    """Fit the model to incomplete values.

    Parameters
    ----------
    values : (D, n)
        Values of n pixels; NaN where missing. A row without any says nothing.
    factors : int
        Number of factors, at most.
    """
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    most = min(len(values) - 1, values.shape[1] // PIXELS_PER_FACTOR)
    model = _principal(values, known, max(1, min(factors, most)))
    for _ in range(ROUNDS):
        model = _improved(model, values, known)
    return model


def _principal(values: Array, known: NDArray[np.bool_], factors: int) -> FactorModel:
    """Return the model of the principal components."""
    counts = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, values, 0).sum(axis=1) / counts
    complete = np.where(known, values, mean[:, None])
    for _ in range(FIRST_ROUNDS):
        mean = complete.mean(axis=1)
        centred = complete - mean[:, None]
        power, vectors = np.linalg.eigh(centred @ centred.T / values.shape[1])
        leading = vectors[:, -factors:]
        projected = leading @ (leading.T @ centred)
        complete = np.where(known, values, mean[:, None] + projected)
    residual = np.where(known, centred - projected, 0)
    noise = np.square(residual).sum(axis=1) / counts
    return FactorModel(
        mean, (leading * np.sqrt(power[-factors:].clip(min=0))).T, _positive(noise, values, known)
    )


def _improved(model: FactorModel, values: Array, known: NDArray[np.bool_]) -> FactorModel:
    """Take one round of expectation maximisation."""
    k, rows = len(model.loadings), len(values)
    products, first, total = np.zeros((rows, k * k)), np.zeros((rows, k)), np.zeros((k, k))
    centred = np.where(known, values - model.mean[:, None], 0.0)
    every = np.empty((k, values.shape[1]))
    for start in range(0, values.shape[1], AT_ONCE):
        part = slice(start, start + AT_ONCE)
        mean, covariance = model.factors(values[:, part], known[:, part])
        moments = covariance + np.einsum("kn,ln->nkl", mean, mean)
        total += moments.sum(axis=0)
        products += known[:, part].astype(np.float64) @ moments.reshape(-1, k * k)
        first += centred[:, part] @ mean.T
        every[:, part] = mean
    second, spread = products.reshape(rows, k, k), total / values.shape[1]
    floor = FLAT_POWER * np.einsum("dkk->d", second)[:, None, None] * np.eye(k) / k
    loadings = np.linalg.solve(second + floor, first[..., None])[..., 0].T
    counts = np.maximum(known.sum(axis=1), 1)
    power = np.square(centred).sum(axis=1) - 2 * np.einsum("kd,dk->d", loadings, first)
    noise = (power + np.einsum("kd,dkl,ld->d", loadings, second, loadings)) / counts
    residual = np.where(known, centred - loadings.T @ every, 0.0)
    mean = model.mean + residual.sum(axis=1) / counts
    # factors of unit variance again; without this step (Liu, Rubin and Wu 1998) many more rounds are needed
    loadings = np.linalg.cholesky(spread).T @ loadings
    return FactorModel(mean, loadings, _positive(noise, values, known))


def _positive(noise: Array, values: Array, known: NDArray[np.bool_]) -> Array:
    """Raise noise variances to the level below which they are rounding."""
    level = FLAT_POWER * np.square(np.where(known, values, 0)).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.asarray(np.maximum(noise, np.maximum(level, np.finfo(np.float32).tiny)))
