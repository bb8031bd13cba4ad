"""Combinations of HSI bands that match an MSI band.

They are given by the spectral response if it is known; else the band that correlates best is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import FLAT_POWER, TIED
from pipeline.core.sensing.nodata import coupled_pixels, fill_nearest
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window

HELD = 0.5  # fraction of an MSI band's response within a detector, from which on R matches them
KEPT = 0.9  # fraction of the best correlation below which pairs are left out
MOST_PIXELS = 50_000  # largest number of LR pixels of a window that are correlated
SMOOTH = 6.0  # FWHM in LR pixels of the blur under which a shift of a few pixels hardly matters


@dataclass(frozen=True)
class Pairs:
    """Matched bands.

    Attributes
    ----------
    weights : (P, C) float64
        Combinations of HSI bands; rows sum to 1.
    msi : tuple of P int
        MSI band that matches each combination.
    """

    weights: NDArray[np.float64]
    msi: tuple[int, ...]

    def only(self, chosen: Iterable[int]) -> Pairs:
        """Return the pairs of given indices."""
        chosen = list(chosen)
        return Pairs(self.weights[chosen], tuple(self.msi[i] for i in chosen))


def response_pairs(spectral_response: NDArray[np.float64], bands: NDArray[np.bool_]) -> Pairs:
    """Match MSI bands of whose response the given HSI bands hold at least half.

    Parameters
    ----------
    spectral_response : (c, C)
        R.
    bands : (C,) bool
        HSI bands to combine.

    Returns
    -------
    Pairs
        None if the HSI bands hold less than half of every MSI band's response.
    """
    held = np.where(bands, spectral_response, 0.0)
    total, part = (np.abs(rows).sum(axis=1) for rows in (spectral_response, held))
    chosen = np.flatnonzero(part >= (1 - TIED) * HELD * total)
    rows = held[chosen]
    return Pairs(rows / rows.sum(axis=1, keepdims=True), tuple(chosen.tolist()))


def correlated_pairs(
    scene: ObservedScene, windows: list[Window], bands: NDArray[np.bool_], smooth: bool = False
) -> Pairs:
    """Match each MSI band to the HSI band that correlates best with it under the scene's H.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    windows : list of Window
        Windows of the scene.
    bands : (C,) bool
        HSI bands to choose from.
    smooth : bool
        Whether both images are blurred by some pixels first, for a scene whose shift is unknown.

    Returns
    -------
    Pairs
        Without pairs that correlate much less than the best; none if nothing correlates positively.
    """
    correlation = correlations(scene, windows, smooth)[:, bands]
    best, count = correlation.max(axis=1), len(correlation)
    weights = np.zeros((count, len(bands)))
    weights[np.arange(count), np.flatnonzero(bands)[correlation.argmax(axis=1)]] = 1.0
    pairs = Pairs(weights, tuple(range(count)))
    return pairs.only(np.flatnonzero((best > TIED) & (best >= KEPT * best.max())).tolist())


def correlations(scene: ObservedScene, windows: list[Window], smooth: bool = False) -> NDArray[np.float64]:
    """Return the correlation ``(c, C)`` of each degraded MSI band with each HSI band; 0 for constant bands.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    windows : list of Window
        Windows of the scene.
    smooth : bool
        Whether both images are blurred by some pixels first.
    """
    spatial, blur = scene.spatial_response, None
    if smooth:
        spatial = replace(SpatialResponse.gaussian(ratio=spatial.ratio, fwhm=SMOOTH), shift=spatial.shift)
        blur = SpatialResponse.gaussian(ratio=1, fwhm=SMOOTH).operator(*scene.lr_window(windows[0]).shape)
    bands, rows = scene.bands, len(scene.spectral_response)
    count, total, products = 0, np.zeros(bands + rows), np.zeros((bands + rows, bands + rows))
    for window in windows:
        part = scene.crop(window)
        coupled = coupled_pixels(part)
        chosen = np.flatnonzero(coupled)[:: max(1, coupled.size // MOST_PIXELS)]
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
    correlation = np.where(np.outer(varies, varies), covariance / np.outer(deviation, deviation), 0.0)
    return np.asarray(correlation[:rows, rows:])
