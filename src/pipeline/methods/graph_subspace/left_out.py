"""What a spectral subspace leaves out of the LR-HSI: its power, band by band.

The residual of a projection holds noise and what the subspace leaves out. A subspace follows the noise of the
pixels it is fitted to, whose residuals therefore hold less noise than is thought. How much less is seen where
it is fitted without some of the pixels and these are projected (cross-validation, Stone 1974).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import missing_pixels
from pipeline.core.sensing.observation import Observation
from pipeline.core.subspace.basis import Subspace, coefficient_noise, fit_subspace

Array = NDArray[np.float64]

FOLDS = 8


def left_out(parts: Sequence[Observation], basis: Array, share: float) -> Array:
    """Power ``(C,)`` that the LR-HSI has outside of a basis.

    Zero where there are fewer pixels than folds.

    Parameters
    ----------
    parts : sequence of Observation
    basis : (d, C)
        Fitted to the scene of which these are parts.
    share : float
        Of the scene, that the parts are: the more pixels, the less a subspace follows the noise of each.
    """
    sigma = parts[0].sigma_hsi
    pixels = np.concatenate([part.lr_hsi[:, ~missing_pixels(part.lr_hsi)] for part in parts], axis=1)
    count = pixels.shape[1]
    if count < FOLDS:
        return np.zeros(len(sigma))
    found = unexplained(pixels, Subspace.of(basis, sigma), sigma)
    found += share * optimism(pixels, sigma, len(basis))
    left = 1 - noise_in_subspace(basis, sigma) / sigma**2
    return sigma**2 * shrunk(found / sigma**2, 2 * left**2 / count)


def unexplained(pixels: NDArray[np.floating], subspace: Subspace, sigma: Array) -> Array:
    """Mean square ``(C,)`` of what a subspace leaves of pixels ``(C, n)``, beyond independent noise's."""
    residual = pixels - subspace.basis.T @ (subspace.projection @ pixels)
    return np.square(residual).mean(axis=1) - (sigma**2 - noise_in_subspace(subspace.basis, sigma))


def optimism(pixels: NDArray[np.floating], sigma: Array, d: int) -> Array:
    """How much less ``(C,)`` a subspace of d dimensions leaves of the pixels ``(C, n)`` it is fitted to."""
    fold = np.arange(pixels.shape[1]) % FOLDS

    def fitted(chosen: NDArray[np.bool_]) -> Subspace:
        return fit_subspace(pixels[:, None, chosen], sigma, d)

    others = [
        unexplained(pixels[:, fold == number], fitted(fold != number), sigma) for number in range(FOLDS)
    ]
    return np.mean(others, axis=0) - unexplained(pixels, fitted(fold >= 0), sigma)


def shrunk(power: Array, error: Array) -> Array:
    """Powers of bands ``(C,)`` that are known with errors of given variances.

    What bands differ by is drawn towards their mean as far as the errors explain it (James and Stein 1961),
    and none is credited with less than the mean.
    """
    mean = max(0.0, float(power.mean()))
    own = max(0.0, float(power.var() - error.mean()))
    share = own / np.maximum(own + error, np.finfo(np.float64).tiny)
    return mean + np.maximum(share * (power - mean), 0)


def noise_in_subspace(basis: Array, sigma: Array) -> Array:
    """Variance ``(C,)`` of the LR-HSI's noise after projection onto the subspace."""
    return np.einsum("db,de,eb->b", basis, coefficient_noise(basis, sigma), basis)
