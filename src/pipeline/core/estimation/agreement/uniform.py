"""Undeclared no-data and saturation of an image: values that too many pixels share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from pipeline.core.window import Window

SIDE = 256  # pixels of a window
FEWEST = 16  # pixels, below which a shared value may be chance
RARE = 1e-3  # fraction of the read pixels, below which a shared value costs little
SATURATED = 5e-3  # fraction of a band's pixels at its largest value
PILE = 8  # times the number of pixels at the next largest value
KEPT = 2 * PILE  # of a window's largest values, some of which may turn out to be no data


class Suspicion(NamedTuple):
    """Value that many pixels of an image share.

    Attributes
    ----------
    kind : str
        `no-data` or `saturated`.
    value : float
        The value, as the image is read.
    fraction : float
        Fraction of the read pixels, or of a band's, that have it.
    bands : int
        Number of bands that hold it.
    """

    kind: str
    value: float
    fraction: float
    bands: int

    def sentence(self, scale: float = 1.0, remedy: str = "declare `nodata: {value}`") -> str:
        """Describe the value and what it is likely to be.

        Parameters
        ----------
        scale : float
            Number by which the file's values were divided.
        remedy : str
            Action for no-data, with `{value}` in place of the value.
        """
        value = f"{self.value * scale:.6g}"
        if self.kind == "saturated":
            bands = "1 band" if self.bands == 1 else f"{self.bands} bands"
            return f"up to {self.fraction:.1%} of the pixels of {bands} are at the largest value, {value}"
        return (
            f"{self.fraction:.1%} of the pixels looked at are {value} in all bands, up to the border: "
            f"likely no data; if so, {remedy.format(value=value)}"
        )


def rim_windows(height: int, width: int) -> list[Window]:
    """Return windows at the corners, in the middle of the edges and in the middle of an image.

    Parameters
    ----------
    height, width : int
        Size of the image; a small image is a single window.
    """
    if height <= 2 * SIDE and width <= 2 * SIDE:
        return [Window(0, height, 0, width)]
    rows, columns = (sorted({0, max(0, (n - SIDE) // 2), max(0, n - SIDE)}) for n in (height, width))
    return [Window(y, min(y + SIDE, height), x, min(x + SIDE, width)) for y in rows for x in columns]


def suspicious_values(
    read: Callable[[Window], NDArray[np.floating]], height: int, width: int
) -> list[Suspicion]:
    """Find values that look like undeclared no-data, or like the end of the sensor's range.

    No-data: pixels that have one and the same value in all bands (in the only band: its smallest value) and
    reach the image's border. Saturation: pixels at the largest value of a band, far more than at the next.
    One window is held at a time.

    Parameters
    ----------
    read : callable
        Returns a window ``(band, y, x)`` of the image, with NaN for known no-data.
    height, width : int
        Size of the image.
    """
    uniform, at_border, tops, total = Counter[float](), Counter[float](), list[_Top](), 0
    for window in rim_windows(height, width):
        image = read(window)
        tops = tops or [_Top() for _ in image]
        for top, band in zip(tops, image, strict=True):
            top.add(band[np.isfinite(band)])
        total += image[0].size
        same = np.isfinite(image[0]) & (image == image[0]).all(axis=0)
        uniform += _counted(image[0][same])
        at_border += _at_border(same, image[0], _border(window, height, width))
    if len(tops) == 1:
        at_border = Counter({tops[0].lowest: at_border[tops[0].lowest]})
    no_data = [
        Suspicion("no-data", value, count / total, len(tops))
        for value, count in at_border.most_common()
        if count >= max(FEWEST, RARE * total)
    ]
    outside = Counter({suspicion.value: uniform[suspicion.value] for suspicion in no_data})
    return [*no_data, *_saturation(tops, outside)]


def _at_border(
    same: NDArray[np.bool_], values: NDArray[np.floating], border: NDArray[np.bool_]
) -> Counter[float]:
    """Count the pixels of uniform areas that reach the image's border, by their value.

    Parameters
    ----------
    same : (y, x) bool
        Pixels with one value in all bands.
    values : (y, x)
        This value.
    border : (y, x) bool
        Pixels on the image's border.
    """
    counts = Counter[float]()
    for value in np.unique(values[same & border]).tolist():
        areas, _ = label(same & (values == value))
        sizes = np.bincount(areas.ravel())[np.unique(areas[border & (areas > 0)])]
        counts[value] += int(sizes[sizes >= FEWEST].sum())
    return counts


def _border(window: Window, height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels of a window that lie on the image's border."""
    y, x = np.mgrid[window.slices]
    return (y == 0) | (x == 0) | (y == height - 1) | (x == width - 1)


def _counted(values: NDArray[np.floating], most: int | None = None) -> Counter[float]:
    """Count the pixels at each value, or at the largest values."""
    levels, counts = (array[-most:] if most else array for array in np.unique(values, return_counts=True))
    return Counter(dict(zip(levels.tolist(), counts.tolist(), strict=True)))


@dataclass
class _Top:
    """The largest values of a band, which are found window by window.

    Attributes
    ----------
    counts : Counter
        Number of pixels at each of the largest values, of which every window gives some.
    pixels : int
        Number of pixels with a value.
    lowest : float
        Smallest value.
    """

    counts: Counter[float] = field(default_factory=Counter)
    pixels: int = 0
    lowest: float = inf

    def add(self, values: NDArray[np.floating]) -> None:
        """Take the values of a window."""
        # a value that is among the largest of all is so in each window that has it
        self.counts += _counted(values, KEPT)
        self.pixels += values.size
        if values.size:
            self.lowest = min(self.lowest, float(values.min()))


def _saturation(tops: Sequence[_Top], outside: Counter[float]) -> Iterator[Suspicion]:
    """Yield the largest value of the bands in which it piles up.

    Parameters
    ----------
    tops : sequence of _Top
        The bands.
    outside : Counter
        Number of pixels without data, by their value.
    """
    worst: dict[float, tuple[float, int]] = {}
    for top in tops:
        levels = nlargest(PILE, top.counts - outside)
        if len(levels) < PILE or levels[0] <= 0:
            continue
        most, *others = ((top.counts - outside)[level] for level in levels)
        fraction = most / (top.pixels - outside.total())
        if most >= FEWEST and fraction >= SATURATED and most > PILE * max(others):
            largest, bands = worst.get(levels[0], (0.0, 0))
            worst[levels[0]] = (max(largest, fraction), bands + 1)
    for value, (fraction, bands) in worst.items():
        yield Suspicion("saturated", value, fraction, bands)
