"""Does a fused cube explain the observation? Residuals of both images over their noise levels.

Needs no reference. A value of 1 means that the images are met exactly to their noise; far below 1
they are overfitted, far above 1 the cube contradicts them.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.core.quality.blockwise import Mapped, added, block_side
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.window import Window
from pipeline.errors import InputError

Array = NDArray[np.float64]


def residuals(cube: Any, scene: ObservedScene, mapped: Mapped = map) -> dict[str, float | None]:
    """RMS of ``X - H(Z)`` and ``Y - R Z``, each divided by the RMS noise level of its image.

    Values that are NaN in the image or in the predicted image do not count; a cube's NaN reaches
    no further than the responses do. None where nothing is left.

    Parameters
    ----------
    cube : (C, H, W)
        Z: a NumPy array, or anything with a shape whose slices NumPy can read.
    scene : ObservedScene
    mapped : callable
        Like `map`, which is the default; computes the blocks wherever and yields them in order.

    Returns
    -------
    dict
        residual_hsi, residual_msi
    """
    check_cube(cube, scene)
    sums = reduce(added, mapped(partial(block_residuals, cube, scene), residual_blocks(scene)))
    return {"residual_hsi": _relative(*sums.hsi), "residual_msi": _relative(*sums.msi)}


def check_cube(cube: Any, scene: ObservedScene) -> None:
    """Refuse a cube that has not the observation's bands and HR pixels."""
    expected = (scene.bands, *scene.hr_shape)
    if tuple(cube.shape) != expected:
        raise InputError(f"cube: shape {tuple(cube.shape)} does not match the observation's {expected}")


def residual_blocks(scene: ObservedScene) -> list[Window]:
    """Blocks of whole LR pixels, on the HR grid, that cover the image row by row."""
    step = scene.spatial_response.ratio.numerator
    side = max(1, block_side(scene.bands) // step) * step
    return list(scene.whole.split(side))


class Powers(NamedTuple):
    """Power of the residual, and of the noise over the same values, of both images."""

    hsi: Array
    msi: Array


def block_residuals(cube: Any, scene: ObservedScene, block: Window) -> Powers:
    """Powers of a block of whole LR pixels, band by band."""
    hsi, msi = (
        sum((_powers(residual, sigma) for residual, sigma in zip(image, level, strict=True)), np.zeros(2))
        for image, level in zip(
            block_differences(cube, scene, block), (scene.sigma_hsi, scene.sigma_msi), strict=True
        )
    )
    return Powers(hsi, msi)


def block_differences(cube: Any, scene: ObservedScene, block: Window) -> tuple[Array, Array]:
    """``X - H(Z)`` (C, h, w) and ``Y - R Z`` (c, H, W) of a block of whole LR pixels."""
    part = scene.crop(block)
    operator, seen = scene.spatial_response.window_operator(scene.hr_shape, scene.lr_window(block))
    read = block.union(seen)
    images = np.asarray(cube[:, *read.slices])
    forward = Forward(operator)
    hsi, predicted = np.empty(part.lr_hsi.shape), np.zeros(part.hr_msi.shape)
    for band, image in enumerate(images):  # one at a time in float64
        z = image.astype(np.float64)
        hsi[band] = part.lr_hsi[band] - forward(z[seen.relative_to(read).slices])
        for msi_band in np.flatnonzero(scene.spectral_response[:, band]):
            weight = scene.spectral_response[msi_band, band]
            predicted[msi_band] += weight * z[block.relative_to(read).slices]
    return hsi, part.hr_msi - predicted


class Forward:
    """H by sparse matrices: fast, and unlike dense products the same with any number of threads."""

    def __init__(self, operator: SpatialOperator) -> None:
        self.operator = operator
        self.factors = [
            (csr_array(rows), csr_array(cols))
            for rows, cols in zip(operator.rows, operator.cols, strict=True)
        ]

    def __call__(self, image: Array) -> Array:
        """H of an image ``(H, W)``; its NaN spreads over the response's support only."""
        missing = np.isnan(image)
        if not missing.any():
            return self._apply(image)
        result = self._apply(np.where(missing, 0, image))
        result[self.operator.touches(missing)] = np.nan
        return result

    def _apply(self, image: Array) -> Array:
        result: Array = sum((cols @ (rows @ image).T).T for rows, cols in self.factors)
        return result


def _powers(residual: Array, sigma: float) -> Array:
    """Power of a residual ``(y, x)`` and of its noise over the values that are not NaN."""
    known = residual[~np.isnan(residual)]
    return np.array([np.square(known).sum(), known.size * sigma**2])


def _relative(power: float, noise: float) -> float | None:
    return float(np.sqrt(power / noise)) if noise > 0 else None
