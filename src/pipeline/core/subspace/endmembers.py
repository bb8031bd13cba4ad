"""Endmembers of an image: the purest spectra, at the corners of the simplex of its data.

Vertex component analysis (Nascimento and Bioucas-Dias 2005, IEEE TGRS 43(4), 898-910).
"""

from __future__ import annotations

from math import log10

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import FLAT_POWER, TIED, first_largest
from pipeline.core.subspace.basis import leading_directions
from pipeline.errors import InputError


def vca(
    spectra: NDArray[np.float64], count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find endmembers by orthogonal projections onto random directions.

    At high SNR the spectra are projected onto the hyperplane ``<y, mean> = 1``, at low SNR onto the
    principal plane through their mean, as in the paper.

    Parameters
    ----------
    spectra : (C, N)
        Spectra with finite values, a column for each pixel.
    count : int
        Number of endmembers, at most C and at most N.
    generator : Generator
        Draws the directions.

    Returns
    -------
    endmembers : (C, count) float64
        Spectra of the chosen pixels, projected onto the subspace.
    chosen : (count,) int
        Columns of these pixels.

    Raises
    ------
    InputError
        `count` is below 1, or above the number of bands or pixels.
    """
    bands, pixels = spectra.shape
    if not 1 <= count <= min(bands, pixels):
        raise InputError(
            f"endmembers: {count} asked for, but {bands} bands and {pixels} pixels allow 1 to "
            f"{min(bands, pixels)}"
        )
    mean = spectra.mean(axis=1, keepdims=True)
    if _snr_db(spectra, mean, count) > 15 + 10 * log10(count):
        vertices, denoised = _on_hyperplane(spectra, count)
    else:
        vertices, denoised = _on_principal_plane(spectra - mean, count)
        denoised = denoised + mean
    chosen = _extreme(vertices, count, generator)
    return denoised[:, chosen], chosen


def _on_hyperplane(spectra: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], ...]:
    """Project spectra onto ``<y, mean> = 1``; return the coordinates and the denoised spectra."""
    directions = _principal(spectra, count)
    coordinates = directions.T @ spectra
    level = coordinates.mean(axis=1) @ coordinates
    vertices = coordinates / np.where(np.abs(level) > FLAT_POWER * np.abs(level).max(), level, 1.0)
    return vertices, directions @ coordinates


def _on_principal_plane(centred: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], ...]:
    """Project centred spectra onto their principal plane; return the coordinates and the denoised spectra."""
    directions = _principal(centred, max(count - 1, 1))
    coordinates = directions.T @ centred
    height = np.full((1, centred.shape[1]), np.sqrt((coordinates**2).sum(axis=0).max()))
    return np.concatenate([coordinates, height]), directions @ coordinates


def _extreme(vertices: NDArray[np.float64], count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Choose columns that are farthest along directions orthogonal to those already chosen.

    Of equal columns the first one counts. Where none leaves the span of those chosen, the one farthest from
    them counts.
    """
    size = float(np.sqrt(np.square(vertices).sum(axis=0).max()))
    corners = np.zeros((len(vertices), count))
    corners[-1, 0] = 1.0
    chosen = np.zeros(count, np.intp)
    for i in range(count):
        draw = generator.standard_normal(len(vertices))
        direction = draw - corners @ (np.linalg.pinv(corners, rcond=TIED) @ draw)
        extent, scale = np.abs(direction @ vertices), size * float(np.linalg.norm(draw))
        if i > 0 and extent.max() <= TIED * scale:
            extent, scale = _squared_distance(vertices, corners[:, :i]), size**2
        chosen[i] = first_largest(extent, scale)
        corners[:, i] = vertices[:, chosen[i]]
    return chosen


def _squared_distance(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared distance ``(n,)`` of columns ``(k, n)`` from the nearest of others ``(k, m)``."""
    squares = [np.square(points - other[:, None]).sum(axis=0) for other in others.T]
    return np.asarray(np.min(squares, axis=0))


def _principal(spectra: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the ``(C, k)`` leading left singular vectors, k of them at most `count`."""
    return leading_directions(spectra @ spectra.T, count).T


def _snr_db(spectra: NDArray[np.float64], mean: NDArray[np.float64], count: int) -> float:
    """Return the paper's estimate of the SNR: power inside the subspace over power outside."""
    bands, pixels = spectra.shape
    power = float((spectra**2).sum()) / pixels
    inside = float(((_principal(spectra - mean, count).T @ (spectra - mean)) ** 2).sum()) / pixels
    inside += float((mean**2).sum())
    noise, signal = power - inside, inside - count / bands * power
    if noise <= FLAT_POWER * power:
        return float("inf")
    return 10 * log10(max(signal, np.finfo(float).tiny) / noise)
