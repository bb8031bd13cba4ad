"""Which combination of HSI bands shows what an MSI band shows.

By the spectral response where it is known, else the band that correlates best. Nothing is aligned here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import FLAT_POWER, TIED
from pipeline.core.sensing.nodata import fill_nearest, missing_pixels
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window

HELD = 0.5  # share of an MSI band's response that a detector must hold for R to match them
KEPT = 0.9  # pairs of less than this share of the best correlation are left out
MOST_PIXELS = 50_000  # LR pixels of a window whose correlation is taken
SMOOTH = 6.0  # FWHM in LR pixels of the blur under which a shift of a few pixels hardly matters


@dataclass(frozen=True)
class Pairs:
    """Matched bands.

    Attributes
    ----------
    weights : (P, C) float64
        Combinations of HSI bands; rows sum to one.
    msi : tuple of P int
        The MSI band that each stands for.
    """

    weights: NDArray[np.float64]
    msi: tuple[int, ...]

    def only(self, chosen: Iterable[int]) -> Pairs:
        """Some of the pairs."""
        chosen = list(chosen)
        return Pairs(self.weights[chosen], tuple(self.msi[i] for i in chosen))


def response_pairs(spectral_response: NDArray[np.float64], bands: NDArray[np.bool_]) -> Pairs:
    """The MSI bands at least half of whose response the given HSI bands ``(C,)`` hold; maybe none."""
    held = np.where(bands, spectral_response, 0.0)
    total, part = (np.abs(rows).sum(axis=1) for rows in (spectral_response, held))
    chosen = np.flatnonzero(part >= (1 - TIED) * HELD * total)
    rows = held[chosen]
    return Pairs(rows / rows.sum(axis=1, keepdims=True), tuple(chosen.tolist()))


def correlated_pairs(
    scene: ObservedScene, windows: list[Window], bands: NDArray[np.bool_], smooth: bool = False
) -> Pairs:
    """For each MSI band the HSI band among ``(C,)`` that correlates best with it under the scene's H.

    Parameters
    ----------
    scene : ObservedScene
    windows : list of Window
    bands : (C,) bool
    smooth : bool
        Blur both images by some pixels first, for a scene whose shift is not known.

    Returns
    -------
    Pairs
        Without those that correlate much less than the best; none where nothing correlates positively.
    """
    found = correlations(scene, windows, smooth)[:, bands]
    best = found.max(axis=1)
    weights = np.zeros((len(found), len(bands)))
    weights[np.arange(len(found)), np.flatnonzero(bands)[found.argmax(axis=1)]] = 1.0
    pairs = Pairs(weights, tuple(range(len(found))))
    return pairs.only(np.flatnonzero((best > TIED) & (best >= KEPT * best.max())).tolist())


def correlations(scene: ObservedScene, windows: list[Window], smooth: bool = False) -> NDArray[np.float64]:
    """Correlation ``(c, C)`` of each MSI band, degraded, with each HSI band; 0 for a constant band."""
    spatial, blur = scene.spatial_response, None
    if smooth:
        spatial = replace(SpatialResponse.gaussian(ratio=spatial.ratio, fwhm=SMOOTH), shift=spatial.shift)
        blur = SpatialResponse.gaussian(ratio=1, fwhm=SMOOTH).operator(*scene.lr_window(windows[0]).shape)
    bands, rows = scene.bands, len(scene.spectral_response)
    count, total, products = 0, np.zeros(bands + rows), np.zeros((bands + rows, bands + rows))
    for window in windows:
        part = scene.crop(window)
        missing = missing_pixels(part.lr_hsi) | part.operator.touches(missing_pixels(part.hr_msi))
        chosen = np.flatnonzero(~missing)[:: max(1, missing.size // MOST_PIXELS)]
        degraded = spatial.operator(*part.hr_shape).forward(fill_nearest(part.hr_msi).astype(np.float64))
        coarse = fill_nearest(part.lr_hsi)
        images = [*degraded, *(coarse if blur is None else (blur.forward(band) for band in coarse))]
        values = np.stack([image.ravel()[chosen] for image in images]).astype(np.float64)
        count += values.shape[1]
        total += values.sum(axis=1)
        products += values @ values.T
    covariance = products / max(count, 1) - np.outer(total, total) / max(count, 1) ** 2
    variance = covariance.diagonal()
    power = products.diagonal() / max(count, 1)
    varies = variance > FLAT_POWER * power
    deviation = np.sqrt(np.where(varies, variance, 1.0))
    found = np.where(np.outer(varies, varies), covariance / np.outer(deviation, deviation), 0.0)
    return np.asarray(found[:rows, rows:])
