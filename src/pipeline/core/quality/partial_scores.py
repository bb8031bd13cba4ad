"""What one block of two cubes adds to their scores, in two passes.

`block_totals` needs nothing but the block; `block_similarity` needs the totals of all blocks (means
for the correlation, ranges for SSIM) and the pixels that windows reach beyond the block. The scores
themselves are defined in `pipeline.core.quality.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
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
from pipeline.core.window import Window

Array = NDArray[np.float64]

STRIP = 64  # rows whose moments stay in the cache
OVERLAP = 10  # pixels by which the largest sliding window reaches into the next block

# windows and maps of moments and the reference's range, in the order of `Similarity.indices`
INDICES: tuple[tuple[Array, Callable[[Moments, float], Array]], ...] = (
    (uniform_window(7), partial(ssim_map, covariance_norm=49 / 48)),
    (gaussian_window(), ssim_map),
    (uniform_window(8), lambda moments, _: uiqi_map(moments)),
)


class Totals(NamedTuple):
    """Sums and extremes over valid pixels; the first axis of length 2 is reference and cube.

    Attributes
    ----------
    pixels : int
    total, low, top : (2, C)
        Sum, minimum and maximum.
    squared_error : (C,)
    angle, angles : float, int
        Sum of the spectral angles in degrees, and how many are defined.
    q2n, q2n_blocks : float, int
        Sum of Q2n over 32x32 blocks, and how many have no NaN.
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

    def merged(self, other: Totals) -> Totals:
        """The totals of both."""
        low, top = np.minimum(self.low, other.low), np.maximum(self.top, other.top)
        return added(self, other)._replace(low=low, top=top)

    @property
    def mean(self) -> Array:
        """Mean (2, C)."""
        return self.total / self.pixels

    @property
    def varies(self) -> Mask:
        """Whether a band is not constant (2, C)."""
        return self.top > self.low


class Similarity(NamedTuple):
    """Sums of what depends on the totals.

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


def block_totals(pair: CubePair, block: Window) -> Totals:
    """Totals of a block whose sides are multiples of 32, or end with the image."""
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
        int(valid.sum()), total, low, top, squared_error, angle, cosine.size, float(q2n.sum()), q2n.size
    )


def block_similarity(pair: CubePair, totals: Totals, block: Window) -> Similarity:
    """Deviations of a block's pixels, and indices of the windows whose upper left pixel lies in it."""
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
    """An image that ends with the scene, mirrored at its lower and right border to whole Q2n blocks."""
    missing = [(0, 0), *((0, -size % BLOCK) for size in image.shape[1:])]
    return np.pad(image, missing, mode="symmetric") if np.any(missing) else image


def _whole_windows(valid: Mask, size: int) -> Mask:
    """Whether the window at each upper left pixel holds valid pixels only."""
    if min(valid.shape) < size:
        return np.zeros((0, 0), np.bool_)
    missing: Array = (~valid).astype(np.float64)
    return sliding_mean(missing, uniform_window(size)) == 0


def _deviations(x: Array, y: Array, means: Array, valid: Mask) -> Array:
    """Sums xx, yy, xy over the valid pixels' deviations from the two means."""
    x, y = (x - means[0]) * valid, (y - means[1]) * valid
    return np.array([(x * x).sum(), (y * y).sum(), (x * y).sum()])
