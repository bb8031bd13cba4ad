"""No-data (NaN) before and after a fusion that needs complete images.

Missing pixels take the nearest valid pixel's values; the fused pixels that depend on them are
marked again afterwards, so no-data spreads no further than the missing pixels' footprints.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pipeline.core.sensing.observation import Observation

ROUNDING = 1e-9  # LR pixels: a centre on the edge of two LR pixels belongs to the second one anywhere


def missing_pixels(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the mask ``(y, x)`` of pixels of an image ``(band, y, x)`` that are NaN in any band."""
    return np.isnan(image).any(axis=0)


def coupled_pixels(observation: Observation) -> NDArray[np.bool_]:
    """Return the mask ``(h, w)`` of LR pixels that have data and depend only on HR pixels with data."""
    unseen = observation.operator.touches(missing_pixels(observation.hr_msi))
    return ~(missing_pixels(observation.lr_hsi) | unseen)


def degraded_msi(observation: Observation) -> NDArray[np.float64]:
    """Return H(Y) ``(c, h, w)``, computed with the gaps of Y filled."""
    return np.asarray(observation.operator.forward(fill_nearest(observation.hr_msi).astype(np.float64)))


def fill_nearest(image: NDArray[Any]) -> NDArray[Any]:
    """Return the image ``(band, y, x)`` with missing pixels replaced by the nearest valid pixel.

    Zero throughout where no pixel is valid.
    """
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
    """Return the mask ``(H, W)`` of HR pixels whose centre lies in an LR pixel of the mask ``(h, w)``.

    With a `SpatialResponse`'s shift, pixels that lie in none belong to the nearest one.
    """
    rows, cols = (
        np.clip(np.floor((np.arange(hr) + 0.5) * lr / hr - displaced + ROUNDING), 0, lr - 1).astype(int)
        for hr, lr, displaced in zip(hr_shape, lr_missing.shape, shift, strict=True)
    )
    return lr_missing[np.ix_(rows, cols)]


def filled_observation(observation: Observation) -> Observation:
    """Return the observation with no-data replaced by the nearest valid pixels."""
    return replace(
        observation, lr_hsi=fill_nearest(observation.lr_hsi), hr_msi=fill_nearest(observation.hr_msi)
    )


def mark_nodata(cube: NDArray[np.float32], observation: Observation) -> NDArray[np.float32]:
    """Return the cube with NaN where the HR-MSI, or the LR-HSI's pixel around it, has no data."""
    missing = missing_pixels(observation.hr_msi)
    shift = observation.spatial_response.shift
    missing |= footprint(missing_pixels(observation.lr_hsi), observation.hr_shape, shift)
    return np.where(missing, np.float32("nan"), cube) if missing.any() else cube
