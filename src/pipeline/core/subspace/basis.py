"""The spectral subspace of a scene, learned from its LR-HSI: ``Z = A E``.

Rows of E span the d directions with the most power of the LR-HSI relative to its noise. Images may be larger
than memory: they are read in fixed blocks. Only valid pixels count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import SUMS, signed
from pipeline.core.sensing.nodata import fill_nearest, missing_pixels
from pipeline.core.sensing.observation import Image, ObservedScene
from pipeline.core.sensing.resampling import KEYS, response_rows
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

DEFAULT_DIMENSION = 10
COVARIANCE_FLOOR = 1e-6  # of the mean variance, added to every direction so that it can be inverted
BLOCK = 128  # LR pixels: side of the blocks that are read


@dataclass(frozen=True)
class Subspace:
    """A basis, and the projection of an LR-HSI onto it.

    Attributes
    ----------
    basis : (d, C) float64
        E; its rows are orthonormal after division of the bands by their noise levels.
    projection : (d, C) float64
        From a spectrum to its coefficients, by least squares weighted by the noise.
    """

    basis: NDArray[np.float64]
    projection: NDArray[np.float64]

    @classmethod
    def of(cls, basis: NDArray[np.float64], sigma: NDArray[np.float64]) -> Subspace:
        """Make the subspace of a basis.

        Parameters
        ----------
        basis : (d, C)
            E, of full rank.
        sigma : (C,)
            Noise standard deviations of the bands.
        """
        return cls(basis, np.asarray(np.linalg.solve(coefficient_precision(basis, sigma), basis / sigma**2)))

    def coefficients(self, image: Image) -> Coefficients:
        """Return the coefficients of an image, projected when they are read."""
        return Coefficients(self.projection, image)


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of an image in a subspace; slices are float64.

    Attributes
    ----------
    projection : (d, C) float64
        From a spectrum to its coefficients.
    image : (C, h, w)
        The image.
    """

    projection: NDArray[np.float64]
    image: Image

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes (d, h, w)."""
        return len(self.projection), *self.image.shape[1:]

    def __getitem__(self, key: Any) -> NDArray[np.float64]:
        """Read the coefficients of a window, given by three slices of which the first is whole."""
        return np.tensordot(self.projection, np.asarray(self.image[key], np.float64), axes=1)


def coefficient_precision(basis: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the precision ``E Sh^-1 E^T`` ``(d, d)`` of the coefficients of a noisy spectrum.

    Parameters
    ----------
    basis : (d, C)
        E.
    sigma : (C,)
        Noise standard deviations of the bands.
    """
    return np.asarray((basis / sigma**2) @ basis.T)


def coefficient_noise(basis: NDArray[np.float64], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the noise covariance ``(d, d)`` of least-squares coefficients.

    Parameters
    ----------
    basis : (d, C)
        E.
    sigma : (C,)
        Noise standard deviations of the bands.
    """
    return np.asarray(np.linalg.inv(coefficient_precision(basis, sigma)))


def resolve_dimension(d: int | None, scene: ObservedScene) -> int:
    """Return the subspace dimension of a scene.

    Parameters
    ----------
    d : int or None
        Dimension asked for; by default 10, or fewer if there are fewer bands or LR pixels.
    scene : ObservedScene
        The scene.

    Raises
    ------
    InputError
        Bands or LR pixels are fewer than `d`.
    """
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
    """Return the principal directions of an LR-HSI whose bands are divided by their noise levels.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        The LR-HSI; no-data is NaN.
    sigma : (C,)
        Noise standard deviations of the bands, positive.
    d : int
        Dimension of the subspace, at most: an image without noise may have fewer (see `leading_directions`).

    Returns
    -------
    Subspace
        Basis and projection.
    """
    weight = np.sqrt(np.mean(sigma**2)) / sigma  # 1 for equal noise, so that E is orthonormal then
    moment, _ = second_moment(_blocks(lr_hsi))
    directions = leading_directions(moment * np.outer(weight, weight), d)
    return Subspace(directions / weight, directions * weight)


def leading_directions(moment: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the eigenvectors ``(k, C)`` of the largest eigenvalues, k of them, their signs fixed.

    Eigenvectors whose eigenvalues are rounding are left out, since they are arbitrary: any rotation of them
    is as good, and another processor finds another.

    Parameters
    ----------
    moment : (C, C)
        Symmetric, without negative eigenvalues but for rounding.
    count : int
        Number of eigenvectors, at most; there is one at least.
    """
    values, vectors = np.linalg.eigh(moment)
    count = max(1, min(count, int((values > SUMS * values[-1]).sum())))
    return signed(vectors[:, : -count - 1 : -1].T)


def signal_dimension(lr_hsi: Image, sigma: NDArray[np.float64]) -> int:
    """Return the number of spectral directions whose power exceeds that of white noise.

    It is the number of eigenvalues of the noise-whitened second moment above the Marchenko-Pastur edge
    ``(1 + sqrt(C / N))^2``.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        The LR-HSI; no-data is NaN.
    sigma : (C,)
        Noise standard deviations of the bands, positive.
    """
    moment, pixels = second_moment(_blocks(lr_hsi))
    eigenvalues = np.linalg.eigvalsh(moment / np.outer(sigma, sigma) / pixels)
    return max(1, int((eigenvalues > (1 + np.sqrt(len(sigma) / pixels)) ** 2).sum()))


def second_moment(blocks: Iterable[NDArray[np.floating]]) -> tuple[NDArray[np.float64], int]:
    """Sum ``x x^T`` ``(C, C)`` over the valid pixels of blocks ``(C, h, w)``, and count the pixels."""
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
    """Return the covariance ``(d, d)`` of the detail that a further degradation loses.

    The detail is ``a - upsample(H(a))``: that of the wanted image a Wald level lower, and it can be measured
    on the LR-HSI alone. H's shift is left out, since the detail depends on the kernel's shape alone. Images
    that the ratio does not divide are cut; very small images use the largest ratio that fits.

    Parameters
    ----------
    coefficients : (d, h, w)
        a, coefficients of the LR-HSI; no-data is NaN.
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
    """Return ``a - upsample(H(a))`` in a window of an image of a size; NaN where a is.

    No-data takes the nearest valid pixel among those on which the window depends.
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
    """Return rows of `upsampling_matrix` over the columns that they use, and the first of these columns."""
    return response_rows(coarse, Fraction(coarse, fine), np.arange(start, stop), KEYS)
