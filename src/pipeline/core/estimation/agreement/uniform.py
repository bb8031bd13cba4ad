"""Undeclared no-data and saturation of an image: values that too many pixels share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

    Parameters
    ----------
    read : callable
        Returns a window ``(band, y, x)`` of the image, with NaN for known no-data.
    height, width : int
        Size of the image.
    """
    windows = [(window, read(window)) for window in rim_windows(height, width)]
    no_data = list(_no_data(windows, height, width))
    values = [suspicion.value for suspicion in no_data]
    known = [image[:, ~(np.isin(image, values) & (image == image[0])).all(axis=0)] for _, image in windows]
    return [*no_data, *_saturation(np.concatenate(known, axis=1))]


Windows = list[tuple[Window, NDArray[np.floating]]]


def _no_data(windows: Windows, height: int, width: int) -> Iterator[Suspicion]:
    """Yield the values of uniform areas at the border."""
    counts: dict[float, int] = {}
    total = 0
    lowest = min((float(np.nanmin(image)) for _, image in windows if np.isfinite(image).any()), default=0.0)
    for window, image in windows:
        total += image[0].size
        uniform = np.isfinite(image[0]) & (image == image[0]).all(axis=0)
        if len(image) == 1:
            uniform &= image[0] == lowest
        border = _border(window, height, width)
        for value in np.unique(image[0][uniform & border]).tolist():
            areas, _ = label(uniform & (image[0] == value))
            touching = np.unique(areas[border & (areas > 0)])
            sizes = np.bincount(areas.ravel())[touching]
            counts[value] = counts.get(value, 0) + int(sizes[sizes >= FEWEST].sum())
    for value, count in sorted(counts.items(), key=lambda entry: -entry[1]):
        if count >= max(FEWEST, RARE * total):
            yield Suspicion("no-data", value, count / total, len(windows[0][1]))


def _border(window: Window, height: int, width: int) -> NDArray[np.bool_]:
    """Return the pixels of a window that lie on the image's border."""
    y, x = np.mgrid[window.slices]
    return (y == 0) | (x == 0) | (y == height - 1) | (x == width - 1)


def _saturation(pixels: NDArray[np.floating]) -> Iterator[Suspicion]:
    """Yield the largest value of the bands ``(band, n)`` in which it piles up."""
    worst: dict[float, tuple[float, int]] = {}
    for band in pixels:
        values = band[np.isfinite(band)]
        levels, counts = np.unique(values, return_counts=True)
        if len(levels) < PILE or levels[-1] <= 0:
            continue
        fraction = counts[-1] / values.size
        if counts[-1] >= FEWEST and fraction >= SATURATED and counts[-1] > PILE * counts[-PILE:-1].max():
            value = float(levels[-1])
            most, bands = worst.get(value, (0.0, 0))
            worst[value] = (max(most, float(fraction)), bands + 1)
    for value, (fraction, bands) in worst.items():
        yield Suspicion("saturated", value, fraction, bands)
