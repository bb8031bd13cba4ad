"""Gain, offset and order of the bands that take R X to H(Y).

Slopes are ratios of spreads (reduced major axis): unlike a regression's they are not lowered by noise or by a
small displacement of the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.core.estimation.noise_levels import NORMAL_MEDIAN
from pipeline.core.rounding import correlations, varies

Array = NDArray[np.float64]

ROUNDS = 5  # of a fit without the outliers of the fit before
OUTLIER = 4.0  # robust standard deviations
WORSE = 1.5  # cost, in units of the full model's, up to which a simpler model is as good
HALVED = np.log(2.0)  # gain in log variance from which another order of bands is the better one
ALIKE = 0.9  # least correlation of a band with the band that it is mistaken for


@dataclass(frozen=True)
class Radiometry:
    """The simplest relation ``H(Y) = gain R X + offset`` that explains the images.

    Attributes
    ----------
    gain, offset : (c,)
        Of each band; 1 and 0 where they are not needed.
    kind : str
        `none`, `gain`, `offset` or `gain and offset`.
    before, after : float
        Root mean square of the difference over that of H(Y), without and with the relation.
    """

    gain: Array
    offset: Array
    kind: str
    before: float
    after: float


def relate(degraded: Array, predicted: Array, tolerance: float) -> Radiometry:
    """Find the simplest relation between two images.

    Parameters
    ----------
    degraded, predicted : (c, n)
        H(Y) and R X.
    tolerance : float
        Deviation of a gain from 1, and offset in units of the band's level, that does not matter.
    """
    slope, intercept, scale = affine(degraded, predicted)
    level = np.sqrt(np.square(degraded).mean(axis=1))
    one, zero = np.ones(len(slope)), np.zeros(len(slope))
    gains, offsets = _gains(degraded, predicted), np.median(degraded - predicted, axis=1)
    models = [
        (one, zero),
        (np.full_like(one, np.median(gains)), zero),
        (gains, zero),
        (one, np.full_like(one, np.median(offsets))),
        (one, offsets),
        (slope, intercept),
    ]
    costs = [cost(degraded - g[:, None] * predicted - o[:, None], scale) for g, o in models]
    simplest = next(index for index, value in enumerate(costs) if value <= WORSE * costs[-1])
    if _same_means(degraded, predicted, tolerance):
        simplest = min(simplest, 2)  # another contrast about the same means: a PSF or noise, no calibration
    gain, offset = models[simplest]
    matters = {"gain": np.abs(gain - 1) > tolerance, "offset": np.abs(offset) > tolerance * level}
    kind = " and ".join(name for name, of_bands in matters.items() if of_bands.any()) or "none"
    relation = gain[:, None] * predicted + offset[:, None]
    return Radiometry(
        gain,
        offset,
        kind,
        relative_rms(degraded - predicted, degraded),
        relative_rms(degraded - relation, degraded),
    )


def _same_means(degraded: Array, predicted: Array, tolerance: float) -> bool:
    """Return whether the means of all bands are equal up to a tolerance."""
    means = degraded.mean(axis=1), predicted.mean(axis=1)
    return bool((np.abs(means[0] - means[1]) <= tolerance * np.abs(means[0])).all())


def affine(degraded: Array, predicted: Array) -> tuple[Array, Array, Array]:
    """Fit slope, intercept and robust scale of the residual of each band, without outliers.

    Parameters
    ----------
    degraded, predicted : (c, n)
        H(Y) and R X.

    Returns
    -------
    slope, intercept, scale : (c,)
        A band that is constant in either image has slope 1.
    """
    keep = np.ones(degraded.shape, np.bool_)
    for _ in range(ROUNDS):
        count = np.maximum(keep.sum(axis=1), 1)
        means = [np.where(keep, image, 0).sum(axis=1) / count for image in (degraded, predicted)]
        parts = [
            np.where(keep, image - mean[:, None], 0)
            for image, mean in zip((degraded, predicted), means, strict=True)
        ]
        spreads = [np.sqrt(np.square(part).sum(axis=1) / count) for part in parts]
        usable = varies(spreads[0], np.abs(means[0])) & varies(spreads[1], np.abs(means[1]))
        usable &= (parts[0] * parts[1]).sum(axis=1) > 0
        slope = np.divide(spreads[0], spreads[1], out=np.ones(len(count)), where=usable)
        intercept = means[0] - slope * means[1]
        residual = degraded - slope[:, None] * predicted - intercept[:, None]
        scale = robust_scale(residual, degraded)
        keep = np.abs(residual) <= OUTLIER * scale[:, None]
    return slope, intercept, scale


def robust_scale(residual: Array, image: Array) -> Array:
    """Return the standard deviation ``(c,)`` of residuals by their median, at least 0.1 % of the level.

    Parameters
    ----------
    residual, image : (c, n)
        Residuals, and the image that they belong to.
    """
    level = np.sqrt(np.square(image).mean(axis=1))
    spread = np.median(np.abs(residual), axis=1) / NORMAL_MEDIAN
    return np.maximum(spread, np.maximum(1e-3 * level, np.finfo(np.float64).tiny))


def cost(residual: Array, scale: Array) -> float:
    """Return the mean square of residuals ``(c, n)`` over their scale, each limited to an outlier's."""
    return float(np.minimum((residual / scale[:, None]) ** 2, OUTLIER**2).mean())


def relative_rms(difference: Array, image: Array) -> float:
    """Return the root mean square of a difference over that of an image, without the largest hundredth."""
    size = np.abs(difference).ravel()
    kept = size[size <= np.percentile(size, 99)]
    return float(np.sqrt(np.square(kept).mean() / max(np.square(image).mean(), np.finfo(np.float64).tiny)))


def _gains(degraded: Array, predicted: Array) -> Array:
    """Return the median ratio ``(c,)`` of two images; 1 where it is not positive."""
    large = np.abs(predicted) > 1e-3 * np.abs(predicted).mean(axis=1, keepdims=True)
    ratios = np.divide(degraded, predicted, out=np.full(degraded.shape, np.nan), where=large)
    known = np.isfinite(ratios).any(axis=1)
    gains = np.ones(len(ratios))
    gains[known] = np.nanmedian(ratios[known], axis=1)
    return np.where(gains > 0, gains, 1.0)


def better_order(degraded: Array, predicted: Array) -> list[int] | None:
    """Return the order of the predicted bands that fits the MSI far better than theirs, if there is any.

    Parameters
    ----------
    degraded, predicted : (c, n)
        H(Y) and R X.

    Returns
    -------
    list of int or None
        For each MSI band the band of R X that it resembles; None where the given order is as good.
    """
    count = len(degraded)
    pairs = np.array([correlations(np.repeat(band[None], count, axis=0), predicted) for band in degraded])
    unexplained = np.log(np.maximum(1 - np.maximum(pairs, 0) ** 2, 1e-6))
    rows, columns = linear_sum_assignment(unexplained)
    moved = rows != columns
    own = np.arange(count)
    gain = unexplained[own, own] - unexplained[rows, columns]
    if not moved.any() or gain[moved].mean() < HALVED or pairs[rows, columns][moved].min() < ALIKE:
        return None
    return [int(column) for column in columns]
