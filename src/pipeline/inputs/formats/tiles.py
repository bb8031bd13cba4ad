"""Adjacent images of one grid joined to one image: tiles as agencies and data sets cut a scene.

Pixels that no tile covers are missing; where tiles overlap, the first tile with a value counts. Tiles that
would have to be resampled are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import Transform, shifted
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.image import Block, StoredImage

CLOSE = 0.01  # pixels; two corners this close to whole pixels apart lie on one grid
SAME_BAND = 0.5  # nm


@dataclass(frozen=True)
class TilePixels:
    """Pixels of adjacent images.

    Attributes
    ----------
    tiles : sequence of (Window, StoredImage)
        Each tile and the pixels of the whole that it covers.
    """

    tiles: Sequence[tuple[Window, StoredImage]]

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return values of some bands of a window, and where no tile has any."""
        values: NDArray[Any] = np.zeros((len(bands), *window.shape), np.float32)
        missing = np.ones(values.shape, bool)
        for box, tile in self.tiles:
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


def tiled_image(tiles: Sequence[StoredImage]) -> StoredImage:
    """Join adjacent images.

    Parameters
    ----------
    tiles : sequence of StoredImage
        The images, the first of which gives bands, units and grid.

    Raises
    ------
    InputError
        The tiles differ in CRS, grid, bands or units, have no georeference, or lie on one another.
    """
    first = tiles[0]
    for tile in tiles:
        _check_alike(tile, first)
    boxes = [_box(tile, first) for tile in tiles]
    for i, box in enumerate(boxes):
        if box in boxes[:i]:
            raise InputError(
                f"{tiles[i].name}: covers the same pixels as {tiles[boxes.index(box)].name}; tiles lie side "
                "by side (a product with a file for each band is read from its folder)"
            )
    whole = boxes[0]
    for box in boxes[1:]:
        whole = whole.union(box)
    return replace(
        first,
        shape=(first.shape[0], *whole.shape),
        pixels=TilePixels([(box.relative_to(whole), tile) for box, tile in zip(boxes, tiles, strict=True)]),
        bad_bands=tuple(sorted({band for tile in tiles for band in tile.bad_bands})),
        transform=shifted(first.transform, whole.y0, whole.x0),
        gain=None,  # each tile applies its own calibration and no-data
        offset=None,
        nodata=(),
    )


def _check_alike(tile: StoredImage, first: StoredImage) -> None:
    """Refuse a tile that is not of the first tile's CRS, bands and units."""
    if tile.transform is None:
        raise InputError(
            f"{tile.name}: has no georeference, which is what places a tile; give one file as `path`"
        )
    for quantity, actual, expected in (
        ("CRS", tile.crs, first.crs),
        ("number of bands", tile.shape[0], first.shape[0]),
        ("units", tile.units, first.units),
    ):
        if actual != expected:
            raise InputError(
                f"{tile.name}: its {quantity} is {actual}, but {expected} in {first.name}; "
                "tiles of one scene are alike, leave it out"
            )
    if not _same_bands(tile.wavelength, first.wavelength):
        raise InputError(
            f"{tile.name}: its wavelengths differ from those of {first.name}; "
            "tiles of one scene are alike, leave it out"
        )


def _same_bands(nm: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if nm is None or other is None:
        return nm is other
    return bool(np.abs(nm - other).max() <= SAME_BAND)


def _box(tile: StoredImage, first: StoredImage) -> Window:
    """Return the tile's pixels on the first tile's grid, which may have negative rows and columns."""
    own, grid = _matrix(tile.transform), _matrix(first.transform)
    height, width = tile.shape[1:]
    corners = np.array([(0, 0), (width, 0), (0, height)])
    placed = np.linalg.solve(grid[:, :2], own[:, :2] @ corners.T + own[:, 2:] - grid[:, 2:]).T
    x0, y0 = (round(value) for value in placed[0].tolist())
    if np.abs(placed - corners - (x0, y0)).max() > CLOSE:
        x, y = placed[0]
        raise InputError(
            f"{tile.name}: is not on the grid of {first.name} (its corner is at column {x:.2f}, row {y:.2f} "
            f"there, its pixels are {own[0, 0]:g} by {own[1, 1]:g}, not {grid[0, 0]:g} by {grid[1, 1]:g}); "
            "resample it before, or leave it out"
        )
    return Window(y0, y0 + height, x0, x0 + width)


def _matrix(transform: Transform | None) -> NDArray[np.float64]:
    """Return the affine as (x, y) = matrix @ (column, row, 1)."""
    assert transform is not None  # `_check_alike` has refused such tiles
    return np.array(transform).reshape(2, 3)


def _intersection(window: Window, other: Window) -> Window | None:
    y0, y1 = max(window.y0, other.y0), min(window.y1, other.y1)
    x0, x1 = max(window.x0, other.x0), min(window.x1, other.x1)
    return Window(y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None
