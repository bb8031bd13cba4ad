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

DType = Literal["float32", "int16"]

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
    dtype : {"float32", "int16"}
        Type of the values in a file; int16 rounds.
    """

    shape: tuple[int, int, int]
    read: Callable[[Window], NDArray[np.float32]]
    names: Sequence[str]
    metadata: Metadata
    dtype: DType = "float32"

    @property
    def nodata(self) -> float:
        """Number that means no data in a file."""
        return float("nan") if self.dtype == "float32" else float(np.iinfo(np.int16).min)

    def blocks(self, tally: Tally) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yield values as a file holds them, in windows of `BLOCK_ROWS` rows that cover the layer row by row.

        Parameters
        ----------
        tally : Tally
            Updated with the values of each block.
        """
        bands, height, width = self.shape
        columns = max(1, BLOCK_BYTES // (4 * bands * BLOCK_ROWS) // BLOCK_ROWS) * BLOCK_ROWS
        for y in range(0, height, BLOCK_ROWS):
            for x in range(0, width, columns):
                window = Window(y, min(y + BLOCK_ROWS, height), x, min(x + columns, width))
                yield window, self._encode(self.read(window), tally)

    def _encode(self, values: NDArray[np.float32], tally: Tally) -> NDArray[Any]:
        if self.dtype == "float32":
            return values
        missing = np.isnan(values)
        if not missing.all():
            tally.lowest = min(tally.lowest, float(np.nanmin(values)))
            tally.highest = max(tally.highest, float(np.nanmax(values)))
        largest = np.iinfo(np.int16).max
        rounded = np.rint(values)
        clipped = np.clip(rounded, -largest, largest)
        tally.clipped += int(np.count_nonzero((clipped != rounded) & ~missing))
        return np.where(missing, np.float32(self.nodata), clipped).astype(np.int16)


def image_layer(image: Image, like: Metadata, dtype: DType = "float32") -> Layer:
    """Return the layer of a stored image.

    Parameters
    ----------
    image : Image
        The image (band, y, x).
    like : Metadata
        Its bands, units and place; values times its scale are physical.
    dtype : {"float32", "int16"}
        Type of the values in a file.
    """

    def read(window: Window) -> NDArray[np.float32]:
        stored = np.asarray(image[:, *window.slices])
        return np.multiply(stored, like.scale, dtype=np.float64).astype(np.float32)

    bands, height, width = image.shape
    names = [f"Band {number}" for number in range(1, bands + 1)]
    return Layer((bands, height, width), read, names, replace(like, scale=1.0), dtype)
