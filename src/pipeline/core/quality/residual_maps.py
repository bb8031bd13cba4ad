"""Where and in which bands a fused cube contradicts the observation: residuals per pixel and per band.

The residuals are those of `pipeline.core.quality.residuals`, each divided by its band's noise level: 1 is
what noise alone leaves. Needs no reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.blockwise import Mapped, added
from pipeline.core.quality.residuals import block_differences, check_cube, residual_blocks
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.window import Window

Array = NDArray[np.float64]
Map = NDArray[np.float32]


@dataclass(frozen=True)
class ResidualMaps:
    """Residuals in units of their band's noise level; NaN where no value is left.

    Attributes
    ----------
    hsi_map : (h, w) float32
        RMS over bands of ``X - H(Z)``.
    msi_map : (H, W) float32
        RMS over bands of ``Y - R Z``.
    hsi_spectrum, msi_spectrum : (C,), (c,) float64
        RMS over pixels.
    hsi_bias, msi_bias : (C,), (c,) float64
        Mean over pixels: positive where the cube is too dark.
    """

    hsi_map: Map
    msi_map: Map
    hsi_spectrum: Array
    msi_spectrum: Array
    hsi_bias: Array
    msi_bias: Array


def residual_maps(cube: Any, scene: ObservedScene, mapped: Mapped = map) -> ResidualMaps:
    """Residuals of both images by pixel and by band.

    Values that are NaN in the image or in the predicted image do not count; a cube's NaN reaches
    no further than the responses do.

    Parameters
    ----------
    cube : (C, H, W)
        Z: a NumPy array, or anything with a shape whose slices NumPy can read.
    scene : ObservedScene
    mapped : callable
        Like `map`, which is the default; computes the blocks wherever and yields them in order.
    """
    check_cube(cube, scene)
    blocks = residual_blocks(scene)
    hsi_map, msi_map = np.empty(scene.lr_shape, np.float32), np.empty(scene.hr_shape, np.float32)
    hsi, msi = _BandSums.zero(scene.bands), _BandSums.zero(len(scene.spectral_response))
    for block, part in zip(blocks, mapped(partial(_block, cube, scene), blocks), strict=True):
        hsi_map[scene.lr_window(block).slices], msi_map[block.slices] = part.hsi_map, part.msi_map
        hsi, msi = added(hsi, part.hsi), added(msi, part.msi)
    return ResidualMaps(hsi_map, msi_map, hsi.rms, msi.rms, hsi.mean, msi.mean)


class _BandSums(NamedTuple):
    """Sums over a band's known pixels, one value per band."""

    pixels: NDArray[np.int64]
    total: Array
    power: Array

    @classmethod
    def zero(cls, bands: int) -> _BandSums:
        return cls(np.zeros(bands, np.int64), np.zeros(bands), np.zeros(bands))

    @property
    def mean(self) -> Array:
        return _mean(self.total, self.pixels)

    @property
    def rms(self) -> Array:
        return np.sqrt(_mean(self.power, self.pixels))


class _Part(NamedTuple):
    """What a block yields."""

    hsi_map: Map
    msi_map: Map
    hsi: _BandSums
    msi: _BandSums


def _block(cube: Any, scene: ObservedScene, block: Window) -> _Part:
    hsi, msi = block_differences(cube, scene, block)
    (hsi_map, hsi_sums), (msi_map, msi_sums) = _summed(hsi, scene.sigma_hsi), _summed(msi, scene.sigma_msi)
    return _Part(hsi_map, msi_map, hsi_sums, msi_sums)


def _summed(residual: Array, sigma: Array) -> tuple[Map, _BandSums]:
    """RMS over bands by pixel, and sums over pixels by band, of a residual ``(band, y, x)``."""
    known = ~np.isnan(residual)
    relative = np.where(known, residual, 0) / sigma[:, None, None]
    power = relative**2
    by_pixel = np.sqrt(_mean(power.sum(axis=0), known.sum(axis=0))).astype(np.float32)
    pixels = (1, 2)
    sums = _BandSums(known.sum(axis=pixels), relative.sum(axis=pixels), power.sum(axis=pixels))
    return by_pixel, sums


def _mean(total: Array, count: NDArray[np.int64]) -> Array:
    """The total over the count, NaN where that is zero."""
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
