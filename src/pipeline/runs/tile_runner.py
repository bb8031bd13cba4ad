"""The tiles of one job in turn: while one is fused, the next is read and the last is written.

The method computes the values of a tile and the caller stores them. Order and overlap never change a
result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter

from pipeline.core.sensing.observation import Progress, no_progress
from pipeline.core.window import Window
from pipeline.methods.base import FittedMethod, Fused

Write = Callable[[Window, Fused, float], None]
"""Takes a tile, its fused values and the seconds that its fusion took."""


def fuse_tiles(
    fitted: FittedMethod, tiles: Sequence[Window], write: Write, progress: Progress = no_progress
) -> None:
    """Fuse tiles and hand each to `write`, which runs in a thread of its own, one tile at a time.

    At most three tiles are in memory: one being read, one fused, one written.

    Parameters
    ----------
    fitted : FittedMethod
        The method, fitted to the observation.
    tiles : sequence of Window
        Tiles to fuse, in this order.
    write : callable
        Stores a fused tile.
    progress : callable
        Called by methods that take long for a tile.
    """
    if not tiles:
        return
    following = [*tiles[1:], None]
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = reader.submit(fitted.read, tiles[0])
        behind: Future[None] | None = None
        for tile, after in zip(tiles, following, strict=True):
            part = ahead.result()
            if after is not None:
                ahead = reader.submit(fitted.read, after)
            if behind is not None and behind.done():
                behind.result()  # a full disk is reported now, not a tile later
            start = perf_counter()
            fused = fitted.fuse_part_with_deviation(part, tile, progress)
            seconds = perf_counter() - start
            if behind is not None:
                behind.result()
            behind = writer.submit(write, tile, fused, seconds)
        if behind is not None:
            behind.result()
