"""Blocks of two cubes of any size, and sums over them.

The blocks depend on the cubes' shape alone, and their partial sums are added in the blocks' order,
so that a result depends neither on the memory nor on the worker that computes a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import isqrt
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.arrays import real_array
from pipeline.core.window import Window
from pipeline.errors import InputError

T = TypeVar("T")
Sums = TypeVar("Sums", bound=tuple[Any, ...])
Mask = NDArray[np.bool_]

UNIT = 64  # sides of blocks are multiples of it: of a store's chunks, and of Q2n's 32 pixels
LARGEST_SIDE = 512
LARGEST_BLOCK = 2**26  # bytes of a block of both cubes in float32; reading it takes about twice that


class Mapped(Protocol):
    """Like `map`: yields the results of a function in the order of the items, computed anywhere."""

    def __call__(self, function: Callable[[Window], T], items: Sequence[Window], /) -> Iterable[T]:
        """Yield ``function(item)`` for each item."""


def block_side(bands: int) -> int:
    """Return the side of a block in pixels.

    Parameters
    ----------
    bands : int
        Of both cubes.

    >>> block_side(31), block_side(100), block_side(200)
    (512, 256, 192)
    """
    most = min(LARGEST_SIDE, isqrt(LARGEST_BLOCK // (8 * bands)))
    return max(1, most // UNIT) * UNIT


def blocks(shape: tuple[int, int], side: int, thinnest: int) -> list[Window]:
    """Cover an image row by row with square windows; the last ones may be smaller or larger.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    side : int
        Of the squares, in pixels.
    thinnest : int
        Fewer pixels than this at the far border belong to the block before them.

    >>> [block.shape for block in blocks((520, 300), 256, 32)]
    [(256, 256), (256, 44), (264, 256), (264, 44)]
    """
    rows, cols = (list(pairwise([*range(0, max(1, size - thinnest + 1), side), size])) for size in shape)
    return [Window(*y, *x) for y, x in product(rows, cols)]


def added(first: Sums, second: Sums) -> Sums:
    """Add two named tuples field by field.

    Parameters
    ----------
    first, second : named tuple
        Of one type, with numbers or arrays.
    """
    return type(first)(*(a + b for a, b in zip(first, second, strict=True)))


@dataclass(frozen=True)
class CubePair:
    """A reference and a fused cube.

    Attributes
    ----------
    reference, cube : (C, H, W)
        Arrays, or anything with a shape whose slices NumPy can read.
    """

    reference: Any
    cube: Any

    def __post_init__(self) -> None:
        if len(self.reference.shape) != 3 or tuple(self.reference.shape) != tuple(self.cube.shape):
            raise InputError(
                f"cube: shape {tuple(self.cube.shape)} does not match the reference's "
                f"{tuple(self.reference.shape)}; both are (band, y, x)"
            )

    @property
    def bands(self) -> int:
        """Number of bands, C."""
        return int(self.reference.shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.reference.shape[1]), int(self.reference.shape[2])

    def read(self, window: Window, overlap: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
        """Read both cubes in a window.

        Parameters
        ----------
        window : Window
            Of the image.
        overlap : int
            Pixels to add on the right and below, as far as the image reaches.
        """
        rows, cols = (slice(s.start, s.stop + overlap) for s in window.slices)
        x, y = (real_array(name, getattr(self, name)[:, rows, cols]) for name in ("reference", "cube"))
        return x, y


def valid_pixels(reference: NDArray[Any], cube: NDArray[Any]) -> Mask:
    """Mark the pixels that are not NaN in any band of either cube.

    Parameters
    ----------
    reference, cube : (C, ...)
        Parts of the cubes.

    Raises
    ------
    InputError
        A part holds infinite values.
    """
    return _valid("reference", reference) & _valid("cube", cube)


def _valid(name: str, image: NDArray[Any]) -> Mask:
    """Mark the pixels without NaN, band by band to spare memory."""
    valid = np.ones(image.shape[1:], np.bool_)
    for band in image:
        finite = np.isfinite(band)
        if not finite.all():
            if np.isinf(band).any():
                raise InputError(f"{name}: holds infinite values; mark no-data as NaN")
            valid &= finite
    return valid
