"""Residuals of both images over their noise levels: how well a fused cube explains the observation.

1 is what noise alone leaves; far below 1 the images are overfitted, far above 1 the cube contradicts
them. Needs no reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.core.quality.blockwise import Mapped, added, block_side
from pipeline.core.quality.quality_index import SUMMED_AT_ONCE
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.window import Window
from pipeline.errors import InputError

Array = NDArray[np.float64]
Map = NDArray[np.float32]


@dataclass(frozen=True)
class ImageResidual:
    """The residual of one image in units of its noise level; NaN where no value is left.

    Attributes
    ----------
    level : float or None
        RMS of the residual over the RMS noise level; None where no value is left.
    spectrum : (bands,), optional
        RMS over pixels of each band's residual over its noise level.
    bias : (bands,), optional
        Mean over pixels of the same: positive where the cube is too dark.
    map : (y, x) float32, optional
        RMS over bands of the same.
    """

    level: float | None
    spectrum: Array | None = None
    bias: Array | None = None
    map: Map | None = None


@dataclass(frozen=True)
class Residuals:
    """Residuals of both images.

    Attributes
    ----------
    hsi : ImageResidual
        Of ``X - H(Z)``.
    msi : ImageResidual
        Of ``Y - R Z``.
    """

    hsi: ImageResidual
    msi: ImageResidual

    @property
    def maps(self) -> tuple[Map, Map]:
        """Maps of LR-HSI and HR-MSI, of residuals computed with them."""
        assert self.hsi.map is not None
        assert self.msi.map is not None
        return self.hsi.map, self.msi.map


def residuals(cube: Any, scene: ObservedScene, *, maps: bool = False, mapped: Mapped = map) -> Residuals:
    """Compute ``X - H(Z)`` and ``Y - R Z`` over the noise levels of their images.

    Values that are NaN in the image or in the predicted image do not count; a cube's NaN reaches
    no further than the responses do.

    Parameters
    ----------
    cube : (C, H, W)
        Z: a NumPy array, or anything with a shape whose slices NumPy can read.
    scene : ObservedScene
        X, Y, H, R and the noise levels.
    maps : bool
        Whether to resolve the residuals by band and by pixel as well.
    mapped : callable
        Like `map`, which is the default; computes the blocks anywhere and yields them in order.
    """
    check_cube(cube, scene)
    shapes = (scene.lr_shape, scene.hr_shape)
    planes = [np.empty(shape, np.float32) if maps else None for shape in shapes]
    sums: Sequence[_Sums] = [_Sums.zero(bands) for bands in (scene.bands, len(scene.spectral_response))]
    windows = residual_blocks(scene)
    for window, parts in zip(windows, mapped(partial(_block, cube, scene, maps), windows), strict=True):
        sums = [added(total, part.sums) for total, part in zip(sums, parts, strict=True)]
        for plane, part, place in zip(planes, parts, (scene.lr_window(window), window), strict=True):
            if plane is not None:
                plane[place.slices] = part.map
    hsi, msi = (_residual(total, plane) for total, plane in zip(sums, planes, strict=True))
    return Residuals(hsi, msi)


def check_cube(cube: Any, scene: ObservedScene) -> None:
    """Refuse a cube whose numbers of bands and HR pixels differ from the observation.

    Parameters
    ----------
    cube : (C, H, W)
        The fused cube.
    scene : ObservedScene
        The observation.
    """
    expected = (scene.bands, *scene.hr_shape)
    if tuple(cube.shape) != expected:
        raise InputError(f"cube: shape {tuple(cube.shape)} does not match the observation's {expected}")


def residual_blocks(scene: ObservedScene) -> list[Window]:
    """List blocks of whole LR pixels, on the HR grid, that cover the image row by row.

    Parameters
    ----------
    scene : ObservedScene
        The observation.
    """
    step = scene.spatial_response.ratio.numerator
    side = max(1, block_side(scene.bands) // step) * step
    return list(scene.whole.split(side))


class _Sums(NamedTuple):
    """Sums over the known values of one image.

    Attributes
    ----------
    power, noise : float
        Power of the residual, and of the noise over the same values.
    pixels : (bands,)
        Number of known values.
    total, squares : (bands,)
        Sums of the residual over its noise level, and of its square.
    """

    power: float
    noise: float
    pixels: NDArray[np.int64]
    total: Array
    squares: Array

    @classmethod
    def zero(cls, bands: int) -> _Sums:
        return cls(0.0, 0.0, np.zeros(bands, np.int64), np.zeros(bands), np.zeros(bands))


class _Part(NamedTuple):
    """One image's share of a block: its sums, and its part of the map, if there is to be one."""

    sums: _Sums
    map: Map | None


def _residual(sums: _Sums, plane: Map | None) -> ImageResidual:
    level = float(np.sqrt(sums.power / sums.noise)) if sums.noise > 0 else None
    if plane is None:
        return ImageResidual(level)
    spectrum = np.sqrt(_mean(sums.squares, sums.pixels))
    return ImageResidual(level, spectrum, _mean(sums.total, sums.pixels), plane)


def _block(cube: Any, scene: ObservedScene, maps: bool, block: Window) -> tuple[_Part, _Part]:
    hsi, msi = block_differences(cube, scene, block)
    return _part(hsi, scene.sigma_hsi, maps), _part(msi, scene.sigma_msi, maps)


def _part(residual: Array, sigma: Array, maps: bool) -> _Part:
    """Sum up the residual ``(bands, y, x)`` of one image in a block."""
    sums, known = _Sums.zero(len(residual)), ~np.isnan(residual)
    for plane, valid, level in zip(residual, known, sigma, strict=True):
        values = plane[valid]
        sums = sums._replace(
            power=sums.power + np.square(values).sum(), noise=sums.noise + values.size * level**2
        )
    if not maps:
        return _Part(sums, None)
    relative = np.where(known, residual, 0) / sigma[:, None, None]
    squares, pixels = relative**2, (1, 2)
    by_pixel = np.sqrt(_mean(squares.sum(axis=0), known.sum(axis=0))).astype(np.float32)
    by_band = known.sum(axis=pixels), relative.sum(axis=pixels), squares.sum(axis=pixels)
    return _Part(_Sums(sums.power, sums.noise, *by_band), by_pixel)


def _mean(total: Array, count: NDArray[np.int64]) -> Array:
    """Divide the total by the count, NaN where that is zero."""
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def block_differences(cube: Any, scene: ObservedScene, block: Window) -> tuple[Array, Array]:
    """Compute ``X - H(Z)`` (C, h, w) and ``Y - R Z`` (c, H, W) in a block of whole LR pixels.

    Parameters
    ----------
    cube : (C, H, W)
        Z, of the whole scene.
    scene : ObservedScene
        The whole scene's X, Y, H and R.
    block : Window
        On the HR grid.
    """
    part = scene.crop(block)
    operator, support = scene.spatial_response.window_operator(scene.hr_shape, scene.lr_window(block))
    read = block.union(support)
    images = np.asarray(cube[:, *read.slices])
    forward, inside = Forward(operator), support.relative_to(read).slices
    hsi = np.empty(part.lr_hsi.shape)
    for band, image in enumerate(images):  # one at a time, to spare memory in float64
        hsi[band] = part.lr_hsi[band] - forward(image[inside].astype(np.float64))
    predicted = _spectral(scene.spectral_response, images[:, *block.relative_to(read).slices])
    return hsi, part.hr_msi - predicted


def _spectral(response: Array, image: NDArray[Any]) -> Array:
    """Apply R to a cube (C, H, W); NaN of a band reaches the MSI bands that see it."""
    result = np.zeros((len(response), *image.shape[1:]))
    bands = [slice(start, start + SUMMED_AT_ONCE) for start in range(0, len(image), SUMMED_AT_ONCE)]
    seen = (response != 0).astype(np.float64)
    for row in range(image.shape[1]):  # one at a time, to spare memory in float64
        spectra = image[:, row].astype(np.float64)
        missing = np.isnan(spectra)
        if missing.any():
            spectra[missing] = 0
        for few in bands:
            result[:, row] += response[:, few] @ spectra[few]
        if missing.any():
            result[:, row][seen @ missing > 0] = np.nan
    return result


class Forward:
    """H by sparse matrices: fast, and unlike dense products the same with any number of threads.

    Parameters
    ----------
    operator : SpatialOperator
        H of a window.
    """

    def __init__(self, operator: SpatialOperator) -> None:
        self.operator = operator
        self.factors = [
            (csr_array(rows), csr_array(cols))
            for rows, cols in zip(operator.rows, operator.cols, strict=True)
        ]

    def __call__(self, image: Array) -> Array:
        """Apply H to an image ``(H, W)``, whose NaN spreads over the response's support only."""
        missing = np.isnan(image)
        if not missing.any():
            return self._apply(image)
        result = self._apply(np.where(missing, 0, image))
        result[self.operator.touches(missing)] = np.nan
        return result

    def _apply(self, image: Array) -> Array:
        result: Array = sum((cols @ (rows @ image).T).T for rows, cols in self.factors)
        return result
