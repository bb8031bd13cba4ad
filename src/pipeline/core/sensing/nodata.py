"""No-data (NaN) before and after a fusion that needs complete images.

Missing pixels take the values of the nearest valid pixel. The fused pixels that depend on them are marked
afterwards, so that no-data spreads no further than the footprints of the missing pixels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pipeline.core.sensing.observation import Observation

ROUNDING = 1e-9  # LR pixels: a centre on the edge of two LR pixels always belongs to the second


def missing_pixels(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the mask ``(y, x)`` of the pixels of an image ``(band, y, x)`` with NaN in any band."""
    return np.isnan(image).any(axis=0)


def coupled_pixels(observation: Observation) -> NDArray[np.bool_]:
    """Return the mask ``(h, w)`` of LR pixels with data that depend only on HR pixels with data."""
    incomplete = observation.operator.touches(missing_pixels(observation.hr_msi))
    return ~(missing_pixels(observation.lr_hsi) | incomplete)


def degraded_msi(observation: Observation) -> NDArray[np.float64]:
    """Return H(Y) ``(c, h, w)``, with the gaps of Y filled."""
    return np.asarray(observation.operator.forward(fill_nearest(observation.hr_msi).astype(np.float64)))


def fill_nearest(image: NDArray[Any]) -> NDArray[Any]:
    """Replace missing pixels of an image ``(band, y, x)`` by the nearest valid ones; zeros without any."""
    missing = missing_pixels(image)
    if not missing.any():
        return image
    if missing.all():
        return np.zeros_like(image)
    rows, cols = distance_transform_edt(missing, return_distances=False, return_indices=True)
    return image[:, rows, cols]


def footprint(
    lr_missing: NDArray[np.bool_], hr_shape: tuple[int, int], shift: tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.bool_]:
    """Return the HR pixels ``(H, W)`` whose centre lies in an LR pixel of a mask.

    Parameters
    ----------
    lr_missing : (h, w) bool
        The mask.
    hr_shape : (int, int)
        Height and width of the HR image.
    shift : (float, float)
        Shift of the LR pixels, as in `SpatialResponse`. HR pixels outside of the LR image belong to the
        nearest LR pixel.
    """
    rows, cols = (
        np.clip(np.floor((np.arange(hr) + 0.5) * lr / hr - displaced + ROUNDING), 0, lr - 1).astype(int)
        for hr, lr, displaced in zip(hr_shape, lr_missing.shape, shift, strict=True)
    )
    return lr_missing[np.ix_(rows, cols)]


def filled_observation(observation: Observation) -> Observation:
    """Replace no-data of both images by the nearest valid pixels."""
    return replace(
        observation, lr_hsi=fill_nearest(observation.lr_hsi), hr_msi=fill_nearest(observation.hr_msi)
    )


def mark_nodata(cube: NDArray[np.float32], observation: Observation) -> NDArray[np.float32]:
    """Set pixels of a cube to NaN where the HR-MSI or the LR pixel that covers them has no data."""
    missing = missing_pixels(observation.hr_msi)
    shift = observation.spatial_response.shift
    missing |= footprint(missing_pixels(observation.lr_hsi), observation.hr_shape, shift)
    return np.where(missing, np.float32("nan"), cube) if missing.any() else cube
