"""The division of a scene into tiles that own whole shards of the fused cube, grouped in batches.

Integer arithmetic without I/O. A batch is one job; the number of batches decides when the cube is finished
and never its values.

>>> plan = plan_tiles((1000, 1500), core=512, halo=32, batches=2)
>>> len(plan), plan.window(5)
(6, Window(y0=512, y1=1000, x0=1024, x1=1500))
>>> plan.batch.tolist()
[0, 0, 0, 1, 1, 1]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.window import Window

Indices = NDArray[np.int32]


@dataclass(frozen=True)
class TilePlan:
    """Tiles of a scene in row-major order, and the batch of each.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the scene in HR pixels.
    core : int
        Side of a shard, and of a tile that is not at the lower or right border.
    halo : int
        HR pixels around a tile that are read to fuse it.
    bounds : (n, 4) int32
        y0, y1, x0, x1 of every tile that holds data.
    batch : (n,) int32
        Counted from 0.
    batches : int
        Their number; the last ones are empty where there are fewer tiles.
    """

    shape: tuple[int, int]
    core: int
    halo: int
    bounds: Indices
    batch: Indices
    batches: int

    def __len__(self) -> int:
        return len(self.batch)

    def window(self, tile: int) -> Window:
        """Return the pixels that tile number `tile` owns."""
        return Window(*map(int, self.bounds[tile]))

    def windows(self, batch: int) -> Iterator[Window]:
        """Return the tiles of a batch, counted from 0."""
        return (self.window(int(tile)) for tile in np.flatnonzero(self.batch == batch))


def plan_tiles(
    shape: tuple[int, int],
    *,
    core: int,
    halo: int,
    batches: int,
    has_data: Callable[[Window], bool] | None = None,
) -> TilePlan:
    """Cut a scene into tiles and divide them among batches.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    core : int
        Side of a shard of the fused cube.
    halo : int
        HR pixels around a tile that are read. A tile at the border that is thinner than this joins
        its neighbour, so that no window is much thinner than the halo around it.
    batches : int
        Jobs among which the tiles are divided, in row-major order and by the pixels they read.
    has_data : callable, optional
        Whether a tile holds any valid pixel; others are left out.
    """
    y, x = (_cuts(size, core, min(halo, core)) for size in shape)
    bounds = np.stack(
        [
            np.repeat(y[:-1], len(x) - 1),
            np.repeat(y[1:], len(x) - 1),
            np.tile(x[:-1], len(y) - 1),
            np.tile(x[1:], len(y) - 1),
        ],
        axis=1,
    ).astype(np.int32)
    if has_data is not None:
        kept = [has_data(Window(*map(int, row))) for row in bounds]
        bounds = bounds[np.array(kept, bool)]
    return TilePlan(shape, core, halo, bounds, _divided(bounds, halo, batches), batches)


def _cuts(size: int, core: int, least: int) -> NDArray[np.int64]:
    """Return the positions at which an axis is cut, its ends included."""
    cuts = np.append(np.arange(0, size, core), size)
    return np.delete(cuts, -2) if len(cuts) > 2 and size - cuts[-2] < least else cuts


def _divided(bounds: Indices, halo: int, batches: int) -> Indices:
    """Return the batch of each tile, such that all batches read about as many pixels."""
    y0, y1, x0, x1 = bounds.T.astype(np.float64)
    load = (y1 - y0 + 2 * halo) * (x1 - x0 + 2 * halo)
    if len(load) <= batches:
        return np.arange(len(load), dtype=np.int32)
    middle = np.cumsum(load) - load / 2
    return np.minimum(middle / load.sum() * batches, batches - 1).astype(np.int32)
