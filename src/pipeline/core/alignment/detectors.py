"""Bands of one detector brought to the shift of another, so that one H holds for all bands.

Fusion in a subspace needs ``H(A) E = H(A E)``. Keys' cubic convolution (Keys 1981), by the small
difference between detectors. The scene as a whole is not resampled: its shift stays in H.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import hypot, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.alignment.refinement import Alignment
from pipeline.core.observation import Image
from pipeline.core.spatial import SpatialResponse
from pipeline.core.window import Window

KERNEL_REACH = 2  # pixels


def most_precise(detectors: Mapping[str, Alignment]) -> str:
    """The detector whose shift has the smallest standard error."""
    return min(detectors, key=lambda name: hypot(*detectors[name].shift_error))


def resampled_bands(
    lr_hsi: Image, detector: NDArray[np.str_], detectors: Mapping[str, Alignment], reference: str
) -> ResampledBands:
    """An LR-HSI whose bands all have the shift of a reference detector, resampled when they are read.

    Parameters
    ----------
    lr_hsi : (C, h, w)
    detector : (C,) str
        Bands of a detector without an alignment stay as they are.
    detectors : mapping of str to Alignment
    reference : str
    """
    dy, dx = detectors[reference].shift
    moves = np.zeros((len(detector), 2))
    for name, alignment in detectors.items():
        moves[detector == name] = (dy - alignment.shift[0], dx - alignment.shift[1])
    return ResampledBands(lr_hsi, moves)


@dataclass(frozen=True)
class ResampledBands:
    """An image seen at displaced positions; its slices are float32 arrays.

    Pixel i of band b is the image at ``i + moves[b]``: bands of shift s then have the shift
    ``s + moves[b]``. NaN spreads over the kernel's support, 2 pixels; the image is read with a margin.

    Attributes
    ----------
    image : (C, h, w)
        No-data is NaN.
    moves : (C, 2)
        Rows and columns, in pixels.
    """

    image: Image
    moves: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, h, w)."""
        return tuple(self.image.shape)

    @cached_property
    def noise_factors(self) -> NDArray[np.float64]:
        """What white noise's standard deviation is multiplied by in each band, ``(C,)``."""
        found = {move: noise_factor(move) for move in set(map(tuple, self.moves.tolist()))}
        return np.array([found[dy, dx] for dy, dx in self.moves.tolist()])

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        """The values of a window, given by three slices."""
        bands, rows, cols = key
        whole = Window(0, self.shape[1], 0, self.shape[2])
        window = Window(*rows.indices(whole.y1)[:2], *cols.indices(whole.x1)[:2])
        own = self.moves[bands]
        margin = KERNEL_REACH + int(np.ceil(np.abs(own).max(initial=0)))
        read = window.grown(margin, whole)
        values = np.asarray(self.image[bands, *read.slices], np.float32)
        inner = window.relative_to(read).slices
        for move in np.unique(own[own.any(axis=1)], axis=0):
            same = (own == move).all(axis=1)
            operator = _interpolation(*move).operator(*read.shape)
            values[same] = operator.forward_with_nodata(values[same].astype(np.float64))
        return values[:, *inner][:, :: rows.step or 1, :: cols.step or 1]


def noise_factor(move: tuple[float, float]) -> float:
    """What the interpolation multiplies the standard deviation of white noise by, away from borders."""
    side = 64  # pixels, among which those at the border hardly count
    return sqrt(_interpolation(*move).noise_gain(side, side))


def _interpolation(dy: float, dx: float) -> SpatialResponse:
    return SpatialResponse.bicubic(ratio=1).shifted(dy, dx)
