"""What differs from one HR pixel to the next without a trace in the HR-MSI: the nugget of geostatistics.

Glint, an edge that some bands show more sharply than others, noise that the scene's own recording had:
no method can tell where it is. H averages nearly all of it away, so that LR pixels differ by little of it,
and what they differ by for other reasons mostly grows with their distance. The LR-HSI's variogram (Matheron
1963) tells the two apart: it is extrapolated to a distance of zero, beside what H does to white noise.

Structure finer than an LR pixel that the HR-MSI does not show at all cannot be told from what is white,
although H leaves more of it. So that little of it is not taken for much that is white, H is not believed
to average more than a bicubic kernel of ratio 4 does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.gaussian import coefficients_of
from pipeline.core.nodata import coupled_pixels, fill_nearest
from pipeline.core.observation import Observation
from pipeline.core.spatial import SpatialResponse
from pipeline.core.window import Window

Array = NDArray[np.float64]

SIDE = 8  # LR pixels, of the squares over which the standard error is taken
FEWEST_SQUARES = 4
SIGNIFICANT = 2.0  # standard errors
LEAST_SEEN = 2.0  # power of the differences of H(Y) in units of its noise's
LARGEST_OVERLAP = 0.25  # of what LR pixels see in common, as the correlation of H of white noise
LEAST_GAIN = 0.0265  # of white variance, to the intercept of the variogram: bicubic, ratio 4


def nugget(parts: Sequence[Observation], basis: Array, noise: Array) -> Array:
    """Variance ``(C,)`` on the HR grid, of what is white there and not linear in the HR-MSI.

    The variogram of what is left of X after a regression on H(Y), at two distances, one twice the other::

        gamma(h) = noise + nugget * gain(h) + slope * h

    It is credited with what exceeds two of its standard errors, by the jackknife over squares of LR pixels
    with the coefficients of the regression held; with fewer than four squares it is zero.

    Parameters
    ----------
    parts : sequence of Observation
    basis : (d, C)
        E, to which X is projected.
    noise : (C,)
        Variance, within the subspace, of the LR-HSI's noise and of the model's errors.
    """
    response, shape = parts[0].spatial_response, parts[0].hr_shape
    near = _near(response, shape)
    lags = near, 2 * near
    gains = [semivariance_gain(response, shape, lag) for lag in lags]
    images = [_images(part, basis) for part in parts]
    squares = [_squares(images, parts[0].hr_msi.shape[0], lag) for lag in lags]
    filled = (squares[0].pairs > 0) & (squares[1].pairs > 0)
    number = np.count_nonzero(filled)
    if number < FEWEST_SQUARES:
        return np.zeros(basis.shape[1])
    one, two = (
        _semivariances(Squares(*(sums[filled] for sums in at)), gain * parts[0].sigma_msi ** 2) - noise
        for at, gain in zip(squares, gains, strict=True)
    )
    found = (2 * one - two) / max(2 * gains[0] - gains[1], LEAST_GAIN)
    error = np.sqrt((number - 1) * found[1:].var(axis=0))
    return np.maximum(found[0] - SIGNIFICANT * error, 0)


def semivariance_gain(response: SpatialResponse, hr_shape: tuple[int, int], lag: int) -> float:
    """Half the mean square of the difference of H of unit white noise, so many LR pixels apart."""
    height, width = (response.lr_size(size) for size in hr_shape)
    down, right = max(height - lag, 0) * width, height * max(width - lag, 0)
    covariance = down * response.noise_gain(*hr_shape, (lag, 0))
    covariance += right * response.noise_gain(*hr_shape, (0, lag))
    return response.noise_gain(*hr_shape) - covariance / max(down + right, 1)


def _near(response: SpatialResponse, hr_shape: tuple[int, int]) -> int:
    """Distance at which LR pixels hardly overlap."""
    lag, enough = 1, (1 - LARGEST_OVERLAP) * response.noise_gain(*hr_shape)
    while semivariance_gain(response, hr_shape, lag) < enough:
        lag += 1
    return lag


class Squares(NamedTuple):
    """Sums over the pairs of LR pixels at one distance, of each square s that holds a pair's first pixel.

    Attributes
    ----------
    pairs : (s,)
    known : (s, c, c)
        Products of the differences of H(Y) among each other.
    cross : (s, c, C)
        Those with the differences of X.
    power : (s, C)
        Squares of the latter.
    """

    pairs: Array
    known: Array
    cross: Array
    power: Array


def _images(part: Observation, basis: Array) -> tuple[Array, NDArray[np.bool_]]:
    """H(Y) and the bands of X ``(c + C, h, w)``, and which LR pixels ``(h, w)`` see data of the part alone.

    A part's border need not be the scene's.
    """
    known = part.operator.forward(fill_nearest(part.hr_msi).astype(np.float64))
    margin = part.spatial_response.support_lr
    inner = np.zeros(part.lr_shape, bool)
    inner[margin:-margin, margin:-margin] = True
    bands = np.tensordot(basis.T, coefficients_of(part, basis), axes=1)
    return np.concatenate([known, bands]), coupled_pixels(part) & inner


def _squares(parts: Sequence[tuple[Array, NDArray[np.bool_]]], msi_bands: int, lag: int) -> Squares:
    found = []
    for images, valid in parts:
        down = images[:, lag:] - images[:, :-lag], valid[lag:] & valid[:-lag]
        right = images[:, :, lag:] - images[:, :, :-lag], valid[:, lag:] & valid[:, :-lag]
        for square in Window(0, valid.shape[0], 0, valid.shape[1]).split(SIDE):
            at = square.slices
            pairs = np.concatenate([image[:, *at][:, both[at]] for image, both in (down, right)], axis=1)
            seen, band = pairs[:msi_bands], pairs[msi_bands:]
            found.append((pairs.shape[1], seen @ seen.T, seen @ band.T, np.square(band).sum(axis=1)))
    return Squares(*(np.array(sums, np.float64) for sums in zip(*found, strict=True)))


def _semivariances(squares: Squares, of_msi: Array) -> Array:
    """Of what the regression on H(Y) leaves, given the semivariances ``(c,)`` of its noise: ``(1 + s, C)``.

    First that of all squares, then without one after another.
    """
    linear = _regression(squares, of_msi)
    left = squares.power - 2 * np.einsum("cb,scb->sb", linear, squares.cross)
    left += np.einsum("cb,sce,eb->sb", linear, squares.known, linear, optimize=True)
    left, pairs = (_all_and_without_each(sums) for sums in (left, squares.pairs[:, None]))
    return np.asarray(left / pairs / 2 - of_msi @ np.square(linear))


def _regression(squares: Squares, of_msi: Array) -> Array:
    """Coefficients ``(c, C)`` on H(Y) without its noise (Fuller 1987), where it stands out of that."""
    scale = np.sqrt(2 * squares.pairs.sum() * of_msi)
    power, directions = np.linalg.eigh(squares.known.sum(axis=0) / np.outer(scale, scale))
    seen = directions[:, power > LEAST_SEEN] / scale[:, None]
    return np.asarray(seen / (power[power > LEAST_SEEN] - 1) @ seen.T @ squares.cross.sum(axis=0))


def _all_and_without_each(sums: Array) -> Array:
    total = sums.sum(axis=0)
    return np.concatenate([total[None], total - sums])
