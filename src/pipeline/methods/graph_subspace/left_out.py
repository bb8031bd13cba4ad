"""Power of the LR-HSI outside of a spectral subspace, band by band.

The residual of a projection onto the subspace contains noise and the signal outside of the subspace. A
subspace follows the noise of the pixels to which it was fitted, so that their residuals contain less noise
than independent pixels would have. Cross-validation (Stone 1974) measures how much less: the subspace is
fitted without some of the pixels, and these are projected.
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


def left_out(parts: Sequence[Observation], basis: Array, fraction: float) -> Array:
    """Return the power ``(C,)`` of the LR-HSI outside of a basis; zero if there are fewer pixels than folds.

    Parameters
    ----------
    parts : sequence of Observation
        Parts of a scene.
    basis : (d, C)
        E, fitted to the whole scene.
    fraction : float
        Fraction of the scene's pixels covered by `parts`.
    """
    sigma = parts[0].sigma_hsi
    pixels = np.concatenate([part.lr_hsi[:, ~missing_pixels(part.lr_hsi)] for part in parts], axis=1)
    count = pixels.shape[1]
    if count < FOLDS:
        return np.zeros(len(sigma))
    power = unexplained(pixels, Subspace.of(basis, sigma), sigma)
    # the optimism falls with the number of pixels, and the basis was fitted to the whole scene's
    power += fraction * optimism(pixels, sigma, len(basis))
    outside = 1 - noise_in_subspace(basis, sigma) / sigma**2
    # in units of the noise variance, in which the bands' errors (2 / count of a variance) compare
    return sigma**2 * shrunk(power / sigma**2, 2 * outside**2 / count)


def unexplained(pixels: NDArray[np.floating], subspace: Subspace, sigma: Array) -> Array:
    """Return the mean square ``(C,)`` of the residuals of a projection, beyond that of noise alone.

    Parameters
    ----------
    pixels : (C, n)
        Spectra of the LR-HSI.
    subspace : Subspace
        The subspace, taken as independent of the pixels' noise.
    sigma : (C,)
        Noise standard deviations.
    """
    residual = pixels - subspace.basis.T @ (subspace.projection @ pixels)
    return np.square(residual).mean(axis=1) - (sigma**2 - noise_in_subspace(subspace.basis, sigma))


def optimism(pixels: NDArray[np.floating], sigma: Array, d: int) -> Array:
    """Return how much smaller the residuals' power ``(C,)`` is for pixels to which the subspace was fitted.

    Parameters
    ----------
    pixels : (C, n)
        Spectra of the LR-HSI.
    sigma : (C,)
        Noise standard deviations.
    d : int
        Dimension of the subspace.
    """
    fold = np.arange(pixels.shape[1]) % FOLDS

    def fitted(chosen: NDArray[np.bool_]) -> Subspace:
        return fit_subspace(pixels[:, None, chosen], sigma, d)

    others = [
        unexplained(pixels[:, fold == number], fitted(fold != number), sigma) for number in range(FOLDS)
    ]
    return np.mean(others, axis=0) - unexplained(pixels, fitted(fold >= 0), sigma)


def shrunk(power: Array, error: Array) -> Array:
    """Shrink the powers of bands towards their mean, as far as errors explain their differences.

    The shrinkage is that of James and Stein (1961). No band gets less than the mean: a power that is too
    small would make intervals too narrow.

    Parameters
    ----------
    power : (C,)
        Estimated powers.
    error : (C,)
        Variances of these estimates.
    """
    mean = max(0.0, float(power.mean()))
    own = max(0.0, float(power.var() - error.mean()))
    share = own / np.maximum(own + error, np.finfo(np.float64).tiny)
    return mean + np.maximum(share * (power - mean), 0)


def noise_in_subspace(basis: Array, sigma: Array) -> Array:
    """Return the variance ``(C,)`` of the LR-HSI's noise after projection onto a subspace.

    Parameters
    ----------
    basis : (d, C)
        E.
    sigma : (C,)
        Noise standard deviations.
    """
    return np.einsum("db,de,eb->b", basis, coefficient_noise(basis, sigma), basis)
