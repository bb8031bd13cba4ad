"""Images of any size averaged down to pictures while they are read, window by window.

The average is that of `pictures.shrink`; windows hold whole picture pixels, so that none is averaged
in two parts. No more than one window of an image is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.core.sensing.observation import BLOCK, Image
from pipeline.core.window import Window
from pipeline.report.drawing.pictures import Floats, reduction, shrink


def windows(height: int, width: int) -> Iterator[Window]:
    """Windows of some `BLOCK` pixels, made of whole picture pixels, that cover an image row by row.

    >>> [window.shape for window in windows(1100, 500)]  # one picture pixel is 3 x 3 pixels
    [(510, 500), (510, 500), (80, 500)]
    """
    step = reduction(height, width)
    return Window(0, height, 0, width).split(max(1, BLOCK // step) * step)


def read(image: Image, window: Window) -> NDArray[np.float32]:
    """All bands of a window of an image, which may lie on disk."""
    return np.asarray(image[:, *window.slices], np.float32)


class Thumbnail:
    """Planes ``(..., H, W)``, averaged down as their windows come.

    Attributes
    ----------
    values : (..., h, w) float32
        Equal to `shrink` of the whole planes once all `windows` are added.
    """

    def __init__(self, *shape: int) -> None:
        *planes, height, width = shape
        self.step = reduction(height, width)
        self.values = np.full((*planes, -(-height // self.step), -(-width // self.step)), np.nan, np.float32)

    def add(self, window: Window, planes: Floats) -> None:
        """Take the planes of a window."""
        small = shrink(planes, self.step)
        y, x = window.y0 // self.step, window.x0 // self.step
        self.values[..., y : y + small.shape[-2], x : x + small.shape[-1]] = small


def thumbnail(image: Image, bands: ArrayLike) -> NDArray[np.float32]:
    """Some bands of an image, averaged down.

    Parameters
    ----------
    image : (C, H, W)
        In memory, or anything whose slices NumPy can read.
    bands : (...) of int

    Returns
    -------
    (..., h, w)
    """
    chosen = np.asarray(bands)
    result = Thumbnail(*chosen.shape, *image.shape[1:])
    for window in windows(*image.shape[1:]):
        result.add(window, read(image, window)[chosen])
    return result.values
