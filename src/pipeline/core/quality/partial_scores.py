"""Partial sums of one block of two cubes, gathered in two passes.

`block_totals` needs nothing but the block; `block_similarity` needs the totals of all blocks (means
for the correlation, ranges for SSIM) and the pixels that windows reach beyond the block. The scores
themselves are defined in `pipeline.core.quality.comparison`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.blockwise import CubePair, Mask, added
from pipeline.core.quality.quality_index import BLOCK, q2n_blocks, uiqi_map
from pipeline.core.quality.ssim import (
    Moments,
    gaussian_window,
    local_moments,
    products,
    sliding_mean,
    ssim_map,
    uniform_window,
)
from pipeline.core.rounding import varies
from pipeline.core.window import Window

Array = NDArray[np.float64]
PixelFunction = Callable[[Array, Array], Array]
"""Takes the spectra ``(C, pixels)`` of reference and cube at valid pixels; its values are averaged."""

STRIP = 64  # rows whose moments stay in the cache
OVERLAP = 10  # pixels by which the largest sliding window reaches into the next block

# windows and functions of moments and of the reference's range, in the order of `Similarity.indices`
INDICES: tuple[tuple[Array, Callable[[Moments, float], Array]], ...] = (
    (uniform_window(7), partial(ssim_map, covariance_norm=49 / 48)),
    (gaussian_window(), ssim_map),
    (uniform_window(8), lambda moments, _: uiqi_map(moments)),
)


class Totals(NamedTuple):
    """Sums and extremes over valid pixels.

    Attributes
    ----------
    pixels : int
        Number of valid pixels.
    total, low, top : (2, C)
        Sum, minimum and maximum of reference and cube.
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
        return added(self, other)._replace(low=low, top=top)

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
    deviations : (3, C)
        Products xx, yy, xy of the deviations from the means.
    indices : (3, C)
        SSIM, SSIM with Gaussian windows and UIQI, summed over their windows.
    windows : (3,)
        Number of windows without NaN.
    """

    deviations: Array
    indices: Array
    windows: NDArray[np.int64]


def block_totals(pair: CubePair, pixelwise: Sequence[PixelFunction], block: Window) -> Totals:
    """Sum up a block.

    Parameters
    ----------
    pair : CubePair
        Reference and cube.
    pixelwise : sequence of callable
        Functions of the spectra at the valid pixels.
    block : Window
        Its sides are multiples of 32, or end with the image.
    """
    x, y, valid = pair.read(block)
    chosen: Any = ... if valid.all() else valid  # a view where no pixel is left out
    total = np.zeros((2, pair.bands))
    low, top = np.full_like(total, np.inf), np.full_like(total, -np.inf)
    squared_error = np.zeros(pair.bands)
    xx, yy, xy = (np.zeros(valid[chosen].shape) for _ in range(3))
    for band in range(pair.bands):
        a, b = (image[band][chosen].astype(np.float64) for image in (x, y))
        for k, values in enumerate((a, b)):
            total[k, band] = values.sum()
            low[k, band] = values.min(initial=np.inf)
            top[k, band] = values.max(initial=-np.inf)
        squared_error[band] = np.square(a - b).sum()
        xx += a * a
        yy += b * b
        xy += a * b
    norms = np.sqrt(xx * yy)
    cosine = xy[norms > 0] / norms[norms > 0]
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).sum())
    q2n = q2n_blocks(mirrored(x), mirrored(y))
    q2n = q2n[~np.isnan(q2n)]
    return Totals(
        int(valid.sum()),
        total,
        low,
        top,
        squared_error,
        angle,
        cosine.size,
        float(q2n.sum()),
        q2n.size,
        _pixelwise_sums(pixelwise, x, y, valid),
    )


def _pixelwise_sums(
    functions: Sequence[PixelFunction], x: NDArray[Any], y: NDArray[Any], valid: Mask
) -> Array:
    """Sum and number of the finite values of each function (2, n)."""
    sums = np.zeros((2, len(functions)))
    if not functions or not valid.any():
        return sums
    a, b = (image[:, valid].astype(np.float64) for image in (x, y))
    for k, function in enumerate(functions):
        values = np.asarray(function(a, b), np.float64)
        defined = values[np.isfinite(values)]
        sums[:, k] = defined.sum(), defined.size
    return sums


def block_similarity(pair: CubePair, totals: Totals, block: Window) -> Similarity:
    """Sum up a block's deviations and the indices of the windows whose upper left pixel lies in it.

    Parameters
    ----------
    pair : CubePair
        Reference and cube.
    totals : Totals
        Of the whole image.
    block : Window
        Its sides are multiples of 32, or end with the image.
    """
    x, y, valid = pair.read(block, OVERLAP)
    if not valid.all():
        x, y = (np.where(valid, image, 0) for image in (x, y))
    rows, cols = block.shape
    counted = [_whole_windows(valid, window.size)[:rows, :cols] for window, _ in INDICES]
    spans = (totals.top - totals.low)[0]
    deviations, indices = np.zeros((2, 3, pair.bands))
    for band, top in product(range(pair.bands), range(0, rows, STRIP)):
        strip = slice(top, min(top + STRIP, rows))
        a, b = (image[band, top : strip.stop + OVERLAP].astype(np.float64) for image in (x, y))
        inside = slice(strip.stop - top), slice(cols)
        deviations[:, band] += _deviations(a[inside], b[inside], totals.mean[:, band], valid[strip, :cols])
        images = products(a, b)
        for k, (window, index) in enumerate(INDICES):
            mask = counted[k][strip]
            if mask.any():
                part = images[:, : mask.shape[0] + window.size - 1, : mask.shape[1] + window.size - 1]
                values = index(local_moments(part, window), spans[band] or 1.0)
                indices[k, band] += values.sum() if mask.all() else values[mask].sum()
    return Similarity(deviations, indices, np.array([mask.sum() for mask in counted]))


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
    return sliding_mean(missing, uniform_window(size)) == 0


def _deviations(x: Array, y: Array, means: Array, valid: Mask) -> Array:
    """Sum up xx, yy and xy of the valid pixels' deviations from the two means."""
    x, y = (x - means[0]) * valid, (y - means[1]) * valid
    return np.array([(x * x).sum(), (y * y).sum(), (x * y).sum()])
