"""Fusion with a vector total variation prior in a spectral subspace, by ADMM.

Minimises ``1/2 sum_b ||X - H(A) E||^2 / sh_b^2 + 1/2 sum_i ||Y - (A E) R^T||^2 / sm_i^2 + lphi VTV(A)``
over A, with ``VTV(A) = sum over pixels of the norm of all d planes' differences in both directions``
(HySure, Simoes, Bioucas-Dias, Almeida and Chanussot 2015, IEEE TGRS 53(6), 3373-3388, Eq. 9).

The paper splits into four variables and takes H as circulant, so that each step is solved by FFT.
Here A meets the data in closed form (`pipeline.core.solvers.gaussian`) for the H that was given, borders
included, and its copy U ties A to the differences P; both steps are exact, and the borders of the
differences are mirrored, not periodic. The problem is convex: splitting and start change the way,
not the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from pipeline.core.sensing.observation import Progress, no_progress
from pipeline.core.solvers.gaussian import DataTerms, GaussianFusion

RELAXATION = 1.6  # of ADMM; 1.5 to 1.8 save iterations (Boyd et al. 2011, section 3.4.3)

Array = NDArray[np.float64]


def differences(image: Array) -> Array:
    """Forward differences ``(2, ..., H, W)`` along y and x; zero at the last row and column."""
    result = np.zeros((2, *image.shape))
    np.subtract(image[..., 1:, :], image[..., :-1, :], out=result[0, ..., :-1, :])
    np.subtract(image[..., 1:], image[..., :-1], out=result[1, ..., :-1])
    return result


def differences_adjoint(field: Array) -> Array:
    """The transpose of `differences`: ``(2, ..., H, W)`` to ``(..., H, W)``."""
    result = np.zeros(field.shape[1:])
    result[..., :-1, :] -= field[0, ..., :-1, :]
    result[..., 1:, :] += field[0, ..., :-1, :]
    result[..., :-1] -= field[1, ..., :-1]
    result[..., 1:] += field[1, ..., :-1]
    return result


def vector_tv(image: Array) -> float:
    """VTV of an image ``(d, H, W)``."""
    return float(np.sqrt(np.square(differences(image)).sum(axis=(0, 1))).sum())


def shrink(field: Array, threshold: float) -> Array:
    """The proximal operator of ``threshold * sum over pixels of ||field||``, for ``(2, d, H, W)``.

    Each pixel's vector of all differences is shortened by the threshold, to zero at most.
    """
    norm = np.sqrt(np.einsum("kdyx,kdyx->yx", field, field))
    return field * (np.maximum(norm - threshold, 0) / np.maximum(norm, np.finfo(float).tiny))


def solve_smooth(image: Array) -> Array:
    """``(I + D^T D)^-1`` for images ``(d, H, W)``, D being `differences`, which the DCT diagonalises."""
    height, width = image.shape[-2:]
    power = 1 + _frequencies(height)[:, None] + _frequencies(width)
    spectrum = dctn(image, axes=(-2, -1), norm="ortho", workers=1)
    return np.asarray(idctn(spectrum / power, axes=(-2, -1), norm="ortho", workers=1))


def _frequencies(size: int) -> Array:
    """Eigenvalues of one direction's ``D^T D``."""
    return np.asarray(2 - 2 * np.cos(np.pi * np.arange(size) / size))


@dataclass(frozen=True)
class Iterate:
    """Where the iteration stands.

    Attributes
    ----------
    coefficients : (d, H, W)
        A, which meets the data.
    copy : (d, H, W)
        U, which A and P must agree with: ``A = U``, ``P = D U``.
    dual : (d, H, W)
        Scaled dual variable of the first.
    dual_differences : (2, d, H, W)
        Scaled dual variable of the second.
    """

    coefficients: Array
    copy: Array
    dual: Array
    dual_differences: Array


def started(coefficients: Array) -> Iterate:
    """The first iterate, from coefficients ``(d, H, W)``."""
    zeros = np.zeros_like(coefficients)
    return Iterate(coefficients, coefficients, zeros, np.zeros((2, *coefficients.shape)))


def fuse_vector_tv(
    terms: DataTerms,
    start: Iterate,
    lphi: float,
    mu: float,
    iterations: int,
    progress: Progress = no_progress,
) -> Iterate:
    """A fixed number of ADMM iterations on the problem of the module's docstring.

    A stopping rule would look at the whole window, and its result would then depend on how a scene
    is cut; a fixed number does not.

    Parameters
    ----------
    terms : DataTerms
    start : Iterate
        From `started`, or the last for another weight.
    lphi : float
        Weight of the VTV.
    mu : float
        Penalty of ``A = U`` and ``P = D U``; decides the speed, not the optimum.
    iterations : int

    Returns
    -------
    Iterate
    """
    data = GaussianFusion(terms, mu * np.eye(len(terms.by_hsi)))
    iterate, steps = start, differences(start.copy)
    for done in range(1, iterations + 1):
        coefficients = data.solve(iterate.copy - iterate.dual)
        field = shrink(steps - iterate.dual_differences, lphi / mu)
        dual = iterate.dual + _relaxed(coefficients, iterate.copy)
        dual_differences = iterate.dual_differences + _relaxed(field, steps)
        copy = solve_smooth(dual + differences_adjoint(dual_differences))
        steps = differences(copy)
        iterate = Iterate(coefficients, copy, dual - copy, dual_differences - steps)
        progress("admm", done, iterations)
    return iterate


def _relaxed(new: Array, old: Array) -> Array:
    return RELAXATION * new + (1 - RELAXATION) * old
