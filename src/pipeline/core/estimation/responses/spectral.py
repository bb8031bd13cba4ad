"""The spectral response R from pixels that both sensors see, and the gain and offset of its bands.

Ridge regression with first differences and non-negative coefficients, as in HySure (Simoes et al.
2015, section IV-A) but solved exactly; its weight comes from held-out blocks of pixels. The spatial
response is taken as known. R is told only within the scene's spectral subspace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from pipeline.core.estimation.responses.sample import FOLDS
from pipeline.core.rounding import FLAT_POWER, SUMS, centred
from pipeline.errors import InputError

Matrix = NDArray[np.float64]
WEIGHTS = np.logspace(-6, 0, 7)  # of the differences, in units of X's mean power
JITTER = 1e-13  # share of the mean power added to every band's, so that the system has a factor


@dataclass(frozen=True)
class Moments:
    """Sums over pixels, from which any regression of H(Y) on X follows; they add up.

    Attributes
    ----------
    table : (C + 1 + c, C + 1 + c) float64
        Sum of ``z z^T`` with ``z = (X, 1, H(Y))``.
    bands : int
        C.
    """

    table: Matrix
    bands: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.table + other.table, self.bands)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.table - other.table, self.bands)

    @property
    def means(self) -> tuple[Matrix, Matrix]:
        """Of X (C,) and H(Y) (c,)."""
        one = self.table[self.bands] / self.table[self.bands, self.bands]
        return one[: self.bands], one[self.bands + 1 :]

    def products(self, offset: bool) -> tuple[Matrix, Matrix]:
        """``X X^T`` (C, C) and ``H(Y) X^T`` (c, C), about the means where an offset is fitted too.

        About its mean, a band that is constant up to rounding is zero.
        """
        table = self.table
        if offset:
            one = table[self.bands]
            power = table.diagonal()
            table = table - np.outer(one, one) / one[self.bands]
            constant = table.diagonal() <= FLAT_POWER * power
            table[constant] = table[:, constant] = 0.0
        return table[: self.bands, : self.bands], table[self.bands + 1 :, : self.bands]

    @property
    def power(self) -> Matrix:
        """Sums of the squares of H(Y) (c,)."""
        return self.table.diagonal()[self.bands + 1 :]

    def squares(self, rows: Matrix, offset: Matrix) -> Matrix:
        """Sums of the squares of ``H(Y) - r X - o`` (c,)."""
        contrast = np.hstack([-rows, -offset[:, None], np.eye(len(rows))])
        return np.asarray(np.einsum("ij,jk,ik->i", contrast, self.table, contrast))


def moments_of(hsi: Matrix, msi: Matrix) -> Moments:
    """Sums over pixels ``hsi`` (C, n) and ``msi`` (c, n)."""
    z = np.vstack([hsi, np.ones(hsi.shape[1]), msi])
    return Moments(z @ z.T, len(hsi))


def fit_rows(
    moments: Moments, weight: Matrix, support: NDArray[np.bool_], offset: bool
) -> tuple[Matrix, Matrix]:
    """The minimisers of ``||H(Y_i) - r X - o||^2 + w_i p ||D r||^2`` over ``r >= 0``.

    D takes the differences of neighbouring bands, and p is the bands' mean power ``tr(X X^T) / C``.

    Parameters
    ----------
    moments : Moments
    weight : (c,)
        w
    support : (c, C)
        Where r may differ from zero.
    offset : bool
        Whether o is fitted, else zero.

    Returns
    -------
    rows : (c, C) float64
    offset : (c,) float64
    """
    gram, cross = moments.products(offset)
    bands = len(gram)
    power = np.trace(gram) / bands
    differences = np.diff(np.eye(bands), axis=0)
    smooth, jitter = power * differences.T @ differences, power * JITTER * np.eye(bands)
    rows = np.zeros_like(cross)
    for i, seen in enumerate(support):
        if not cross[i, seen].any():  # nothing of the support varies with the band
            continue
        system = (gram + weight[i] * smooth + jitter)[np.ix_(seen, seen)]
        factor = cholesky(system, lower=True)
        rows[i, seen], _ = nnls(factor.T, solve_triangular(factor, cross[i, seen], lower=True))
    for i in np.flatnonzero(rows.sum(axis=1) <= 0).tolist():
        raise InputError(
            f"hr_msi: band {i} does not grow with any HSI band of its support; leave it out, widen the "
            "support or give the spectral response"
        )
    of_hsi, of_msi = moments.means
    return rows, of_msi - rows @ of_hsi if offset else np.zeros(len(rows))


def choose_weights(
    hsi: Matrix, msi: Matrix, fold: NDArray[np.intp], support: NDArray[np.bool_], offset: bool
) -> Matrix:
    """The weight (c,) of each band's differences that predicts held-out folds of the pixels best."""
    folds = [moments_of(hsi[:, fold == f], msi[:, fold == f]) for f in range(FOLDS)]
    total = sum(folds[1:], start=folds[0])
    errors = np.zeros((len(WEIGHTS), len(support)))
    for part in folds:
        for k, weight in enumerate(WEIGHTS):
            errors[k] += part.squares(*fit_rows(total - part, np.full(len(support), weight), support, offset))
    # of weights that predict equally well up to rounding, as where there is no noise, the smallest
    return WEIGHTS[np.argmax(errors <= errors.min(axis=0) + SUMS * total.power, axis=0)]


def calibrate(matched: Matrix, degraded: Matrix, offset: bool) -> tuple[Matrix, Matrix]:
    """Gain and offset (c,) with ``H(Y) = gain * R X + offset``, by regression of R X on H(Y).

    In this direction, since the noise of H(Y) is averaged away and that of R X is not.
    """
    slope, intercept = _line(degraded, matched, offset)
    for i in np.flatnonzero(~(slope > 0)).tolist():
        raise InputError(
            f"hr_msi: band {i} falls where the HSI bands that match it rise; check the order of the bands, "
            "the orientation of the images and the spectral response"
        )
    return 1 / slope, -intercept / slope


def unexplained(matched: Matrix, degraded: Matrix, offset: bool) -> Matrix:
    """What H(Y) leaves of R X (c, n) when each band has its best gain and offset."""
    slope, intercept = _line(degraded, matched, offset)
    return matched - slope[:, None] * degraded - intercept[:, None]


def _line(x: Matrix, y: Matrix, offset: bool) -> tuple[Matrix, Matrix]:
    """Slope and intercept (c,) of the least-squares lines of y (c, n) on x."""
    x_mean, y_mean = (x.mean(axis=1), y.mean(axis=1)) if offset else (np.zeros(len(x)),) * 2
    if offset:
        x, y = centred(x), centred(y)
    slope = (x * y).sum(axis=1) / np.maximum((x * x).sum(axis=1), np.finfo(np.float64).tiny)
    return slope, y_mean - slope * x_mean
