"""The spectral subspace of a scene, learned from its LR-HSI: ``Z = A E``.

Rows of E span the d directions that hold most of the LR-HSI above its noise. The same E, scaled by
the noise, serves images whose bands have different noise levels. Images may be larger than memory:
they are read in fixed blocks, and only valid pixels count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import signed
from pipeline.core.sensing.nodata import fill_nearest, missing_pixels
from pipeline.core.sensing.observation import Image, ObservedScene
from pipeline.core.sensing.resampling import keys_cubic, response_rows
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

DEFAULT_DIMENSION = 10
COVARIANCE_FLOOR = 1e-6  # share of the mean variance added to every direction, so that it inverts
BLOCK = 128  # side in LR pixels of a block that is read at once


@dataclass(frozen=True)
class Subspace:
    """A basis, and how an LR-HSI is projected onto it.

    Attributes
    ----------
    basis : (d, C) float64
        E; orthonormal rows after division of the bands by their noise levels.
    projection : (d, C) float64
        Takes a spectrum to its coefficients: the least-squares solution, weighted by the noise.
    """

    basis: NDArray[np.float64]
    projection: NDArray[np.float64]

    @classmethod
    def of(cls, basis: NDArray[np.float64], sigma: NDArray[np.float64]) -> Subspace:
        """Return the subspace of any basis of full rank, for bands with given noise levels."""
        return cls(basis, np.asarray(np.linalg.solve(coefficient_precision(basis, sigma), basis / sigma**2)))

    def coefficients(self, image: Image) -> Coefficients:
        """Return the coefficients of an image, projected when they are read."""
        return Coefficients(self.projection, image)


@dataclass(frozen=True)
class Coefficients:
    """An image ``(C, h, w)`` projected onto a subspace: its slices are coefficients ``(d, ...)``, float64."""

    projection: NDArray[np.float64]
    image: Image

    @property
    def shape(self) -> tuple[int, ...]:
        """(d, h, w)."""
        return len(self.projection), *self.image.shape[1:]

    def __getitem__(self, key: Any) -> NDArray[np.float64]:
        """Return the coefficients of a window, given by three slices; the first selects all coefficients."""
        return np.tensordot(self.projection, np.asarray(self.image[key], np.float64), axes=1)


def coefficient_precision(basis: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``E Sh^-1 E^T`` ``(d, d)``, the precision of coefficients from a spectrum with given noise."""
    return np.asarray((basis / sigma**2) @ basis.T)


def coefficient_noise(basis: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance ``(d, d)`` of the noise of least-squares coefficients on a basis ``(d, C)``."""
    return np.asarray(np.linalg.inv(coefficient_precision(basis, sigma)))


def resolve_dimension(d: int | None, scene: ObservedScene) -> int:
    """Return the requested subspace dimension or, by default, 10 if bands and LR pixels allow it."""
    pixels = scene.lr_shape[0] * scene.lr_shape[1]
    most = min(scene.bands, pixels)
    if d is None:
        return min(DEFAULT_DIMENSION, most)
    if d > most:
        raise InputError(
            f"d: {d} subspace dimensions are more than the LR-HSI's {scene.bands} bands or "
            f"{pixels} pixels allow; use at most {most}"
        )
    return d


def fit_subspace(lr_hsi: Image, sigma: NDArray[np.float64], d: int) -> Subspace:
    """Compute the principal directions of an LR-HSI whose bands are divided by their noise levels.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        No-data is NaN.
    sigma : (C,)
        Noise standard deviation per band, positive.
    d : int

    Returns
    -------
    Subspace
    """
    weight = np.sqrt(np.mean(sigma**2)) / sigma  # one for equal noise, so that E is orthonormal then
    moment, _ = second_moment(_blocks(lr_hsi))
    _, vectors = np.linalg.eigh(moment * np.outer(weight, weight))
    directions = signed(vectors[:, : -d - 1 : -1].T)
    return Subspace(directions / weight, directions * weight)


def signal_dimension(lr_hsi: Image, sigma: NDArray[np.float64]) -> int:
    """Count the spectral directions whose power exceeds white noise of the given levels.

    Counts the eigenvalues of the noise-whitened second moment above the Marchenko-Pastur edge
    ``(1 + sqrt(C / N))^2``.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        No-data is NaN.
    sigma : (C,)
        Noise standard deviation per band, positive.
    """
    moment, pixels = second_moment(_blocks(lr_hsi))
    eigenvalues = np.linalg.eigvalsh(moment / np.outer(sigma, sigma) / pixels)
    return max(1, int((eigenvalues > (1 + np.sqrt(len(sigma) / pixels)) ** 2).sum()))


def second_moment(blocks: Iterable[NDArray[np.floating]]) -> tuple[NDArray[np.float64], int]:
    """Sum of ``x x^T`` ``(C, C)`` over the valid pixels of blocks ``(C, h, w)``, and their number."""
    moment: NDArray[np.float64] | float = 0.0
    count = 0
    for block in blocks:
        pixels = block[:, ~missing_pixels(block)].astype(np.float64)
        moment += pixels @ pixels.T
        count += pixels.shape[1]
    if not count:
        raise InputError("lr_hsi: no pixel is valid in all bands; leave bands without data out")
    return np.asarray(moment), count


def _blocks(image: Image) -> Iterator[NDArray[np.floating]]:
    for window in Window(0, image.shape[1], 0, image.shape[2]).split(BLOCK):
        yield np.asarray(image[:, *window.slices])


def detail_covariance(coefficients: Image, response: SpatialResponse) -> NDArray[np.float64]:
    """Estimate the covariance ``(d, d)`` of the detail lost in one more degradation, ``a - upsample(H(a))``.

    One Wald level below the wanted image, so that it can be measured on the LR-HSI alone. H's shift
    is left out, since the detail depends on the kernel's shape alone. Images that the ratio does not
    divide are cut; very small ones use the largest ratio that fits.

    Parameters
    ----------
    coefficients : (d, h, w)
        a, of the LR-HSI; no-data is NaN.
    response : SpatialResponse
        H.
    """
    _, height, width = coefficients.shape
    response = replace(response, shift=(0.0, 0.0))
    step = response.ratio.numerator
    if min(height, width) < 2 * step:
        step = max(2, min(round(response.ratio), min(height, width) // 2))
        response = SpatialResponse.bicubic(ratio=step)
    if min(height, width) < step:
        moment, count = second_moment(_blocks(coefficients))
    else:
        size = height // step * step, width // step * step
        cut = Window(0, size[0], 0, size[1])
        side = max(1, BLOCK // step) * step
        moment, count = second_moment(
            _detail(coefficients, response, size, window) for window in cut.split(side)
        )
    covariance = moment / count
    floor = COVARIANCE_FLOOR * np.trace(covariance) / len(covariance)
    return covariance + max(floor, np.finfo(np.float64).tiny) * np.eye(len(covariance))


def _detail(
    image: Image, response: SpatialResponse, size: tuple[int, int], window: Window
) -> NDArray[np.float64]:
    """Return ``a - upsample(H(a))`` in a window, as computed from the whole image; NaN where a is NaN.

    No-data is replaced by the nearest valid pixel among the pixels on which the window depends.
    """
    rows, top = _upsampling_rows(response.lr_size(size[0]), size[0], window.y0, window.y1)
    cols, left = _upsampling_rows(response.lr_size(size[1]), size[1], window.x0, window.x1)
    coarse = Window(top, top + rows.shape[1], left, left + cols.shape[1])
    operator, support = response.window_operator(size, coarse)
    read = support.union(window)
    block = np.asarray(image[:, *read.slices])
    smooth = operator.forward(fill_nearest(block)[:, *support.relative_to(read).slices])
    return block[:, *window.relative_to(read).slices] - rows @ smooth @ cols.T


def _upsampling_rows(coarse: int, fine: int, start: int, stop: int) -> tuple[NDArray[np.float64], int]:
    """Return rows of `upsampling_matrix`, cut to the columns in use, and the first of these columns."""
    return response_rows(coarse, Fraction(coarse, fine), np.arange(start, stop), keys_cubic, 4.0)
