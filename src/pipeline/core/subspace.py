"""The spectral subspace of a scene, learned from its LR-HSI: ``Z = A E``.

Rows of E span the d directions that hold most of the LR-HSI above its noise. The same E, scaled by
the noise, serves images whose bands have different noise levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.observation import Observation
from pipeline.core.spatial import SpatialResponse, upsample
from pipeline.errors import InputError

DEFAULT_DIMENSION = 10
COVARIANCE_FLOOR = 1e-6  # share of the mean variance added to every direction, so that it inverts


@dataclass(frozen=True)
class Subspace:
    """A basis and the scene's coefficients in it.

    Attributes
    ----------
    basis : (d, C) float64
        E; orthonormal rows after division of the bands by their noise levels.
    coefficients : (d, h, w) float64
        The LR-HSI in the subspace.
    """

    basis: NDArray[np.float64]
    coefficients: NDArray[np.float64]


def resolve_dimension(d: int | None, observation: Observation) -> int:
    """The subspace dimension asked for, or 10 where bands and LR pixels allow it."""
    pixels = observation.lr_shape[0] * observation.lr_shape[1]
    most = min(observation.bands, pixels)
    if d is None:
        return min(DEFAULT_DIMENSION, most)
    if d > most:
        raise InputError(
            f"d: {d} subspace dimensions are more than the LR-HSI's {observation.bands} bands or "
            f"{pixels} pixels allow; use at most {most}"
        )
    return d


def fit_subspace(lr_hsi: NDArray[np.floating], sigma: NDArray[np.float64], d: int) -> Subspace:
    """Singular value decomposition of an LR-HSI whose bands are divided by their noise levels.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        Without no-data.
    sigma : (C,)
        Noise standard deviation per band, positive.
    d : int

    Returns
    -------
    Subspace
    """
    bands, height, width = lr_hsi.shape
    weight = np.sqrt(np.mean(sigma**2)) / sigma  # one for equal noise, so that E is orthonormal then
    whitened = lr_hsi.reshape(bands, -1).astype(np.float64) * weight[:, None]
    _, vectors = np.linalg.eigh(whitened @ whitened.T)
    directions = vectors[:, : -d - 1 : -1].T
    directions[directions.sum(axis=1) < 0] *= -1  # the sign of an eigenvector is arbitrary
    coefficients = (directions @ whitened).reshape(d, height, width)
    return Subspace(directions / weight, coefficients)


def signal_dimension(lr_hsi: NDArray[np.floating], sigma: NDArray[np.float64]) -> int:
    """Number of spectral directions whose power no white noise of the given levels explains.

    Counts the eigenvalues of the noise-whitened second moment above the Marchenko-Pastur edge
    ``(1 + sqrt(C / N))^2``.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        Without no-data.
    sigma : (C,)
        Noise standard deviation per band, positive.
    """
    whitened = lr_hsi.reshape(len(lr_hsi), -1) / sigma[:, None]
    bands, pixels = whitened.shape
    eigenvalues = np.linalg.eigvalsh(whitened @ whitened.T / pixels)
    return max(1, int((eigenvalues > (1 + np.sqrt(bands / pixels)) ** 2).sum()))


def detail_covariance(coefficients: NDArray[np.float64], response: SpatialResponse) -> NDArray[np.float64]:
    """Covariance ``(d, d)`` of what one more degradation loses: ``a - upsample(H(a))``.

    One Wald level below the wanted image, so that it can be measured on the LR-HSI alone. Images
    that the ratio does not divide are cut; very small ones use the largest ratio that fits.

    Parameters
    ----------
    coefficients : (d, h, w)
        a, of the LR-HSI.
    response : SpatialResponse
        H.
    """
    d, height, width = coefficients.shape
    step = response.ratio.numerator
    if min(height, width) < 2 * step:
        step = max(2, min(round(response.ratio), min(height, width) // 2))
        response = SpatialResponse.bicubic(ratio=step)
    if min(height, width) < step:
        deviations = coefficients.reshape(d, -1)
        return _regular(deviations @ deviations.T / deviations.shape[1])
    part = coefficients[:, : height // step * step, : width // step * step]
    shape = part.shape[1:]
    detail = (part - upsample(response.operator(*shape).forward(part), shape)).reshape(d, -1)
    return _regular(detail @ detail.T / detail.shape[1])


def _regular(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    floor = COVARIANCE_FLOOR * np.trace(covariance) / len(covariance)
    return covariance + max(floor, np.finfo(np.float64).tiny) * np.eye(len(covariance))
