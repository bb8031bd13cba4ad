"""A hyperspectral scene, in memory or open to be read in windows, with its wavelengths and place.

Axis order is (band, y, x); the affine is that of the upper left corner, as in rasterio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.window import Window
from pipeline.errors import InputError

Transform = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Bands, units and position of a cube.

    Attributes
    ----------
    wavelength : (C,) float64 or None
        Band centres in nm.
    fwhm : (C,) float64 or None
        Full width at half maximum of each band in nm.
    scale : float
        Number by which physical values were divided.
    crs : str or None
        WKT or `EPSG:n`; without a CRS, coordinates are pixels.
    transform : tuple of six floats or None
        Affine a, b, c, d, e, f from (column, row) of the corner to (x, y).
    units : str or None
        Units of physical values, such as `reflectance` or `W m-2 sr-1 um-1`.
    detector : (C,) str or None
        Name of each band's detector, such as `VNIR` or `SWIR`.
    """

    wavelength: NDArray[np.float64] | None = None
    fwhm: NDArray[np.float64] | None = None
    scale: float = 1.0
    crs: str | None = None
    transform: Transform | None = None
    units: str | None = None
    detector: NDArray[np.str_] | None = None


@dataclass(frozen=True)
class Scene(Metadata):
    """A cube with its metadata.

    Attributes
    ----------
    data : (C, H, W) float32
        Physical values divided by `scale`; no-data is NaN.
    """

    data: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or 0 in self.data.shape:
            raise InputError(f"scene: expected (band, y, x) without empty axes, got shape {self.data.shape}")
        for name in ("wavelength", "fwhm", "detector"):
            values = getattr(self, name)
            if values is not None and values.shape != (self.bands,):
                raise InputError(
                    f"scene: {name} has {values.size} values for {self.bands} bands; give one per band"
                )

    @property
    def bands(self) -> int:
        """C, the number of bands."""
        return len(self.data)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.data.shape[1], self.data.shape[2]

    def crop(self, window: Window) -> Scene:
        """Cut out a window, with its own transform."""
        transform = shifted(self.transform, window.y0, window.x0)
        return replace(self, data=self.data[:, *window.slices], transform=transform)


class OpenScene(Protocol):
    """A scene of any size, whose pixels are read window by window.

    Attributes
    ----------
    name : str
        Name of the scene in messages, such as the path of its file.
    shape : (int, int, int)
        Bands, height and width.
    metadata : Metadata
        Bands and place.
    band_names : sequence of str or None
        Names of the bands, where they have some.
    assumed : sequence of str
        What was guessed in reading the scene, a sentence each.
    """

    name: str
    shape: tuple[int, int, int]
    metadata: Metadata
    band_names: Sequence[str] | None = None
    assumed: Sequence[str] = ()

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return values of a window (band, y, x), divided by the scale; no-data is NaN."""


def crop_window(
    shape: tuple[int, int], size: tuple[int, int], corner: tuple[int, int] | None = None
) -> Window:
    """Return the rectangle of a given size in a scene.

    A centred rectangle whose margin is odd leaves the larger half at the bottom and right.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the scene.
    size : (int, int)
        Height and width of the rectangle.
    corner : (int, int), optional
        Row and column of its upper left pixel; by default it is centred.

    Raises
    ------
    InputError
        The rectangle leaves the scene.
    """
    (height, width), (rows, columns) = shape, size
    if rows > height or columns > width:
        raise InputError(f"crop: {rows}x{columns} is larger than the scene of {height}x{width} pixels")
    y0, x0 = ((height - rows) // 2, (width - columns) // 2) if corner is None else corner
    if y0 + rows > height or x0 + columns > width:
        raise InputError(
            f"crop: {rows}x{columns} at row {y0}, column {x0} leaves the scene of "
            f"{height}x{width} pixels; the last possible corner is row {height - rows}, "
            f"column {width - columns}"
        )
    return Window(y0, y0 + rows, x0, x0 + columns)


def shifted(transform: Transform | None, row: int, column: int) -> Transform | None:
    """Return the affine of a window of an image.

    Parameters
    ----------
    transform : tuple of six floats or None
        Affine of the image; None without a place.
    row, column : int
        First pixel of the window.
    """
    if transform is None:
        return None
    a, b, c, d, e, f = transform
    return (a, b, c + a * column + b * row, d, e, f + d * column + e * row)


def coarsened(transform: Transform, ratio: float) -> Transform:
    """Return the affine of a grid with the same corner and pixels `ratio` times as large."""
    a, b, c, d, e, f = transform
    return (a * ratio, b * ratio, c, d * ratio, e * ratio, f)
