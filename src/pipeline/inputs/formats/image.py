"""An image as its file stores it, read window by window: what each format and mission provides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import Metadata
from pipeline.core.window import Window

Block = tuple[NDArray[Any], NDArray[np.bool_]]
"""Numbers (band, y, x) of a window, and where they are missing."""


class Pixels(Protocol):
    """Source of an image's pixels."""

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return a window of some bands, given by their 0-based numbers in the wanted order."""


@dataclass(frozen=True, kw_only=True)
class StoredImage(Metadata):
    """An image in the order (band, y, x), before bands are left out and values scaled.

    A physical value is ``gain * number + offset`` of a stored number.

    Attributes
    ----------
    name : str
        Path of the file or product, for messages.
    shape : (int, int, int)
        Bands, height and width.
    storage : (int, int)
        Rows and columns that the file stores, and is best read, together.
    pixels : Pixels
        Source of the stored numbers, which knows the values that the file itself declares missing.
    bad_bands : tuple of int
        0-based numbers of the bands that the file declares bad.
    band_names : tuple of str or None
        Names of the bands, where each has a file of its own.
    gain, offset : (C,) float64 or None
        Calibration of each band; None where numbers are values already.
    nodata : tuple of float
        Stored numbers that mean no data, besides what `pixels` declares.
    """

    name: str
    shape: tuple[int, int, int]
    storage: tuple[int, int]
    pixels: Pixels
    bad_bands: tuple[int, ...] = ()
    band_names: tuple[str, ...] | None = None
    gain: NDArray[np.float64] | None = None
    offset: NDArray[np.float64] | None = None
    nodata: tuple[float, ...] = ()

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return physical values of some bands of a window, and where they are missing.

        Parameters
        ----------
        window : Window
            Pixels to read.
        bands : list of int
            0-based numbers of the bands, in the wanted order.

        Returns
        -------
        values : (band, y, x)
            In the file's own type where there is no calibration, else float64.
        missing : (band, y, x) bool
            True where the file or `nodata` says that there is no value.
        """
        numbers, missing = self.pixels.read(window, bands)
        missing = missing | equals_any(numbers, self.nodata)
        if self.gain is None or self.offset is None:
            return numbers, missing
        gain, offset = self.gain[bands, None, None], self.offset[bands, None, None]
        if (gain == 1).all() and not offset.any():
            return numbers, missing
        return numbers * gain + offset, missing


def equals_any(values: NDArray[Any], numbers: Sequence[float]) -> NDArray[np.bool_]:
    """Return where values equal any of some numbers, NaN among them, in the precision of the values."""
    equal = np.zeros(values.shape, bool)
    for number in numbers:
        equal |= np.isnan(values) if np.isnan(number) else values == number
    return equal
