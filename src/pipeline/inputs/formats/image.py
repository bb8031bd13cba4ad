"""An image as its file stores it, read window by window: what each format and mission provides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import Metadata
from pipeline.core.window import Window

HUGE, SAME_DIGITS = 1e15, 1e-6

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
        Different names of the bands, where the file has some.
    gain, offset : (C,) float64 or None
        Calibration of each band; None where numbers are values already.
    nodata : tuple of float
        Stored numbers that mean no data, besides what `pixels` declares.
    declares_nodata : bool
        Whether the file declares any number to be no data.
    dropped : tuple of int
        0-based numbers of the bands that the configuration leaves out by name.
    repeats : int
        How often the names of the bands repeat: 2 in a stack of two dates.
    integers : bool
        Whether the file holds whole numbers.
    divisor : float
        Number that divides values to reflectance, where metadata or the product's name tell it.
    added : float
        Number that the product's name says is to be added to stored numbers first.
    assumed : tuple of str
        What was guessed in reading the file, a sentence each.
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
    declares_nodata: bool = False
    dropped: tuple[int, ...] = ()
    repeats: int = 1
    integers: bool = False
    divisor: float = 1.0
    added: float = 0.0
    assumed: tuple[str, ...] = ()

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
            True where the file or `nodata` says that there is no value, and where a value is NaN.
        """
        numbers, missing = self.pixels.read(window, bands)
        missing = missing | equals_any(numbers, self.nodata)
        if numbers.dtype.kind == "f":
            missing |= np.isnan(numbers)
        if self.gain is None or self.offset is None:
            return numbers, missing
        gain, offset = self.gain[bands, None, None], self.offset[bands, None, None]
        if (gain == 1).all() and not offset.any():
            return numbers, missing
        return numbers * gain + offset, missing


def equals_any(values: NDArray[Any], numbers: Sequence[float]) -> NDArray[np.bool_]:
    """Return where values equal any of some numbers, NaN among them, in the precision of the values.

    Beyond `HUGE` six digits decide: such fill values are often written in another precision than the values.
    """
    equal = np.zeros(values.shape, bool)
    for number in numbers:
        if np.isnan(number):
            equal |= np.isnan(values)
        elif values.dtype.kind != "f":
            equal |= values == number
        elif HUGE <= abs(number) < np.inf:
            equal |= np.abs(values / number - 1) < SAME_DIGITS
        else:
            with np.errstate(over="ignore"):
                equal |= values == values.dtype.type(number)
    return equal


@dataclass(frozen=True)
class SingleBands:
    """Pixels of images of one band each.

    Attributes
    ----------
    images : sequence of StoredImage
        The bands in order; each applies its own calibration and no-data.
    """

    images: Sequence[StoredImage]

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return values of some bands of a window, and where they are missing."""
        parts = [self.images[band].read(window, [0]) for band in bands]
        values, missing = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        return values, missing


def of_all(values: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    """Return a property of the bands of several images, None where one of them lacks it."""
    known = [value for value in values if value is not None]
    return np.concatenate(known) if len(known) == len(values) else None


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts B2 before B10.

    >>> sorted(["B10", "B2"], key=natural)
    ['B2', 'B10']
    """
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name)]
