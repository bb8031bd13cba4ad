"""Adjacent images of one grid as one: tiles as agencies and data sets cut a scene.

Where no tile lies, or none has data, nothing is known; where tiles overlap, the first that has data
counts. Tiles that would have to be resampled are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import StoredImage, Transform, shifted
from pipeline.core.window import Window
from pipeline.errors import InputError

CLOSE = 0.01  # pixels; two corners this close to whole pixels apart lie on one grid
SAME_BAND = 0.5  # nm


class TiledImage:
    """Several images as a `StoredImage` that covers them all.

    Parameters
    ----------
    names : sequence of str
        What messages call the tiles.
    tiles : sequence of StoredImage

    Raises
    ------
    InputError
        The tiles differ in CRS, grid, bands or units, have no georeference, or lie on one another.
    """

    def __init__(self, names: Sequence[str], tiles: Sequence[StoredImage]) -> None:
        first = tiles[0]
        for name, tile in zip(names, tiles, strict=True):
            _check_alike(name, tile, names[0], first)
        boxes = [_box(name, tile, names[0], first) for name, tile in zip(names, tiles, strict=True)]
        for i, box in enumerate(boxes):
            if box in boxes[:i]:
                raise InputError(
                    f"{names[i]}: covers the same pixels as {names[boxes.index(box)]}; tiles lie side "
                    "by side (a product with a file for each band is read from its folder)"
                )
        whole = boxes[0]
        for box in boxes[1:]:
            whole = whole.union(box)
        self._tiles = [(box.relative_to(whole), tile) for box, tile in zip(boxes, tiles, strict=True)]
        self.shape = (first.shape[0], *whole.shape)
        self.storage = first.storage
        self.wavelength, self.fwhm = first.wavelength, first.fwhm
        self.bad_bands = tuple(sorted({band for tile in tiles for band in tile.bad_bands}))
        self.crs, self.units, self.detector = first.crs, first.units, first.detector
        self.transform: Transform | None = shifted(first.transform, whole.y0, whole.x0)

    def read(self, window: Window, bands: list[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values of some bands of a window, and where no tile has data."""
        values: NDArray[Any] = np.zeros((len(bands), *window.shape), np.float32)
        missing = np.ones(values.shape, bool)
        for box, tile in self._tiles:
            common = _intersection(box, window)
            if common is None:
                continue
            part, absent = tile.read(common.relative_to(box), bands)
            values = values.astype(np.result_type(values, part), copy=False)
            place = (slice(None), *common.relative_to(window).slices)
            new = missing[place] & ~absent
            values[place][new] = part[new]
            missing[place] &= absent
        return values, missing


def _check_alike(name: str, tile: StoredImage, first_name: str, first: StoredImage) -> None:
    """Refuse a tile that is not of the first one's CRS, bands and units."""
    if tile.transform is None:
        raise InputError(f"{name}: has no georeference, which is what places a tile; give one file as `path`")
    for what, found, expected in (
        ("CRS", tile.crs, first.crs),
        ("number of bands", tile.shape[0], first.shape[0]),
        ("units", tile.units, first.units),
    ):
        if found != expected:
            raise InputError(
                f"{name}: its {what} is {found}, that of {first_name} {expected}; "
                "tiles of one scene are alike, leave it out"
            )
    if not _same_bands(tile.wavelength, first.wavelength):
        raise InputError(
            f"{name}: its wavelengths differ from those of {first_name}; "
            "tiles of one scene are alike, leave it out"
        )


def _same_bands(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.abs(one - other).max() <= SAME_BAND)


def _box(name: str, tile: StoredImage, first_name: str, first: StoredImage) -> Window:
    """The tile's pixels on the first one's grid, which may have negative rows and columns."""
    own, grid = _matrix(tile.transform), _matrix(first.transform)
    height, width = tile.shape[1:]
    corners = np.array([(0, 0), (width, 0), (0, height)])
    found = np.linalg.solve(grid[:, :2], own[:, :2] @ corners.T + own[:, 2:] - grid[:, 2:]).T
    x0, y0 = (round(value) for value in found[0].tolist())
    if np.abs(found - corners - (x0, y0)).max() > CLOSE:
        x, y = found[0]
        raise InputError(
            f"{name}: is not on the grid of {first_name} (its corner is at column {x:.2f}, row {y:.2f} "
            f"there, its pixels are {own[0, 0]:g} by {own[1, 1]:g}, not {grid[0, 0]:g} by {grid[1, 1]:g}); "
            "resample it before, or leave it out"
        )
    return Window(y0, y0 + height, x0, x0 + width)


def _matrix(transform: Transform | None) -> NDArray[np.float64]:
    """The affine as (x, y) = matrix @ (column, row, 1)."""
    assert transform is not None  # `_check_alike` has refused such tiles
    return np.array(transform).reshape(2, 3)


def _intersection(one: Window, other: Window) -> Window | None:
    y0, y1 = max(one.y0, other.y0), min(one.y1, other.y1)
    x0, x1 = max(one.x0, other.x0), min(one.x1, other.x1)
    return Window(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None
