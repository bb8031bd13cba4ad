"""Width and centre of a PSF along rows and columns.

The width of a kernel is that of its marginal profiles at half their maximum, linear between the samples. The
centre is the centroid of the weights as sampled on the HR grid; for a Gaussian narrower than an HR pixel it
differs from the nominal centre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.spatial import SpatialResponse

Array = NDArray[np.float64]
WIDTHS = {"box": 1.0, "bicubic": 1.0904}  # LR pixels; Keys' cubic falls to a half at 0.5452


def width_of(response: SpatialResponse) -> Array:
    """Return the full width at half maximum along rows and columns ``(2,)``, in LR pixels."""
    if response.psf is None:
        return np.full(2, response.fwhm or WIDTHS[response.kind])
    return np.array([_half_maximum(p) for p in _profiles(response)]) / float(response.ratio)


def centre_of(response: SpatialResponse) -> Array:
    """Return the centre ``(2,)`` of the PSF relative to the LR pixel's position, in LR pixels.

    It is the mean over all positions of LR pixels relative to the HR grid, of which there are several if the
    ratio is no integer.
    """
    ratio, margin = response.ratio, response.support_lr + 1
    around = -(-2 * margin // ratio.denominator) + 1  # whole periods of the positions
    size = around * ratio.numerator
    operator = response.operator(size, size)
    lr = np.arange(margin, margin + ratio.denominator)
    places = (lr + 0.5) * float(ratio) - 0.5
    centroids = []
    for factors, others in ((operator.rows, operator.cols), (operator.cols, operator.rows)):
        weights = sum(f[lr] * o[lr].sum(axis=1, keepdims=True) for f, o in zip(factors, others, strict=True))
        centroids.append(np.mean((weights @ np.arange(size)) / weights.sum(axis=1) - places))
    return np.array(centroids) / float(ratio)


def _profiles(response: SpatialResponse) -> tuple[Array, Array]:
    psf = np.array(response.psf)
    return psf.sum(axis=1), psf.sum(axis=0)


def _half_maximum(profile: Array) -> float:
    """Return the distance between the outermost crossings of half the maximum, with zeros outside."""
    padded = np.concatenate([[0.0], profile, [0.0]])
    half = padded.max() / 2
    above = np.flatnonzero(padded >= half)
    first, last = int(above[0]), int(above[-1])
    rise = (padded[first] - half) / (padded[first] - padded[first - 1])
    fall = (padded[last] - half) / (padded[last] - padded[last + 1])
    return float(last - first + rise + fall)
