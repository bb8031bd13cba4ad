"""A cube as a mixture of a few of its own bands: ``Z = A E + Res`` with A the base bands of Z (PLRDiff).

Rui et al. (2024). E is a regression of all bands of the LR-HSI on its base bands. Res is a residual that
upsampling leaves, fixed before the base bands are sought.

>>> base_bands(103, 3)
[25, 51, 77]
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.observation import Image
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse
from pipeline.core.subspace.basis import BLOCK, second_moment
from pipeline.core.window import Window
from pipeline.errors import InputError

RIDGE = 1e-4  # added to the base bands' second moment, in units of the largest value squared
RATE, STEPS = 3.0, 100  # of the residual's gradient descent
SAMPLE = 16  # LR pixels: side of the image on which the descent's stability is checked


def base_bands(bands: int, rank: int) -> list[int]:
    """Return the base bands, evenly spaced: ``(k + 1) q - 1`` for k = 0..r-1, ``q = floor((C+1) / (r+1))``.

    Parameters
    ----------
    bands : int
        C, number of bands.
    rank : int
        r, number of base bands.

    Raises
    ------
    InputError
        Bands are fewer than base bands.
    """
    step = (bands + 1) // (rank + 1)
    if step < 1:
        raise InputError(
            f"rank: {rank} base bands are more than the LR-HSI's {bands} bands; use at most {bands}"
        )
    return [(k + 1) * step - 1 for k in range(rank)]


def mixing_matrix(lr_hsi: Image, rank: int, scale: float) -> NDArray[np.float64]:
    """Regress all bands on the base bands: ``E = (B B^T + 1e-4 I)^-1 B X^T``, sums over valid pixels.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        X; no-data is NaN.
    rank : int
        r, number of base bands B.
    scale : float
        Number by which values are divided.

    Returns
    -------
    (r, C) float64
    """
    bands = base_bands(lr_hsi.shape[0], rank)
    blocks = Window(0, lr_hsi.shape[1], 0, lr_hsi.shape[2]).split(BLOCK)
    moment, _ = second_moment(np.asarray(lr_hsi[:, *block.slices]) for block in blocks)
    of_base = moment[bands] / scale**2
    return np.asarray(np.linalg.solve(of_base[:, bands] + RIDGE * np.eye(rank), of_base))


def descended_residual(
    start: Tensor, target: Tensor, operator: SpatialOperator, window: Window, rate: float
) -> Tensor:
    """Return the residual after gradient descent on ``||H(Res) - Res_l||_F^2``.

    All steps lie in the range of ``H^T``. They are taken on the LR grid, where they cost less.

    Parameters
    ----------
    start : (C, H, W) tensor
        The residual at first.
    target : (C, h, w) tensor
        Res_l.
    operator : SpatialOperator
        H on tensors, from `window` to the LR pixels.
    window : Window
        HR pixels of the residual on which the LR pixels depend.
    rate : float
        Learning rate.
    """
    gram = normal_operator(operator)
    misfit = operator.forward(start[:, *window.slices]) - target
    moved = torch.zeros_like(misfit)
    for _ in range(STEPS):
        moved = moved - 2 * rate * (misfit + gram.forward(moved))
    result = start.clone()
    result[:, *window.slices] += operator.adjoint(moved)
    return result


def normal_operator(operator: SpatialOperator) -> SpatialOperator:
    """Return ``H H^T`` on the LR grid."""
    terms = list(zip(operator.rows, operator.cols, strict=True))
    pairs = [(r @ s.mT, c @ d.mT) for r, c in terms for s, d in terms]
    return SpatialOperator(tuple(rows for rows, _ in pairs), tuple(cols for _, cols in pairs))


def stable_rate(response: SpatialResponse) -> float:
    """Return the learning rate of `descended_residual`: the published one, or a smaller one if it diverges.

    The bound on ``H H^T`` is its largest absolute row sum on a small image, so that the rate does not depend
    on how a scene is cut.

    Parameters
    ----------
    response : SpatialResponse
        H.
    """
    size = SAMPLE * response.ratio.numerator
    gram = normal_operator(response.operator(size, size))
    rows, cols = ([np.abs(factor).sum(1).max() for factor in factors] for factors in (gram.rows, gram.cols))
    bound = float(np.dot(rows, cols))
    return RATE if RATE * bound < 1 else 0.5 / bound
