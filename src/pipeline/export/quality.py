"""The quality layer of a fused cube: its residuals against both images in noise levels, and its mask.

A residual of 1 is expected from noise alone. The residuals themselves are computed in
`core.quality.residual_maps`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import Metadata
from pipeline.core.sensing.observation import Image, ObservedScene
from pipeline.core.window import Window
from pipeline.export.layer import Layer

NAMES = (
    "residual of the HR-MSI (noise = 1)",
    "residual of the nearest LR-HSI pixel (noise = 1)",
    "mask (1 valid, 0 no data)",
)


def quality_layer(
    msi_map: NDArray[np.floating],
    hsi_map: NDArray[np.floating],
    mask: Image,
    scene: ObservedScene,
    like: Metadata,
) -> Layer:
    """Return the layer of three bands: residual of the HR-MSI, residual of the LR-HSI, and mask of the cube.

    Parameters
    ----------
    msi_map : (H, W)
        Residual of each HR pixel over its noise.
    hsi_map : (h, w)
        Residual of each LR pixel over its noise.
    mask : (H, W)
        1 valid, 0 no data.
    scene : ObservedScene
        The observation, whose grids these are.
    like : Metadata
        Place of the HR grid.
    """
    rows, columns = nearest_lr(scene)

    def read(window: Window) -> NDArray[np.float32]:
        y, x = window.slices
        nearest = hsi_map[np.ix_(rows[y], columns[x])]
        return np.stack([msi_map[y, x], nearest, np.asarray(mask[y, x])]).astype(np.float32)

    bare = replace(like, wavelength=None, fwhm=None, detector=None, units="1", scale=1.0)
    return Layer((len(NAMES), *scene.hr_shape), read, NAMES, bare)


def nearest_lr(scene: ObservedScene) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for each row and each column of HR pixels, the LR row or column whose centre is nearest."""
    response = scene.spatial_response
    rows, columns = (
        np.clip(np.floor((np.arange(hr) + 0.5) / float(response.ratio) - by).astype(np.intp), 0, lr - 1)
        for hr, lr, by in zip(scene.hr_shape, scene.lr_shape, response.shift, strict=True)
    )
    return rows, columns
