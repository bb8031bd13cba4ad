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
from torch import Tensor

from pipeline.core.sensing.observation import Progress, no_progress
from pipeline.core.solvers.engine import Engine
from pipeline.core.solvers.gaussian import DataTerms, GaussianFusion

RELAXATION = 1.6  # of ADMM; 1.5 to 1.8 save iterations (Boyd et al. 2011, section 3.4.3)


def differences(image: Tensor) -> Tensor:
    """Return forward differences ``(2, ..., H, W)`` along y and x; zero at the last row and column."""
    result = image.new_zeros((2, *image.shape))
    torch.sub(image[..., 1:, :], image[..., :-1, :], out=result[0, ..., :-1, :])
    torch.sub(image[..., 1:], image[..., :-1], out=result[1, ..., :-1])
    return result


def differences_adjoint(field: Tensor) -> Tensor:
    """Apply the transpose of `differences`: ``(2, ..., H, W)`` to ``(..., H, W)``."""
    result = torch.zeros_like(field[0])
    result[..., :-1, :] -= field[0, ..., :-1, :]
    result[..., 1:, :] += field[0, ..., :-1, :]
    result[..., :-1] -= field[1, ..., :-1]
    result[..., 1:] += field[1, ..., :-1]
    return result


def vector_tv(image: Tensor) -> float:
    """Return the vector total variation of an image ``(d, H, W)``."""
    return float(differences(image).square().sum(dim=(0, 1)).sqrt().sum())


def shrink(field: Tensor, threshold: float) -> Tensor:
    """Apply the proximal operator of ``threshold * sum over pixels of ||field||``.

    Each pixel's vector of all differences is shortened by the threshold, at most to zero.

    Parameters
    ----------
    field : (2, d, H, W) tensor
        Differences along y and x.
    threshold : float
        Length by which the vectors are shortened.
    """
    norm = field.square().sum(dim=(0, 1)).sqrt_()  # `vector_norm` over leading axes is slow
    return field * ((norm - threshold).clamp_(min=0) / norm.clamp_(min=torch.finfo(field.dtype).tiny))


class Smoothing:
    """The operator ``(I + D^T D)^-1``, where D is `differences`; the cosine transform diagonalises it.

    The transform is a product with a matrix along each axis. PyTorch has no cosine transform, and its FFT
    with the reordering around it takes as long on a CPU for windows of some hundred pixels.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the images.
    engine : Engine
        Device and type of the images.
    """

    def __init__(self, shape: tuple[int, int], engine: Engine) -> None:
        (rows, power_y), (cols, power_x) = map(cosine_transform, shape)
        self.rows, self.cols = engine.tensor(rows), engine.tensor(cols)
        self.gain = engine.tensor(1 / (1 + power_y[:, None] + power_x))

    def __call__(self, image: Tensor) -> Tensor:
        """Apply the operator to images ``(d, H, W)``."""
        spectrum = self.rows @ image @ self.cols.mT
        return self.rows.mT @ spectrum.mul_(self.gain) @ self.cols


def cosine_transform(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix ``(n, n)`` of the orthonormal DCT, and the eigenvalues ``(n,)`` of ``D^T D``.

    Parameters
    ----------
    size : int
        Number of pixels n along an axis.
    """
    frequencies = np.arange(size)
    matrix = np.cos(np.pi * np.outer(frequencies, np.arange(size) + 0.5) / size) * np.sqrt(2 / size)
    matrix[0] *= np.sqrt(0.5)
    return matrix, 2 - 2 * np.cos(np.pi * frequencies / size)


@dataclass(frozen=True)
class Iterate:
    """State of the iteration.

    Attributes
    ----------
    coefficients : (d, H, W) tensor
        A, solved from the data.
    copy : (d, H, W) tensor
        U, with which A and P must agree: ``A = U``, ``P = D U``.
    dual : (d, H, W) tensor
        Scaled dual variable of ``A = U``.
    dual_differences : (2, d, H, W) tensor
        Scaled dual variable of ``P = D U``.
    """

    coefficients: Tensor
    copy: Tensor
    dual: Tensor
    dual_differences: Tensor


def started(coefficients: Tensor) -> Iterate:
    """Return the first iterate, from coefficients ``(d, H, W)``."""
    zeros = coefficients.new_zeros((2, *coefficients.shape))
    return Iterate(coefficients, coefficients, zeros[0], zeros)


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
    smoothed = Smoothing(terms.operator.hr_shape, terms.engine)
    coefficients, copy = start.coefficients, start.copy
    dual, dual_differences = start.dual.clone(), start.dual_differences.clone()
    steps = differences(copy)
    for done in range(1, iterations + 1):
        coefficients = data.solve(copy - dual)
        field = shrink(steps - dual_differences, lphi / mu)
        _add_relaxed(dual, coefficients, copy)
        _add_relaxed(dual_differences, field, steps)
        copy = smoothed(dual + differences_adjoint(dual_differences))
        steps = differences(copy)
        dual -= copy
        dual_differences -= steps
        progress("admm", done, iterations)
    return Iterate(coefficients, copy, dual, dual_differences)


def _add_relaxed(dual: Tensor, new: Tensor, old: Tensor) -> None:
    dual.add_(new, alpha=RELAXATION).add_(old, alpha=1 - RELAXATION)
