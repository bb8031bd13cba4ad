"""A free or separable PSF at HR pixel spacing, from MSI bands and the matching HSI bands.

The objective is quadratic in the kernel's values: the squared residuals, a ridge on first differences (as for
HySure's blur, Simoes et al. 2015) and a penalty for a sum other than 1. Its non-negative minimiser is the
free kernel, the minimiser of rank one is the separable kernel. Centre and extent of the kernel are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from pipeline.core.estimation.responses.sample import FOLDS, PairSample, Part
from pipeline.core.rounding import SUMS, first_largest
from pipeline.core.sensing.resampling import response_matrix, sampled_profile
from pipeline.core.sensing.spatial import SpatialResponse

Array = NDArray[np.float64]
WEIGHTS = np.logspace(-5, 0, 6)  # of the differences, in units of the quadratic form's mean diagonal
SUM = 1e6  # weight of the sum of 1, in the same units
EXTENT = 3.0  # side in FWHM of the best-fitting Gaussian: 3.5 standard deviations from the centre
WIDEST = 4.0  # largest side in LR pixels
ALTERNATIONS = 20  # between the two profiles of a separable kernel


@dataclass(frozen=True)
class Quadratic:
    """The form ``k^T A k - 2 b^T k`` of a kernel's values, row by row.

    Attributes
    ----------
    a : (side^2, side^2) float64
        A, symmetric.
    b : (side^2,) float64
        Linear part.
    """

    a: Array
    b: Array

    def __add__(self, other: Quadratic) -> Quadratic:
        return Quadratic(self.a + other.a, self.b + other.b)

    def __sub__(self, other: Quadratic) -> Quadratic:
        return Quadratic(self.a - other.a, self.b - other.b)

    @property
    def side(self) -> int:
        """Side of the kernel in HR pixels."""
        return isqrt(len(self.b))

    def __call__(self, kernel: Array) -> float:
        """Evaluate the form at a kernel."""
        values = kernel.ravel()
        return float(values @ self.a @ values - 2 * self.b @ values)

    def regularised(self, weight: float) -> Quadratic:
        """Add weighted squared differences of neighbours, zeros outside of the kernel, and the sum of 1."""
        side = self.side
        scale = np.trace(self.a) / len(self.b)
        differences = np.diff(np.eye(side + 2), axis=0)[:, 1:-1]
        rough = differences.T @ differences
        smooth = np.kron(rough, np.eye(side)) + np.kron(np.eye(side), rough)
        return Quadratic(self.a + scale * (weight * smooth + SUM), self.b + scale * SUM)


def choose_weight(forms: list[Quadratic], separable: bool) -> float:
    """Choose the weight of the differences that predicts held-out quarters of the folds best.

    Parameters
    ----------
    forms : list of Quadratic
        Squared residuals of each fold.
    separable : bool
        Whether the kernel is separable.
    """
    whole = sum(forms[1:], start=forms[0])
    halves = zip(forms[: FOLDS // 2], forms[FOLDS // 2 :], strict=True)
    quarters = [first + second for first, second in halves]
    errors = [
        sum(quarter(_minimised(whole - quarter, weight, separable)) for quarter in quarters)
        for weight in WEIGHTS
    ]
    return float(WEIGHTS[first_largest(-np.array(errors), tied=SUMS)])


def fit_kernel(forms: list[Quadratic], weight: float, separable: bool) -> Array:
    """Fit a kernel ``(side, side)`` to all folds.

    Parameters
    ----------
    forms : list of Quadratic
        Squared residuals of each fold.
    weight : float
        Weight of the differences.
    separable : bool
        Whether the kernel is separable.
    """
    return _minimised(sum(forms[1:], start=forms[0]), weight, separable)


def _minimised(form: Quadratic, weight: float, separable: bool) -> Array:
    regularised = form.regularised(weight)
    return _separable(regularised) if separable else _free(regularised)


def kernel_side(gaussian: SpatialResponse) -> int:
    """Return the side of the kernel in HR pixels, even if the LR pixel's is, so that both share a centre."""
    ratio = gaussian.ratio
    side = ceil(min(EXTENT * (gaussian.fwhm or 1.0), WIDEST) * ratio)
    return side + (side - ceil(ratio)) % 2


def _free(form: Quadratic) -> Array:
    return _minimiser(form.a, form.b).reshape(form.side, form.side)


def _separable(form: Quadratic) -> Array:
    """Minimise exactly over the row and the column profile in turn."""
    side = form.side
    a, b = form.a.reshape(side, side, side, side), form.b.reshape(side, side)
    columns = np.full(side, 1 / side)
    for _ in range(ALTERNATIONS):
        rows = _minimiser(np.einsum("klmn,l,n->km", a, columns, columns, optimize=True), b @ columns)
        rows /= rows.sum()
        columns = _minimiser(np.einsum("klmn,k,m->ln", a, rows, rows, optimize=True), rows @ b)
    return np.outer(rows, columns)


def _minimiser(a: Array, b: Array) -> Array:
    """Minimise ``x^T a x - 2 b^T x`` over ``x >= 0`` and scale to a sum of 1."""
    factor = cholesky(a, lower=True)
    x, _ = nnls(factor.T, solve_triangular(factor, b, lower=True))
    return x / x.sum()


def quadratics(
    sample: PairSample, target: Array, variance: Array, gaussian: SpatialResponse
) -> list[Quadratic]:
    """Return the squared residuals of each fold, divided by the variances, as forms in a kernel.

    Parameters
    ----------
    sample : PairSample
        LR pixels of the pair.
    target : (c, n)
        H(Y) predicted from the HSI, in the units of Y.
    variance : (c,)
        Variance of the target's errors.
    gaussian : SpatialResponse
        The best-fitting Gaussian PSF, at whose centre the kernel is centred.
    """
    side = kernel_side(gaussian)
    a, b = np.zeros((FOLDS, side**2, side**2)), np.zeros((FOLDS, side**2))
    start = 0
    for part in sample.parts:
        stop = start + part.count
        fold = sample.fold[start:stop]
        for band, values, of_band in zip(part.msi, target[:, start:stop], variance, strict=True):
            around = neighbourhoods(band, part, gaussian, side)
            for f in np.unique(fold):
                near = around[:, fold == f]
                a[f] += near @ near.T / of_band
                b[f] += near @ values[fold == f] / of_band
        start = stop
    return [Quadratic(*pair) for pair in zip(a, b, strict=True)]


def neighbourhoods(band: NDArray[np.float32], part: Part, gaussian: SpatialResponse, side: int) -> Array:
    """Return the band at each value of a kernel ``(side^2, n)``: H is the sum weighted by the kernel.

    Parameters
    ----------
    band : (H, W)
        MSI band of a part, without no-data.
    part : Part
        The part, with its LR pixels.
    gaussian : SpatialResponse
        Response with ratio and shift of the kernel.
    side : int
        Side of the kernel in HR pixels.
    """
    ratio = float(gaussian.ratio)
    rows, cols = (
        np.stack(
            [
                response_matrix(size, gaussian.ratio, out, sampled_profile(value), s * ratio)
                for value in np.eye(side)
            ]
        )
        for size, out, s in zip(band.shape, part.used.shape, gaussian.shift, strict=True)
    )
    shifted = (rows @ band.astype(np.float64))[:, None] @ cols.transpose(0, 2, 1)
    return np.asarray(shifted[:, :, part.used].reshape(side**2, -1))
