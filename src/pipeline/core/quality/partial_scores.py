"""Partial sums of one block of two cubes, gathered in two passes.

`block_totals` needs nothing but the block; `block_similarity` needs the totals of all blocks (ranges for
SSIM) and the pixels that windows reach beyond the block. The scores themselves are defined in
`pipeline.core.quality.comparison`.

SSIM is computed in the type of the images, float32 or float64. Its constants keep it away from differences of
rounding: of float32 images, from which the means of the band are subtracted, it agrees with float64 to 1e-6
(1e-5 where a poor cube is scored on flat ground). UIQI has no such constants, and like all other scores it is
computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.blockwise import CubePair, Mask, added, valid_pixels
from pipeline.core.quality.quality_index import BLOCK, CentredSpectra, q2n, uiqi_map
from pipeline.core.quality.ssim import (
    Moments,
    doubled_mean,
    gaussian_window,
    products,
    sliding_sum,
    ssim_map,
)
from pipeline.core.rounding import varies
from pipeline.core.window import Window

Array = NDArray[np.float64]
PixelFunction = Callable[[Array, Array], Array]
"""Takes the spectra ``(C, pixels)`` of reference and cube at valid pixels; its values are averaged."""

STRIP = 128  # rows whose moments stay in the cache
OVERLAP = 10  # pixels by which the largest sliding window reaches into the next block
UIQI_SIDE = 8
# windows of SSIM with the sum of their weights in both directions, and the norm of covariances; eighths are
# exact in float32, while rounded sevenths would bias variances
SSIM_WINDOWS = ((np.full(7, 1 / 8), 49 / 64, 49 / 48), (gaussian_window(), 1.0, 1.0))
SIDES = (*(window.size for window, *_ in SSIM_WINDOWS), UIQI_SIDE)
FAR = 1e3  # ranges of the reference beyond which float32 would resolve its structure too coarsely


class Totals(NamedTuple):
    """Sums and extremes over valid pixels.

    Attributes
    ----------
    pixels : int
        Number of valid pixels.
    total, low, top : (2, C)
        Sum, minimum and maximum of reference and cube.
    deviations : (3, C)
        Sums of the products xx, yy and xy of the deviations from the means.
    squared_error : (C,)
        Sum of the squared differences.
    angle, angles : float, int
        Sum of the spectral angles in degrees, and how many are defined.
    q2n, q2n_blocks : float, int
        Sum of Q2n over 32x32 blocks, and how many have no NaN.
    pixelwise : (2, n)
        Sum and number of the values of each of n functions of the pixels.
    """

    pixels: int
    total: Array
    low: Array
    top: Array
    deviations: Array
    squared_error: Array
    angle: float
    angles: int
    q2n: float
    q2n_blocks: int
    pixelwise: Array

    def merged(self, other: Totals) -> Totals:
        """Combine with the totals of another block.

        Parameters
        ----------
        other : Totals
            Of another block.
        """
        low, top = np.minimum(self.low, other.low), np.maximum(self.top, other.top)
        sums = added(self, other)
        if self.pixels and other.pixels:
            shift_x, shift_y = self.mean - other.mean
            apart = np.stack([shift_x * shift_x, shift_y * shift_y, shift_x * shift_y])
            between = apart * (self.pixels * other.pixels / sums.pixels)
            sums = sums._replace(deviations=sums.deviations + between)
        return sums._replace(low=low, top=top)

    @property
    def mean(self) -> Array:
        """Mean (2, C)."""
        return self.total / self.pixels

    @property
    def varies(self) -> Mask:
        """Whether a band is not constant up to rounding (2, C)."""
        return varies(self.top - self.low, self.largest)

    @property
    def largest(self) -> Array:
        """Largest magnitude (2, C)."""
        return np.maximum(np.abs(self.low), np.abs(self.top))


class Similarity(NamedTuple):
    """Sums that depend on the totals.

    Attributes
    ----------
    indices : (3, C)
        SSIM, SSIM with Gaussian windows and UIQI, summed over their windows.
    windows : (3,)
        Number of windows without NaN.
    """

    indices: Array
    windows: NDArray[np.int64]


def block_totals(x: NDArray[Any], y: NDArray[Any], pixelwise: Sequence[PixelFunction]) -> Totals:
    """Sum up a block.

    Parameters
    ----------
    x, y : (C, h, w)
        The block of the reference and of the cube; its sides are multiples of 32, or end with the image.
    pixelwise : sequence of callable
        Functions of the spectra at the valid pixels.
    """
    squares = Window(0, x.shape[1], 0, x.shape[2]).split(BLOCK)
    totals = reduce(Totals.merged, (_square_totals(x, y, square) for square in squares))
    return totals._replace(pixelwise=_pixelwise_sums(pixelwise, x, y))


def _square_totals(x: NDArray[Any], y: NDArray[Any], square: Window) -> Totals:
    """Sum up a square of a block on which Q2n is computed; at the scene's far borders it may be smaller."""
    parts = [image[:, *square.slices].reshape(len(image), -1) for image in (x, y)]
    spectra = [part.astype(np.result_type(part, np.float32), copy=False) for part in parts]
    low, top = _extremes(spectra)
    if not (np.isfinite(low).all() and np.isfinite(top).all()):
        valid = valid_pixels(*spectra)
        spectra = [values[:, valid] for values in spectra]
        low, top = _extremes(spectra)
    a, b = (values.astype(np.float64) for values in spectra)
    pixels, total = a.shape[1], np.stack([a.sum(axis=1), b.sum(axis=1)])
    angle, angles = _angles(a, b)
    difference = a - b
    squared_error = np.vecdot(difference, difference)

    means = total / max(1, pixels)
    a -= means[0][:, None]
    b -= means[1][:, None]
    deviations = np.stack([np.vecdot(a, a), np.vecdot(b, b), np.vecdot(a, b)])
    if pixels == BLOCK**2:
        index = q2n(CentredSpectra(means[0], a), CentredSpectra(means[1], b))
    else:
        index = q2n(*(CentredSpectra.of(_mirrored_square(image, square)) for image in (x, y)))
    defined = not np.isnan(index)
    return Totals(
        *(pixels, total, low, top, deviations, squared_error, angle, angles),
        *(index if defined else 0.0, int(defined), np.zeros((2, 0))),
    )


def _extremes(spectra: list[NDArray[Any]]) -> tuple[Array, Array]:
    """Return minima and maxima (2, C) over the pixels of two images ``(C, pixels)``, NaN where one is NaN."""
    low = np.stack([values.min(axis=1, initial=np.inf) for values in spectra])
    top = np.stack([values.max(axis=1, initial=-np.inf) for values in spectra])
    return low.astype(np.float64), top.astype(np.float64)


def _angles(x: Array, y: Array) -> tuple[float, int]:
    """Sum up the angles in degrees between spectra ``(C, pixels)`` that are not zero, and count them."""
    xx, yy, xy = (np.einsum("bp,bp->p", *images) for images in ((x, x), (y, y), (x, y)))
    norms = np.sqrt(xx * yy)
    cosine = xy[norms > 0] / norms[norms > 0]
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).sum()), cosine.size


def _mirrored_square(image: NDArray[Any], square: Window) -> NDArray[Any]:
    """Return a whole Q2n square of an image that is mirrored at its lower and right border."""
    mirrored = (np.pad(np.arange(size), (0, -size % BLOCK), mode="symmetric") for size in image.shape[1:])
    rows, cols = (
        places[start : start + BLOCK] for places, start in zip(mirrored, (square.y0, square.x0), strict=True)
    )
    return np.asarray(image[:, rows[:, None], cols])


def _pixelwise_sums(functions: Sequence[PixelFunction], x: NDArray[Any], y: NDArray[Any]) -> Array:
    """Sum and number of the finite values of each function (2, n)."""
    sums = np.zeros((2, len(functions)))
    if not functions or not (valid := valid_pixels(x, y)).any():
        return sums
    a, b = (image[:, valid].astype(np.float64) for image in (x, y))
    for k, function in enumerate(functions):
        values = np.asarray(function(a, b), np.float64)
        defined = values[np.isfinite(values)]
        sums[:, k] = defined.sum(), defined.size
    return sums


def block_similarity(pair: CubePair, totals: Totals, block: Window) -> Similarity:
    """Sum up the indices of the windows whose upper left pixel lies in a block.

    Parameters
    ----------
    pair : CubePair
        Reference and cube.
    totals : Totals
        Of the whole image.
    block : Window
        Its sides are multiples of 32, or end with the image.
    """
    x, y = pair.read(block, OVERLAP)
    complete = totals.pixels == pair.size[0] * pair.size[1]
    valid = np.ones(x.shape[1:], np.bool_) if complete else valid_pixels(x, y)
    if not valid.all():
        x, y = (np.where(valid, image, 0) for image in (x, y))
    rows, cols = block.shape
    counted = [_whole_windows(valid, side)[:rows, :cols] for side in SIDES]
    sums = np.zeros((len(SIDES), pair.bands))
    for band, top in product(range(pair.bands), range(0, rows, STRIP)):
        strip = [image[band, top : min(top + STRIP, rows) + OVERLAP] for image in (x, y)]
        masks = [mask[top : top + STRIP] for mask in counted]
        indices = (*_ssim(strip, totals, band, masks[:-1]), _uiqi(strip, masks[-1]))
        for k, (index, mask) in enumerate(zip(indices, masks, strict=True)):
            if index is not None:
                sums[k, band] += (index if mask.all() else index[mask]).sum(dtype=np.float64)
    return Similarity(sums, np.array([mask.sum() for mask in counted]))


def _ssim(
    strip: list[NDArray[Any]], totals: Totals, band: int, masks: list[Mask]
) -> Iterator[NDArray[Any] | None]:
    """Compute both kinds of SSIM of a band in part of a block; None where no window counts."""
    span = float((totals.top - totals.low)[0, band]) or 1.0
    near = (totals.top - totals.low)[:, band].max() < FAR * span
    centres: NDArray[Any] = np.zeros(2)
    if near and all(image.dtype == np.float32 for image in strip):
        centres = totals.mean[:, band].astype(np.float32)
    dtype = centres.dtype.type
    scaled = [np.subtract(image, centre, dtype=dtype) for image, centre in zip(strip, centres, strict=True)]
    for image in scaled:
        image *= dtype(1 / span)
    x, y = (float(centre) / span for centre in centres)
    stack = products(*scaled)
    for (window, weight, norm), mask in zip(SSIM_WINDOWS, masks, strict=True):
        if mask.any():
            part = stack[:, : mask.shape[0] + window.size - 1, : mask.shape[1] + window.size - 1]
            yield ssim_map(Moments(*sliding_sum(part, window)), (x + y, x - y), weight, norm)
        else:
            yield None


def _uiqi(strip: list[NDArray[Any]], mask: Mask) -> Array | None:
    """Compute UIQI of a band in part of a block; None where no window counts."""
    if not mask.any():
        return None
    rows, cols = (size + UIQI_SIDE - 1 for size in mask.shape)
    images = (image[:rows, :cols].astype(np.float64) for image in strip)
    return uiqi_map(Moments(*doubled_mean(products(*images), UIQI_SIDE)))


def mirrored(image: NDArray[Any]) -> NDArray[Any]:
    """Mirror an image at its lower and right border, so that it is made of whole Q2n blocks.

    Parameters
    ----------
    image : (C, h, w)
        A block that ends with the scene.
    """
    missing = [(0, 0), *((0, -size % BLOCK) for size in image.shape[1:])]
    return np.pad(image, missing, mode="symmetric") if np.any(missing) else image


def _whole_windows(valid: Mask, size: int) -> Mask:
    """Mark the upper left pixels of the windows that hold valid pixels only."""
    if min(valid.shape) < size:
        return np.zeros((0, 0), np.bool_)
    missing: Array = (~valid).astype(np.float64)
    return sliding_sum(missing, np.ones(size)) == 0
