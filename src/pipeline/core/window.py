"""A rectangle of pixels and its integer arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

LARGEST_CORE = 512  # HR pixels, side of a tile and of a shard where none is given


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels.

    Attributes
    ----------
    y0, y1 : int
        Rows ``y0:y1``.
    x0, x1 : int
        Columns ``x0:x1``.
    """

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.y1 - self.y0, self.x1 - self.x0

    def split(self, side: int) -> Iterator[Window]:
        """Yield squares of `side` pixels that cover the window row by row; the last may be smaller."""
        for y in range(self.y0, self.y1, side):
            for x in range(self.x0, self.x1, side):
                yield Window(y, min(y + side, self.y1), x, min(x + side, self.x1))

    def grown(self, margin: int, within: Window) -> Window:
        """Return the window with a margin on all sides, cut to `within`."""
        return Window(
            max(within.y0, self.y0 - margin),
            min(within.y1, self.y1 + margin),
            max(within.x0, self.x0 - margin),
            min(within.x1, self.x1 + margin),
        )

    def aligned(self, side: int, within: Window) -> Window:
        """Return the smallest window around it whose bounds are multiples of `side`, cut to `within`."""
        return Window(
            max(within.y0, self.y0 // side * side),
            min(within.y1, -(-self.y1 // side) * side),
            max(within.x0, self.x0 // side * side),
            min(within.x1, -(-self.x1 // side) * side),
        )

    def coarsened(self, ratio: Fraction) -> Window:
        """Return the pixels, `ratio` times as large, that the window touches.

        >>> Window(0, 8, 6, 9).coarsened(Fraction(4))
        Window(y0=0, y1=2, x0=1, x1=3)
        """
        return Window(
            floor(self.y0 / ratio), ceil(self.y1 / ratio), floor(self.x0 / ratio), ceil(self.x1 / ratio)
        )

    def relative_to(self, other: Window) -> Window:
        """Return the window relative to the upper left corner of another window."""
        return Window(self.y0 - other.y0, self.y1 - other.y0, self.x0 - other.x0, self.x1 - other.x0)

    def union(self, other: Window) -> Window:
        """Return the smallest window that contains both."""
        return Window(
            min(self.y0, other.y0), max(self.y1, other.y1), min(self.x0, other.x0), max(self.x1, other.x1)
        )
