"""H(Y) and R X as images in the windows of a sample, for comparisons in space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.estimation.responses.sample import PairSample
from pipeline.core.sensing.spatial import SpatialResponse

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Planes:
    """Bands of a sample's windows as images; NaN where a pixel does not belong to the sample.

    Attributes
    ----------
    images : list of (c, h, w)
        The windows.
    corners : list of (int, int)
        Row and column of each window's first LR pixel in the scene.
    """

    images: list[Array]
    corners: list[tuple[int, int]]

    @property
    def values(self) -> Array:
        """Values ``(c, n)`` of all pixels of the sample, window by window."""
        return np.concatenate([image[:, np.isfinite(image).all(axis=0)] for image in self.images], axis=1)

    def map(self, change: Callable[[Array], Array]) -> Planes:
        """Apply a function to each window.

        Parameters
        ----------
        change : callable
            Takes and returns ``(c, h, w)``.
        """
        return Planes([change(image) for image in self.images], self.corners)

    def combined(self, other: Planes, combine: Callable[[Array, Array], Array]) -> Planes:
        """Combine each window with the same window of other images.

        Parameters
        ----------
        other : Planes
            Images in the same windows.
        combine : callable
            Takes two ``(c, h, w)`` and returns one.
        """
        pairs = zip(self.images, other.images, strict=True)
        return Planes([combine(own, further) for own, further in pairs], self.corners)


def sample_planes(sample: PairSample, spatial: SpatialResponse, spectral: Array) -> tuple[Planes, Planes]:
    """Return H(Y) and R X in the windows of a sample.

    Parameters
    ----------
    sample : PairSample
        The sample.
    spatial : SpatialResponse
        H.
    spectral : (c, C)
        R.
    """
    return (
        _planes(sample, sample.degraded(spatial)),
        _planes(sample, spectral @ sample.hsi),
    )


def hsi_planes(sample: PairSample) -> Planes:
    """Return X in the windows of a sample."""
    return _planes(sample, sample.hsi)


def _planes(sample: PairSample, values: Array) -> Planes:
    """Put the values ``(c, n)`` of a sample's pixels into images."""
    images, start = [], 0
    for part in sample.parts:
        image = np.full((len(values), *part.used.shape), np.nan)
        image[:, part.used] = values[:, start : start + part.count]
        start += part.count
        images.append(image)
    return Planes(images, [part.corner for part in sample.parts])


def stacked(planes: Sequence[Array]) -> Array:
    """Concatenate the pixels of images ``(k, h, w)`` to ``(k, n)``, missing ones included."""
    return np.concatenate([plane.reshape(len(plane), -1) for plane in planes], axis=1)
