"""Bands of detectors moved to a common shift, so that a single H holds for all bands.

Fusion in a subspace needs ``H(A) E = H(A E)``. The small difference between detectors is interpolated by a
sinc with Lanczos' window of three pixels (Duchon 1979); detail that is aliased cannot be moved exactly. The
scene's common shift stays in H.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.estimation.shift.refinement import Alignment
from pipeline.core.sensing.nodata import fill_nearest
from pipeline.core.sensing.observation import Image
from pipeline.core.sensing.resampling import Profile, response_matrix
from pipeline.core.window import Window

REACH = 3  # pixels to either side


def most_precise(detectors: Mapping[str, Alignment]) -> str:
    """Return the name of the detector whose shift has the smallest standard error."""
    return min(detectors, key=lambda name: hypot(*detectors[name].shift_error))


def resampled_bands(
    lr_hsi: Image, detector: NDArray[np.str_], detectors: Mapping[str, Alignment], reference: str
) -> ResampledBands:
    """Return an LR-HSI whose bands all have the shift of a reference detector, resampled when read.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        The LR-HSI.
    detector : (C,) str
        Name of each band's detector; bands of a detector without an alignment are not moved.
    detectors : mapping of str to Alignment
        Alignment of each detector.
    reference : str
        Name of the reference detector.
    """
    dy, dx = detectors[reference].shift
    moves = np.zeros((len(detector), 2))
    for name, alignment in detectors.items():
        moves[detector == name] = (dy - alignment.shift[0], dx - alignment.shift[1])
    return ResampledBands(lr_hsi, moves)


@dataclass(frozen=True)
class ResampledBands:
    """An image with moved bands; its slices are float32 arrays.

    Pixel i of band b is the image at ``i + moves[b]``: a band of shift s then has the shift ``s + moves[b]``.
    A pixel is NaN if the nearest pixel at that position is; other gaps in the kernel's support are filled
    from their nearest pixels. The image is read with a margin of three kernels plus the move.

    Attributes
    ----------
    image : (C, h, w)
        The image; no-data is NaN.
    moves : (C, 2)
        Moves along rows and columns, in pixels.
    """

    image: Image
    moves: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, h, w)."""
        return tuple(self.image.shape)

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        """Read a window, given by three slices."""
        bands, rows, cols = key
        whole = Window(0, self.shape[1], 0, self.shape[2])
        window = Window(*rows.indices(whole.y1)[:2], *cols.indices(whole.x1)[:2])
        own = self.moves[bands]
        # a gap under the kernel may be filled from there
        margin = 3 * REACH + ceil(np.abs(own).max(initial=0))
        read = window.grown(margin, whole)
        values = np.array(self.image[bands, *read.slices], np.float32)
        for band in np.flatnonzero(own.any(axis=1)):
            values[band] = moved(values[band], *own[band].tolist())
        return values[:, *window.relative_to(read).slices][:, :: rows.step or 1, :: cols.step or 1]


def moved(image: NDArray[np.float32], dy: float, dx: float) -> NDArray[np.float32]:
    """Interpolate an image at moved positions, with symmetric borders.

    Parameters
    ----------
    image : (h, w)
        The image; no-data is NaN.
    dy, dx : float
        Rows and columns by which the positions are moved.
    """
    missing = np.isnan(image)
    rows, cols = (_interpolation(size, move) for size, move in zip(image.shape, (dy, dx), strict=True))
    result: NDArray[np.float32] = (rows @ fill_nearest(image[None])[0] @ cols.T).astype(np.float32)
    if missing.any():
        nearest = (
            np.clip(np.rint(np.arange(size) + move), 0, size - 1).astype(int)
            for size, move in zip(image.shape, (dy, dx), strict=True)
        )
        result[missing[np.ix_(*nearest)]] = np.nan
    return result


def _interpolation(size: int, move: float) -> NDArray[np.float64]:
    """Return the matrix ``(size, size)`` of the interpolation along an axis; its rows sum to 1."""
    return response_matrix(size, Fraction(1), size, Profile(_lanczos, 2.0 * REACH), move)


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < REACH, np.sinc(x) * np.sinc(x / REACH), 0.0)
