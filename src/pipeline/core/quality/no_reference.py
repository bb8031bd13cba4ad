"""Quality of a fused cube without a reference: D_lambda, D_s, QNR and HQNR.

QNR follows Alparone et al. 2008 (Multispectral and panchromatic data fusion assessment without
reference), HQNR Aiazzi et al. 2014 with the spectral index of Khan et al. 2009. Good values do not prove
that a cube is right; whether it explains the observation is measured in `residuals`.

>>> from pipeline.core.sensing.observation import Observation
>>> from pipeline.core.sensing.spatial import SpatialResponse
>>> x = np.random.default_rng(0).random((3, 16, 16))
>>> z = np.kron(x, np.ones((4, 4)))  # no detail within LR pixels: both scales look the same
>>> r = np.array([[0.5, 0.5, 0.0]])
>>> scene = Observation(x, np.tensordot(r, z, 1), r, SpatialResponse.box(ratio=4), np.ones(3), np.ones(1))
>>> distortions = no_reference(z, scene)
>>> {name: round(value, 9) for name, value in vars(distortions).items()}
{'d_lambda': 0.0, 'd_s': 0.0, 'd_lambda_khan': 0.0}
>>> round(distortions.qnr, 9), round(distortions.hqnr, 9)
(1.0, 1.0)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial, reduce
from math import floor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.blockwise import Mapped, Mask, added, block_side, blocks
from pipeline.core.quality.partial_scores import mirrored
from pipeline.core.quality.quality_index import BLOCK, cross_products, q2n_blocks, uiqi_map
from pipeline.core.quality.residuals import Forward, check_cube
from pipeline.core.quality.ssim import Moments
from pipeline.core.rounding import FLAT_POWER, TIED
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.window import Window

Array = NDArray[np.float64]

WINDOW = 8  # side in LR pixels of the windows of UIQI; on the HR grid they cover the same ground
LEAST_VALID = 0.5  # fraction of a window's pixels; more than it need data at both scales
LEAST_WEIGHT = 0.01  # fraction of an MSI band's largest weight from which on it covers an HSI band


@dataclass(frozen=True)
class Distortions:
    """Distortion and quality indices; None where one is not defined (no window counts, a single band).

    Attributes
    ----------
    d_lambda : float or None
        Mean over all pairs of HSI bands of ``|Q(X_l, X_r) - Q(Z_l, Z_r)|`` (Alparone's, p = 1), with Q the
        mean of UIQI over windows of 8x8 LR pixels side by side, and over the same ground on the HR grid.
    d_s : float or None
        Mean over HSI bands of ``|Q(X_b, H(Y_m)) - Q(Z_b, Y_m)|`` (Alparone's with q = 1, there with one
        panchromatic band), with m the MSI band related to b (see `related_msi_band`).
    d_lambda_khan : float or None
        ``1 - Q2n(X, H(Z))`` over blocks of 32x32 LR pixels, mirrored at the border.
    """

    d_lambda: float | None
    d_s: float | None
    d_lambda_khan: float | None

    @property
    def qnr(self) -> float | None:
        """``(1 - d_lambda) (1 - d_s)``."""
        return _quality(self.d_lambda, self.d_s)

    @property
    def hqnr(self) -> float | None:
        """``(1 - d_lambda_khan) (1 - d_s)``."""
        return _quality(self.d_lambda_khan, self.d_s)


def no_reference(cube: Any, scene: ObservedScene, *, mapped: Mapped = map) -> Distortions:
    """Measure spectral and spatial distortion of a fused cube against the observation.

    All pairs of bands count: their products over a window are one product of matrices. A window
    counts where more than half of its pixels have data in all bands at both scales, a block of Q2n where
    all have.

    Parameters
    ----------
    cube : (C, H, W)
        Z: a NumPy array, or anything with a shape whose slices NumPy can read.
    scene : ObservedScene
        X, Y, H and R.
    mapped : callable
        Like `map`, which is the default; computes the blocks anywhere and yields them in order.
    """
    check_cube(cube, scene)
    lr_side = int(block_side(scene.bands) / scene.spatial_response.ratio)
    windows = blocks(scene.lr_shape, max(1, lr_side // BLOCK) * BLOCK, BLOCK)
    sums = reduce(added, mapped(partial(_block_sums, cube, scene), windows))
    d_lambda = d_s = None
    if sums.windows:
        bands = np.arange(scene.bands)
        change = np.abs(sums.lr - sums.hr) / sums.windows
        partner = related_msi_band(scene.spectral_response, sums.correlation)
        d_s = float(change[bands, scene.bands + partner].mean())
        if scene.bands > 1:  # a band's Q with itself is 1 at both scales
            d_lambda = float(change[:, : scene.bands].sum() / (scene.bands * (scene.bands - 1)))
    return Distortions(d_lambda, d_s, 1 - sums.q2n / sums.q2n_blocks if sums.q2n_blocks else None)


def related_msi_band(spectral_response: Array, correlation: Array) -> NDArray[np.intp]:
    """Choose the MSI band with which each HSI band is compared (C,).

    It is the MSI band with the largest weight in R relative to the largest of its row. Where that is
    below 1 % for all, it is the band with which the HSI band correlates most on the LR grid (as in the
    hyper-sharpening of Selva et al. 2015).

    Parameters
    ----------
    spectral_response : (c, C)
        R.
    correlation : (C, c)
        Of the HSI's bands with the degraded MSI's.
    """
    weight = np.abs(spectral_response)
    weight = weight / weight.max(axis=1, keepdims=True)
    highest = correlation.max(axis=1, keepdims=True)
    correlated = (correlation >= highest - TIED).argmax(axis=1)  # of bands that correlate equally, the first
    return np.where(weight.max(axis=0) >= LEAST_WEIGHT, weight.argmax(axis=0), correlated)


class _Sums(NamedTuple):
    """Sums over blocks of Q2n, windows of UIQI, and the LR pixels in these.

    Attributes
    ----------
    q2n, q2n_blocks : float, int
        Sum of Q2n over blocks, and their number.
    windows : int
        Number of windows.
    lr, hr : (C, C + c)
        UIQI of each HSI band with each HSI and MSI band, on both grids.
    pixels : int
        LR pixels in the windows.
    total, power : (C + c,)
        Sums of the LR images, and of their squares.
    mixed : (C, c)
        Products of HSI and degraded MSI bands.
    """

    q2n: float
    q2n_blocks: int
    windows: int
    lr: Array
    hr: Array
    pixels: int
    total: Array
    power: Array
    mixed: Array

    @classmethod
    def zero(cls, bands: int, msi_bands: int) -> _Sums:
        pairs, levels = np.zeros((bands, bands + msi_bands)), np.zeros(bands + msi_bands)
        return cls(0.0, 0, 0, pairs, pairs, 0, levels, levels, np.zeros((bands, msi_bands)))

    @property
    def correlation(self) -> Array:
        """Pearson's correlation of HSI and degraded MSI bands (C, c), 0 where one is constant."""
        mean, power = self.total / self.pixels, self.power / self.pixels
        variance = power - mean**2
        deviation = np.sqrt(np.where(variance > FLAT_POWER * power, variance, 0))
        bands = len(self.mixed)
        covariance = self.mixed / self.pixels - np.outer(mean[:bands], mean[bands:])
        norms = np.outer(deviation[:bands], deviation[bands:])
        return np.divide(covariance, norms, out=np.zeros_like(covariance), where=norms > 0)


class _Products(NamedTuple):
    """Sums over the valid pixels of a window.

    Attributes
    ----------
    pixels : int
        Number of valid pixels.
    total, power : (C + c,)
        Sums of the bands, and of their squares.
    mixed : (C, C + c)
        Products of the first C bands with all.
    """

    pixels: int
    total: Array
    power: Array
    mixed: Array

    @property
    def uiqi(self) -> Array:
        """UIQI of the first C bands with all (C, C + c)."""
        mean, power = self.total / self.pixels, self.power / self.pixels
        first, twice = slice(len(self.mixed)), 2 * self.mixed / self.pixels
        level, powers = mean[first, None], power[first, None] + power
        return uiqi_map(Moments(level + mean, level - mean, powers + twice, powers - twice))


def _block_sums(cube: Any, scene: ObservedScene, lr: Window) -> _Sums:
    """Sum up a block of LR pixels and the HR pixels over the same ground."""
    bands = scene.bands
    operator, support = scene.spatial_response.window_operator(scene.hr_shape, lr)
    ground = _on_hr_grid(lr, scene)
    read = ground.union(support)
    images = [np.asarray(image[:, *read.slices]) for image in (cube, scene.hr_msi)]
    forward, inside = Forward(operator), support.relative_to(read).slices
    degraded_cube, degraded_msi = (
        np.stack([forward(band[inside].astype(np.float64)) for band in image]) for image in images
    )
    observed = np.asarray(scene.lr_hsi[:, *lr.slices], np.float64)
    q2n = q2n_blocks(mirrored(observed), mirrored(degraded_cube))
    q2n = q2n[~np.isnan(q2n)]

    sums = _Sums.zero(bands, len(degraded_msi))._replace(q2n=float(q2n.sum()), q2n_blocks=q2n.size)
    low_images, high_images = (observed, degraded_msi), images
    for window in blocks(lr.shape, WINDOW, WINDOW):
        absolute = Window(lr.y0 + window.y0, lr.y0 + window.y1, lr.x0 + window.x0, lr.x0 + window.x1)
        low = _products(low_images, window)
        high = _products(high_images, _on_hr_grid(absolute, scene).relative_to(read))
        if low and high:
            sums = added(
                sums,
                _Sums(0, 0, 1, low.uiqi, high.uiqi, low.pixels, low.total, low.power, low.mixed[:, bands:]),
            )
    return sums


def _on_hr_grid(lr: Window, scene: ObservedScene) -> Window:
    """Return the HR pixels over a window of LR pixels, with bounds rounded to whole pixels of the image."""
    response = scene.spatial_response

    def bounds(start: int, stop: int, shift: float, size: int) -> tuple[int, int]:
        first, last = (floor((bound + shift) * float(response.ratio) + 0.5) for bound in (start, stop))
        return min(max(first, 0), size), min(max(last, 0), size)

    (dy, dx), (height, width) = response.shift, scene.hr_shape
    return Window(*bounds(lr.y0, lr.y1, dy, height), *bounds(lr.x0, lr.x1, dx, width))


def _products(images: Any, window: Window) -> _Products | None:
    """Sum up a window of an HSI and an MSI image; None where no more than half of it has data."""
    parts = [image[:, *window.slices].astype(np.float64).reshape(len(image), -1) for image in images]
    values = np.concatenate(parts)
    valid: Mask = ~np.isnan(values).any(axis=0)
    if valid.sum() <= LEAST_VALID * valid.size:
        return None
    values = values[:, valid]
    power = np.einsum("bp,bp->b", values, values)
    return _Products(
        values.shape[1], values.sum(axis=1), power, cross_products(values[: len(parts[0])], values)
    )


def _quality(spectral: float | None, spatial: float | None) -> float | None:
    return None if spectral is None or spatial is None else (1 - spectral) * (1 - spatial)
