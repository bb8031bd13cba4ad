"""The spectral response R from pixels of both sensors, and the gain and offset of its bands.

Ridge regression with first differences and non-negative coefficients, as in HySure (Simoes et al. 2015,
section IV-A) but solved exactly, with a known spatial response. Its weight is chosen on held-out blocks of
pixels. The data determine R only within the scene's spectral subspace.
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
JITTER = 1e-13  # of the mean power, added to each band's power so that the system can be factorised


@dataclass(frozen=True)
class Moments:
    """Sums over pixels from which any regression of H(Y) on X follows.

    Moments of disjoint sets of pixels add up.

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
        """Means of X ``(C,)`` and of H(Y) ``(c,)``."""
        means = self.table[self.bands] / self.table[self.bands, self.bands]
        return means[: self.bands], means[self.bands + 1 :]

    def products(self, offset: bool) -> tuple[Matrix, Matrix]:
        """Return ``X X^T`` ``(C, C)`` and ``H(Y) X^T`` ``(c, C)``, about the means if an offset is fitted.

        About its mean, a band that is constant up to rounding is zero.
        """
        table = self.table
        if offset:
            sums = table[self.bands]
            power = table.diagonal()
            table = table - np.outer(sums, sums) / sums[self.bands]
            constant = table.diagonal() <= FLAT_POWER * power
            table[constant] = table[:, constant] = 0.0
        return table[: self.bands, : self.bands], table[self.bands + 1 :, : self.bands]

    @property
    def power(self) -> Matrix:
        """Sums of the squares of H(Y) ``(c,)``."""
        return self.table.diagonal()[self.bands + 1 :]

    def squares(self, rows: Matrix, offset: Matrix) -> Matrix:
        """Return the sums ``(c,)`` of the squares of ``H(Y) - r X - o``."""
        contrast = np.hstack([-rows, -offset[:, None], np.eye(len(rows))])
        return np.asarray(np.einsum("ij,jk,ik->i", contrast, self.table, contrast))


def moments_of(hsi: Matrix, msi: Matrix) -> Moments:
    """Sum over pixels ``hsi`` ``(C, n)`` and ``msi`` ``(c, n)``."""
    z = np.vstack([hsi, np.ones(hsi.shape[1]), msi])
    return Moments(z @ z.T, len(hsi))


def fit_rows(
    moments: Moments, weight: Matrix, support: NDArray[np.bool_], offset: bool
) -> tuple[Matrix, Matrix]:
    """Minimise ``||H(Y_i) - r X - o||^2 + w_i p ||D r||^2`` over ``r >= 0`` for each MSI band i.

    D takes the differences of neighbouring bands, and p is the bands' mean power ``tr(X X^T) / C``.

    Parameters
    ----------
    moments : Moments
        Sums over the pixels.
    weight : (c,)
        w.
    support : (c, C)
        Mask of the values of r that may differ from zero.
    offset : bool
        Whether o is fitted; else it is zero.

    Returns
    -------
    rows : (c, C) float64
        r.
    offset : (c,) float64
        o.

    Raises
    ------
    InputError
        A band is explained by no HSI band of its support.
    """
    gram, cross = moments.products(offset)
    bands = len(gram)
    power = np.trace(gram) / bands
    differences = np.diff(np.eye(bands), axis=0)
    smooth, jitter = power * differences.T @ differences, power * JITTER * np.eye(bands)
    rows = np.zeros_like(cross)
    for i, used in enumerate(support):
        if not cross[i, used].any():  # nothing of the support varies with the band
            continue
        system = (gram + weight[i] * smooth + jitter)[np.ix_(used, used)]
        factor = cholesky(system, lower=True)
        rows[i, used], _ = nnls(factor.T, solve_triangular(factor, cross[i, used], lower=True))
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
    """Choose the weight ``(c,)`` of each band's differences that predicts held-out folds best.

    Parameters
    ----------
    hsi : (C, n)
        X.
    msi : (c, n)
        H(Y).
    fold : (n,) int
        Fold of each pixel.
    support : (c, C)
        Mask of the values of R that may differ from zero.
    offset : bool
        Whether an offset is fitted.
    """
    folds = [moments_of(hsi[:, fold == f], msi[:, fold == f]) for f in range(FOLDS)]
    total = sum(folds[1:], start=folds[0])
    errors = np.zeros((len(WEIGHTS), len(support)))
    for part in folds:
        for k, weight in enumerate(WEIGHTS):
            errors[k] += part.squares(*fit_rows(total - part, np.full(len(support), weight), support, offset))
    # of weights that predict equally well up to rounding, as where there is no noise, the smallest
    return WEIGHTS[np.argmax(errors <= errors.min(axis=0) + SUMS * total.power, axis=0)]


def calibrate(matched: Matrix, degraded: Matrix, offset: bool) -> tuple[Matrix, Matrix]:
    """Fit gain and offset ``(c,)`` with ``H(Y) = gain * R X + offset``, by regression of R X on H(Y).

    The regression has this direction because the noise of H(Y) is averaged away and the noise of R X is not.

    Parameters
    ----------
    matched : (c, n)
        R X.
    degraded : (c, n)
        H(Y).
    offset : bool
        Whether an offset is fitted; else it is zero.

    Raises
    ------
    InputError
        A gain is not positive.
    """
    slope, intercept = _line(degraded, matched, offset)
    for i in np.flatnonzero(~(slope > 0)).tolist():
        raise InputError(
            f"hr_msi: band {i} falls where the HSI bands that match it rise; check the order of the bands, "
            "the orientation of the images and the spectral response"
        )
    return 1 / slope, -intercept / slope


def unexplained(matched: Matrix, degraded: Matrix, offset: bool) -> Matrix:
    """Return the residual ``(c, n)`` of R X after a regression on H(Y), band by band.

    Parameters
    ----------
    matched : (c, n)
        R X.
    degraded : (c, n)
        H(Y).
    offset : bool
        Whether an offset is fitted.
    """
    slope, intercept = _line(degraded, matched, offset)
    return matched - slope[:, None] * degraded - intercept[:, None]


def _line(x: Matrix, y: Matrix, offset: bool) -> tuple[Matrix, Matrix]:
    """Return slope and intercept ``(c,)`` of the least-squares lines of y ``(c, n)`` on x."""
    x_mean, y_mean = (x.mean(axis=1), y.mean(axis=1)) if offset else (np.zeros(len(x)),) * 2
    if offset:
        x, y = centred(x), centred(y)
    slope = (x * y).sum(axis=1) / np.maximum((x * x).sum(axis=1), np.finfo(np.float64).tiny)
    return slope, y_mean - slope * x_mean
