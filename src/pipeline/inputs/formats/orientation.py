"""Images whose rows or columns run in other directions than south and east, turned without resampling.

Rows stored from south to north, columns from east to west, and grids turned by 90 or 180 degrees are flipped
and transposed as they are read. Grids turned by other angles stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.inputs.formats.image import Block, Pixels, StoredImage

STRAIGHT = 1e-6  # of a pixel's size: a rotation below it does not move the far corner of any image


@dataclass(frozen=True)
class Turning:
    """How a stored image becomes north-up: rows and columns are exchanged first, then reversed.

    Attributes
    ----------
    exchanged : bool
        Whether rows and columns are exchanged.
    rows, columns : bool
        Whether rows or columns, after the exchange, are reversed.
    """

    exchanged: bool = False
    rows: bool = False
    columns: bool = False

    def words(self) -> str:
        """Return what is done, for messages."""
        parts = ["rows and columns exchanged"] * self.exchanged
        return " and ".join([*parts, *["rows reversed"] * self.rows, *["columns reversed"] * self.columns])


@dataclass(frozen=True)
class TurnedPixels:
    """Pixels of an image, turned as they are read.

    Attributes
    ----------
    stored : Pixels
        Pixels in the file's own directions.
    turning : Turning
        How they are turned.
    shape : (int, int)
        Height and width of the turned image.
    """

    stored: Pixels
    turning: Turning
    shape: tuple[int, int]

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return some bands of a window of the turned image, and where they are missing."""
        height, width = self.shape
        y0, y1, x0, x1 = window.y0, window.y1, window.x0, window.x1
        if self.turning.rows:
            y0, y1 = height - y1, height - y0
        if self.turning.columns:
            x0, x1 = width - x1, width - x0
        own = Window(x0, x1, y0, y1) if self.turning.exchanged else Window(y0, y1, x0, x1)
        values, missing = (self._turned(part) for part in self.stored.read(own, bands))
        return values, missing

    def _turned(self, values: np.ndarray) -> np.ndarray:
        values = values.swapaxes(1, 2) if self.turning.exchanged else values
        down, across = (-1 if part else 1 for part in (self.turning.rows, self.turning.columns))
        return values[:, ::down, ::across]


def upright(image: StoredImage) -> StoredImage:
    """Return an image with its rows from north to south and its columns from west to east where flips do it.

    Parameters
    ----------
    image : StoredImage
        Any image; without a place on Earth it is returned as it is.
    """
    turning = turning_of(image.transform, located=image.crs is not None)
    if turning is None or image.transform is None:
        return image
    bands, height, width = image.shape
    rows, columns = image.storage
    transform = image.transform
    if turning.exchanged:
        a, b, c, d, e, f = transform
        transform = b, a, c, e, d, f
        height, width, rows, columns = width, height, columns, rows
    a, b, c, d, e, f = transform
    if turning.rows:
        b, c, e, f = -b, c + b * height, -e, f + e * height
    if turning.columns:
        a, c, d, f = -a, c + a * width, -d, f + d * width
    return replace(
        image,
        shape=(bands, height, width),
        storage=(rows, columns),
        pixels=TurnedPixels(image.pixels, turning, (height, width)),
        transform=(a, b, c, d, e, f),
        assumed=(*image.assumed, f"stored in other directions than north-up: {turning.words()} on reading"),
    )


def turning_of(transform: Transform | None, *, located: bool = True) -> Turning | None:
    """Return how an image becomes north-up; None where it is, or where flips do not do it.

    Parameters
    ----------
    transform : tuple of six floats or None
        The affine.
    located : bool
        Whether the affine has a CRS. Without one, an affine that begins at the origin only counts pixels.
    """
    if transform is None:
        return None
    a, b, c, d, e, f = transform
    if not located and abs(c) <= abs(a) + abs(b) and abs(f) <= abs(d) + abs(e):
        return None
    size = max(abs(a), abs(b), abs(d), abs(e))
    if max(abs(a), abs(e)) <= STRAIGHT * size:
        turning = Turning(True, rows=d > 0, columns=b < 0)
    elif max(abs(b), abs(d)) <= STRAIGHT * size:
        turning = Turning(False, rows=e > 0, columns=a < 0)
    else:
        return None
    return turning if turning != Turning() else None
