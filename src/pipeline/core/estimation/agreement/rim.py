"""The LR pixels that see beyond the scene, compared with those inside."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.estimation.agreement.radiometry import Radiometry, robust_scale
from pipeline.core.sensing.nodata import degraded_with_gaps
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.window import Window

Array = NDArray[np.float64]

BLOCKS = 4  # windows along the scene's outline that are read
FEWEST = 16  # LR pixels at the rim, and inside


class RimDifference(NamedTuple):
    """Typical difference of H(Y) and R X in units of the level of H(Y), the median over the bands.

    Attributes
    ----------
    rim : float
        Of LR pixels that see beyond the scene.
    inside : float
        Of the others.
    """

    rim: float
    inside: float


def rim_difference(scene: ObservedScene, relation: Radiometry) -> RimDifference | None:
    """Compare H(Y) with R X at the rim and inside; None with too few pixels of either kind.

    Parameters
    ----------
    scene : ObservedScene
        The pair.
    relation : Radiometry
        Gain and offset of the bands of H(Y).
    """
    height, width = scene.hr_shape
    along = [
        block
        for block in scene.blocks()
        if 0 in (block.y0, block.x0) or block.y1 == height or block.x1 == width
    ]
    parts = [_differences(scene, relation, block) for block in along[:: ceil(len(along) / BLOCKS)]]
    difference, image, rim = (np.concatenate(of_blocks, axis=-1) for of_blocks in zip(*parts, strict=True))
    if min(np.count_nonzero(rim), np.count_nonzero(~rim)) < FEWEST:
        return None
    level = np.sqrt(np.square(image).mean(axis=1)).clip(min=np.finfo(np.float64).tiny)
    at_rim, inside = (
        float(np.median(robust_scale(difference[:, chosen], image) / level)) for chosen in (rim, ~rim)
    )
    return RimDifference(at_rim, inside)


def _differences(
    scene: ObservedScene, relation: Radiometry, block: Window
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return the difference of the images ``(c, n)``, H(Y), and whether a pixel sees beyond the scene.

    Parameters
    ----------
    scene : ObservedScene
        The pair.
    relation : Radiometry
        Gain and offset of the bands.
    block : Window
        HR pixels.
    """
    lr = scene.lr_window(block)
    operator, support = scene.spatial_response.window_operator(scene.hr_shape, lr)
    degraded = degraded_with_gaps(operator, np.asarray(scene.hr_msi[:, *support.slices], np.float64))
    predicted = np.tensordot(
        scene.spectral_response, np.asarray(scene.lr_hsi[:, *lr.slices], np.float64), axes=1
    )
    difference = degraded - relation.gain[:, None, None] * predicted - relation.offset[:, None, None]
    rows, columns = scene.spatial_response.rim(*scene.hr_shape)
    rim = rows[lr.slices[0]][:, None] | columns[lr.slices[1]]
    valid = np.isfinite(difference).all(axis=0)
    return difference[:, valid], degraded[:, valid], rim[valid]
