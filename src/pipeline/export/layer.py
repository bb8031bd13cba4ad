"""A raster to be written: physical values read block by block, with a description of its bands.

No-data is NaN on reading and the layer's `nodata` in a file. File formats are handled elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import Metadata
from pipeline.core.sensing.observation import Image
from pipeline.core.window import Window

DType = Literal["float32", "int16", "uint16", "int32"]
RANGES: dict[DType, tuple[float, float]] = {
    "int16": (-32_767, 32_767),
    "uint16": (0, 65_534),
    "int32": (-(2.0**31) + 128, 2.0**31 - 128),  # the outermost numbers that float32 has inside
}
"""Values that integers hold, beside the number that means no data."""
NODATA: dict[DType, float] = {
    "float32": float("nan"),
    "int16": -32_768,
    "uint16": 65_535,
    "int32": -(2.0**31),
}

BLOCK_ROWS = 64  # the sides of a store's chunks
BLOCK_BYTES = 2**25  # of the float32 values of a block


@dataclass
class Tally:
    """Statistics of the values while they are encoded.

    Attributes
    ----------
    clipped : int
        Number of values that left the range of the file's type and were set to its ends.
    lowest, highest : float
        Range of the values before rounding; not finite if there were none.
    """

    clipped: int = 0
    lowest: float = inf
    highest: float = -inf

    def include(self, values: NDArray[np.float32]) -> None:
        """Extend the range by values, of which NaN is no data."""
        if not np.isnan(values).all():
            self.lowest = min(self.lowest, float(np.nanmin(values)))
            self.highest = max(self.highest, float(np.nanmax(values)))


@dataclass(frozen=True)
class Layer:
    """Bands on one grid.

    Attributes
    ----------
    shape : (int, int, int)
        Bands, height and width.
    read : callable
        Returns physical values (band, y, x) of a window as float32.
    names : sequence of str
        Names of the bands.
    metadata : Metadata
        Wavelengths, units and place; `read` applies the scale.
    dtype : {"float32", "int16", "uint16", "int32"}
        Type of the values in a file; integers round.
    """

    shape: tuple[int, int, int]
    read: Callable[[Window], NDArray[np.float32]]
    names: Sequence[str]
    metadata: Metadata
    dtype: DType = "float32"

    @property
    def nodata(self) -> float:
        """Number that means no data in a file."""
        return NODATA[self.dtype]

    def blocks(self, tally: Tally) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield values as a file holds them, in windows of `BLOCK_ROWS` rows that cover the layer row by row.

        Parameters
        ----------
        tally : Tally
            Updated with the values of each block.
        """
        for window in self._windows():
            yield window, self._encode(self.read(window), tally)

    def range(self) -> Tally:
        """Return the range of the values, for which all of them are read once."""
        tally = Tally()
        for window in self._windows():
            tally.include(self.read(window))
        return tally

    def _windows(self) -> Iterator[Window]:
        bands, height, width = self.shape
        columns = max(1, BLOCK_BYTES // (4 * bands * BLOCK_ROWS) // BLOCK_ROWS) * BLOCK_ROWS
        for y in range(0, height, BLOCK_ROWS):
            for x in range(0, width, columns):
                yield Window(y, min(y + BLOCK_ROWS, height), x, min(x + columns, width))

    def _encode(self, values: NDArray[np.float32], tally: Tally) -> NDArray[Any]:
        if self.dtype == "float32":
            return values
        tally.include(values)
        missing = np.isnan(values)
        rounded = np.rint(values)
        clipped = np.clip(rounded, *RANGES[self.dtype])
        tally.clipped += int(np.count_nonzero((clipped != rounded) & ~missing))
        return np.where(missing, np.float32(self.nodata), clipped).astype(self.dtype)


def integer_type(lowest: float, highest: float) -> DType | None:
    """Return the smallest integer type that holds rounded values of a range, None where none does.

    >>> integer_type(-12, 9000), integer_type(0, 60_000), integer_type(-12, 60_000), integer_type(0, 1e12)
    ('int16', 'uint16', 'int32', None)
    """
    lowest, highest = np.rint(lowest), np.rint(highest)
    return next((name for name, (low, high) in RANGES.items() if low <= lowest and highest <= high), None)


def image_layer(image: Image, like: Metadata, dtype: DType = "float32") -> Layer:
    """Return the layer of a stored image.

    Parameters
    ----------
    image : Image
        The image (band, y, x).
    like : Metadata
        Its bands, units and place; values times its scale are physical.
    dtype : {"float32", "int16", "uint16", "int32"}
        Type of the values in a file.
    """

    def read(window: Window) -> NDArray[np.float32]:
        stored = np.asarray(image[:, *window.slices])
        return np.multiply(stored, like.scale, dtype=np.float64).astype(np.float32)

    bands, height, width = image.shape
    names = [f"Band {number}" for number in range(1, bands + 1)]
    return Layer((bands, height, width), read, names, replace(like, scale=1.0), dtype)
