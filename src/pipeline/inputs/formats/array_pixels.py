"""Pixels of an array with any order of axes, read window by window in the order (band, y, x)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.window import Window
from pipeline.inputs.formats.array_file import Array
from pipeline.inputs.formats.image import Block, equals_any
from pipeline.inputs.formats.packing import Packing


class ArrayPixels:
    """Pixels of an array with given axes.

    Parameters
    ----------
    array : array, Dataset or ZarrArray
        Array of values; of HDF5 and Zarr it is read window by window.
    axes : list of str
        Its axes: `band`, `y` and `x`, or `band` and an axis of pixels in row-major (`yx`) or column-major
        (`xy`) order; `1` are axes of length 1 beside them.
    size : (int, int)
        Height and width of the image.
    declared : Packing, optional
        Numbers that the file declares missing.
    """

    def __init__(
        self, array: Array, axes: list[str], size: tuple[int, int], declared: Packing | None = None
    ) -> None:
        self._array, self._axes, self._size, self._declared = array, axes, size, declared

    @property
    def storage(self) -> tuple[int, int]:
        """Rows and columns that are best read together."""
        height, width = self._size
        if isinstance(self._array, np.ndarray) or "yx" in self._axes:
            return 1, width
        if "xy" in self._axes:
            return height, 1
        together = dict(zip(self._axes, self._array.together, strict=True))
        return together["y"], together["x"]

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return some bands of a window, and where the file declares their numbers missing."""
        values = self._window(window, bands) if "y" in self._axes else self._of_pixels(window, bands)
        if self._declared is None:
            return values, np.zeros(values.shape, bool)
        low, high = self._declared.valid
        missing = equals_any(values, self._declared.fill)
        if np.isfinite(low) or np.isfinite(high):
            missing |= (values < low) | (values > high)
        return values, missing

    def _window(self, window: Window, bands: list[int]) -> NDArray[Any]:
        """Return a window of an array with axes of rows and of columns."""
        rows, columns = window.slices
        part: dict[str, Any] = {"band": bands, "y": rows, "x": columns, "1": slice(0, 1)}
        read = self._array[tuple(part[axis] for axis in self._axes)]
        long = [axis for axis in self._axes if axis != "1"]
        read = read.reshape([side for side, axis in zip(read.shape, self._axes, strict=True) if axis != "1"])
        if "band" not in long:
            read, long = read[None], ["band", *long]
        return np.asarray(read.transpose([long.index(axis) for axis in ("band", "y", "x")]))

    def _of_pixels(self, window: Window, bands: list[int]) -> NDArray[Any]:
        """Return a window of an array with one axis of pixels."""
        (order,) = set(self._axes) - {"band"}
        row_major = order == "yx"
        across = self._size[1] if row_major else self._size[0]
        along, side = window.slices if row_major else window.slices[::-1]
        pixels = slice(along.start * across, along.stop * across)
        by_band = self._axes[0] == "band"
        read = self._array[bands, pixels] if by_band else self._array[pixels, bands].T
        values = read.reshape(len(bands), -1, across)[:, :, side]
        return values if row_major else values.transpose(0, 2, 1)
