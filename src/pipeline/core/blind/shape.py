"""Width and centre of a PSF along rows and columns.

A kernel's are those of its marginal profiles: the width at half the maximum, linear between the
samples, and the centroid. Nothing is estimated here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core.spatial import SpatialResponse

Array = NDArray[np.float64]
WIDTHS = {"box": 1.0, "bicubic": 1.0904}  # LR pixels; Keys' cubic falls to a half at 0.5452


def width_of(response: SpatialResponse) -> Array:
    """Full width at half maximum along rows and columns (2,), in LR pixels."""
    if response.psf is None:
        return np.full(2, response.fwhm or WIDTHS[response.kind])
    return np.array([_half_maximum(p) for p in _profiles(response)]) / float(response.ratio)


def centre_of(response: SpatialResponse) -> Array:
    """Where the PSF is centred against the LR pixel's place on the grid (2,), in LR pixels."""
    if response.psf is None:
        return np.array(response.shift)
    centroids = [p @ (np.arange(p.size) - (p.size - 1) / 2) for p in _profiles(response)]
    return np.array(response.shift) + np.array(centroids) / float(response.ratio)


def _profiles(response: SpatialResponse) -> tuple[Array, Array]:
    psf = np.array(response.psf)
    return psf.sum(axis=1), psf.sum(axis=0)


def _half_maximum(profile: Array) -> float:
    """Distance between the outermost crossings of half the maximum, zero outside the samples."""
    padded = np.concatenate([[0.0], profile, [0.0]])
    half = padded.max() / 2
    above = np.flatnonzero(padded >= half)
    first, last = int(above[0]), int(above[-1])
    rise = (padded[first] - half) / (padded[first] - padded[first - 1])
    fall = (padded[last] - half) / (padded[last] - padded[last + 1])
    return float(last - first + rise + fall)
