"""Images of any size averaged down to pictures while they are read, window by window.

Averages are taken as in `pictures.shrink`. Windows hold whole picture pixels, so that each is averaged at
once. Only one window of an image is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.core.sensing.observation import BLOCK, Image
from pipeline.core.window import Window
from pipeline.report.drawing.pictures import Floats, reduction, shrink


def windows(height: int, width: int) -> Iterator[Window]:
    """Cover an image row by row with windows of about `BLOCK` pixels, made of whole picture pixels.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels.

    >>> [window.shape for window in windows(1100, 500)]  # one picture pixel is 3 x 3 pixels
    [(510, 500), (510, 500), (80, 500)]
    """
    step = reduction(height, width)
    return Window(0, height, 0, width).split(max(1, BLOCK // step) * step)


def read(image: Image, window: Window) -> NDArray[np.float32]:
    """Read all bands of a window of an image, which may lie on disk.

    Parameters
    ----------
    image : (C, H, W)
        In memory, or anything whose slices NumPy can read.
    window : Window
        Of the image.
    """
    return np.asarray(image[:, *window.slices], np.float32)


class Thumbnail:
    """Planes ``(..., H, W)`` that are averaged down window by window.

    Parameters
    ----------
    *shape : int
        Shape of the planes.

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
        """Average the planes of a window.

        Parameters
        ----------
        window : Window
            Its place in the image.
        planes : (..., height, width)
            Its values.
        """
        small = shrink(planes, self.step)
        y, x = window.y0 // self.step, window.x0 // self.step
        self.values[..., y : y + small.shape[-2], x : x + small.shape[-1]] = small


def thumbnail(image: Image, bands: ArrayLike) -> NDArray[np.float32]:
    """Average down some bands of an image.

    Parameters
    ----------
    image : (C, H, W)
        In memory, or anything whose slices NumPy can read.
    bands : (...) of int
        Indices of the bands.

    Returns
    -------
    (..., h, w)
        At most `MAX_SIDE` pixels high and wide.
    """
    chosen = np.asarray(bands)
    result = Thumbnail(*chosen.shape, *image.shape[1:])
    for window in windows(*image.shape[1:]):
        result.add(window, read(image, window)[chosen])
    return result.values
