"""Fusion with a vector total variation prior in a spectral subspace, by ADMM.

Minimises ``1/2 sum_b ||X - H(A) E||^2 / sh_b^2 + 1/2 sum_i ||Y - (A E) R^T||^2 / sm_i^2 + lphi VTV(A)``
over A, with ``VTV(A) = sum over pixels of the norm of all d planes' differences in both directions``
(HySure, Simoes, Bioucas-Dias, Almeida and Chanussot 2015, IEEE TGRS 53(6), 3373-3388, Eq. 9).

The paper splits into four variables and takes H as circulant, so that each step is solved by FFT. Here A is
solved in closed form (`pipeline.core.solvers.gaussian`) for the observation's H, borders included, and a copy
U ties A to the differences P. Both steps are exact, and the differences have mirrored borders instead of
periodic ones. The problem is convex: splitting and start change the path, not the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from pipeline.core.sensing.observation import Progress, no_progress
from pipeline.core.solvers.engine import array
from pipeline.core.solvers.gaussian import DataTerms, GaussianFusion

RELAXATION = 1.6  # of ADMM; 1.5 to 1.8 save iterations (Boyd et al. 2011, section 3.4.3)

Array = NDArray[np.float64]


def differences(image: Array) -> Array:
    """Return forward differences ``(2, ..., H, W)`` along y and x; zero at the last row and column."""
    result = np.zeros((2, *image.shape))
    np.subtract(image[..., 1:, :], image[..., :-1, :], out=result[0, ..., :-1, :])
    np.subtract(image[..., 1:], image[..., :-1], out=result[1, ..., :-1])
    return result


def differences_adjoint(field: Array) -> Array:
    """Apply the transpose of `differences`: ``(2, ..., H, W)`` to ``(..., H, W)``."""
    result = np.zeros(field.shape[1:])
    result[..., :-1, :] -= field[0, ..., :-1, :]
    result[..., 1:, :] += field[0, ..., :-1, :]
    result[..., :-1] -= field[1, ..., :-1]
    result[..., 1:] += field[1, ..., :-1]
    return result


def vector_tv(image: Array) -> float:
    """Return the vector total variation of an image ``(d, H, W)``."""
    return float(np.sqrt(np.square(differences(image)).sum(axis=(0, 1))).sum())


def shrink(field: Array, threshold: float) -> Array:
    """Apply the proximal operator of ``threshold * sum over pixels of ||field||``.

    Each pixel's vector of all differences is shortened by the threshold, at most to zero.

    Parameters
    ----------
    field : (2, d, H, W)
        Differences along y and x.
    threshold : float
        Length by which the vectors are shortened.
    """
    norm = np.sqrt(np.einsum("kdyx,kdyx->yx", field, field))
    return field * (np.maximum(norm - threshold, 0) / np.maximum(norm, np.finfo(float).tiny))


def solve_smooth(image: Array) -> Array:
    """Apply ``(I + D^T D)^-1`` to images ``(d, H, W)``; the DCT diagonalises D, which is `differences`."""
    height, width = image.shape[-2:]
    power = 1 + _frequencies(height)[:, None] + _frequencies(width)
    spectrum = dctn(image, axes=(-2, -1), norm="ortho", workers=1)
    return np.asarray(idctn(spectrum / power, axes=(-2, -1), norm="ortho", workers=1))


def _frequencies(size: int) -> Array:
    """Return the eigenvalues of ``D^T D`` along an axis."""
    return np.asarray(2 - 2 * np.cos(np.pi * np.arange(size) / size))


@dataclass(frozen=True)
class Iterate:
    """State of the iteration.

    Attributes
    ----------
    coefficients : (d, H, W)
        A, solved from the data.
    copy : (d, H, W)
        U, with which A and P must agree: ``A = U``, ``P = D U``.
    dual : (d, H, W)
        Scaled dual variable of ``A = U``.
    dual_differences : (2, d, H, W)
        Scaled dual variable of ``P = D U``.
    """

    coefficients: Array
    copy: Array
    dual: Array
    dual_differences: Array


def started(coefficients: Array) -> Iterate:
    """Return the first iterate, from coefficients ``(d, H, W)``."""
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
    """Run a fixed number of ADMM iterations on the problem of the module's docstring.

    A stopping rule would look at the whole window, so that the result would depend on how a scene is cut.

    Parameters
    ----------
    terms : DataTerms
        The data terms.
    start : Iterate
        From `started`, or the last iterate for another weight.
    lphi : float
        Weight of the vector total variation.
    mu : float
        Penalty of ``A = U`` and ``P = D U``; it changes the speed, not the optimum.
    iterations : int
        Number of iterations.
    progress : callable
        Receives the number of finished iterations.

    Returns
    -------
    Iterate
        The last iterate.
    """
    data = GaussianFusion(terms, mu * np.eye(len(terms.by_hsi)))
    iterate, steps = start, differences(start.copy)
    for done in range(1, iterations + 1):
        coefficients = array(data.solve(torch.from_numpy(iterate.copy - iterate.dual)))
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
