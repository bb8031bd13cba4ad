"""No-data (NaN) before and after a fusion that needs complete images.

Missing values take their estimates (`pipeline.core.subspace.completion`), or those of the nearest valid pixel
where there are none. The fused pixels of which the images say nothing are marked afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.gaps import Gaps
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.spatial import SpatialOperator

FEW_GAPS = 0.01  # of a response's energy: H(Y) then changes by less than its noise
SOME_GAPS = 0.25
MOST_GAPS = 0.75
BEST = 0.25  # of the LR pixels
ROUNDING = 1e-9  # LR pixels: a centre on the edge of two LR pixels always belongs to the second


def missing_pixels(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the mask ``(y, x)`` of the pixels of an image ``(band, y, x)`` with NaN in any band."""
    return np.isnan(image).any(axis=0)


def coupled_pixels(observation: Observation, tolerated: float = FEW_GAPS) -> NDArray[np.bool_]:
    """Return the mask ``(h, w)`` of LR pixels with data whose response lies on HR pixels with data.

    Parameters
    ----------
    observation : Observation
        The images; no-data is NaN.
    tolerated : float
        Share of the response's energy that gaps may have; more where gaps are scattered (`tolerated_share`).
    """
    share = observation.operator.energy_share(missing_pixels(observation.hr_msi))
    measured = ~missing_pixels(observation.lr_hsi)
    return measured & (share <= tolerated_share(share[measured], tolerated))


def tolerated_share(shares: NDArray[np.floating], least: float = FEW_GAPS) -> float:
    """Return the share of a response's energy that gaps may have for H(Y) to count.

    Where gaps are so scattered that few LR pixels have fewer, it is that of the best quarter of the pixels.

    Parameters
    ----------
    shares : (n,)
        Share of the gaps at each LR pixel with data.
    least : float
        Share that is tolerated anyway.
    """
    best = float(np.quantile(shares, BEST)) if shares.size else 0.0
    return max(least, min(best, MOST_GAPS))


def degraded_msi(observation: Observation) -> NDArray[np.float64]:
    """Return H(Y) ``(c, h, w)``, with the gaps of Y filled."""
    msi = fill_nearest(np.asarray(observation.filled[1]))
    return np.asarray(observation.operator.forward(msi.astype(np.float64)))


def degraded_with_gaps(operator: SpatialOperator, image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return H of an image whose gaps are filled; NaN where they have much of the response's energy.

    Parameters
    ----------
    operator : SpatialOperator
        H.
    image : (band, y, x)
        The image; no-data is NaN.
    """
    degraded = operator.forward(fill_nearest(image).astype(np.float64))
    share = operator.energy_share(missing_pixels(image))
    return np.where(share > tolerated_share(share, SOME_GAPS), np.nan, degraded)


def fill_nearest(image: NDArray[Any]) -> NDArray[Any]:
    """Replace missing pixels of an image ``(band, y, x)`` by the nearest valid ones; zeros without any."""
    missing = missing_pixels(image)
    if not missing.any():
        return image
    if missing.all():
        return np.zeros_like(image)
    from scipy.ndimage import distance_transform_edt  # here: slow to load, and most images miss nothing

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
        Shift of the LR pixels, as in `SpatialResponse`.
    """
    rows, cols = (
        covering_pixels(hr, lr, displaced)
        for hr, lr, displaced in zip(hr_shape, lr_missing.shape, shift, strict=True)
    )
    return lr_missing[np.ix_(rows, cols)]


def covering_pixels(hr_size: int, lr_size: int, shift: float) -> NDArray[np.intp]:
    """Return the LR pixel ``(H,)`` in which each HR pixel's centre lies along an axis.

    HR pixels outside of the LR image belong to the nearest LR pixel.

    Parameters
    ----------
    hr_size, lr_size : int
        Number of HR pixels and of LR pixels.
    shift : float
        Shift of the LR pixels along the axis, as in `SpatialResponse`.
    """
    place = (np.arange(hr_size) + 0.5) * lr_size / hr_size - shift + ROUNDING
    return np.clip(np.floor(place), 0, lr_size - 1).astype(np.intp)


def filled_observation(observation: Observation) -> Observation:
    """Replace no-data of both images by its estimates, or by the nearest valid pixels where there are none.

    The result keeps or gets the `gaps` of the observation, from which solvers take the weights of the values.

    Parameters
    ----------
    observation : Observation
        The images; no-data is NaN.
    """
    gaps = observation.gaps
    if gaps is None:
        hsi, msi = ~np.isnan(observation.lr_hsi), ~np.isnan(observation.hr_msi)
        if hsi.all() and msi.all():
            return observation
        fills = _nearest_values(observation.lr_hsi), _nearest_values(observation.hr_msi)
        gaps = Gaps(hsi, msi, *fills)
    lr_hsi, hr_msi = (fill_nearest(np.asarray(image)) for image in (gaps.filled_hsi, gaps.filled_msi))
    return replace(observation, lr_hsi=lr_hsi, hr_msi=hr_msi, gaps=gaps)


def _nearest_values(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace missing values of each band by the nearest valid ones; what was measured stays."""
    missing = np.isnan(image)
    if (missing.any(axis=0) == missing.all(axis=0)).all():
        return fill_nearest(image)
    return np.concatenate([fill_nearest(band[None]) for band in image])


def mark_nodata(cube: NDArray[np.float32], observation: Observation) -> NDArray[np.float32]:
    """Set pixels of a cube to NaN of which the images say nothing.

    With estimates of the missing values, these are the pixels that neither image shows; without, those where
    the HR-MSI or the LR pixel that covers them has no data.

    Parameters
    ----------
    cube : (C, H, W)
        The cube.
    observation : Observation
        The images from which it was fused.
    """
    if observation.gaps is not None:
        missing = missing_pixels(np.asarray(observation.gaps.filled_msi))
    else:
        shift = observation.spatial_response.shift
        missing = missing_pixels(observation.hr_msi)
        missing |= footprint(missing_pixels(observation.lr_hsi), observation.hr_shape, shift)
    return np.where(missing, np.float32("nan"), cube) if missing.any() else cube
