"""The tiles of one batch: finished tiles of an earlier run are kept, missing ones are written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.core.sensing.observation import Progress
from pipeline.core.window import Window
from pipeline.methods.base import Fused
from pipeline.runs.tiles import Inputs, finished_tiles, tile_name
from pipeline.store.schema import valid_pixels
from pipeline.store.shards import Journal, Shards


class BatchTiles:
    """The tiles of one batch of a fused cube.

    A finished tile is recorded in the batch's journal with the digests of its shards. It is kept by a later
    run, of whatever division into batches, if its shards are undamaged and all that its bytes depend on is
    the same.

    Parameters
    ----------
    inputs : Inputs
        Everything that decides the fused cube.
    out : Path
        The batch's manifest, in the folder `tiles` beside the cube.
    batch : int
        Number of the batch in the plan, counted from 1.
    progress : callable
        Called after each tile.

    Attributes
    ----------
    tiles : list of Window
        All tiles of the batch.
    missing : list of Window
        Tiles that are still to be fused when the object is made.
    """

    def __init__(self, inputs: Inputs, out: Path, batch: int, progress: Progress) -> None:
        self.progress = progress
        self.writer = inputs.writer(out.parent.with_name("fused.zarr"), {})
        self.journal = Journal(out.with_suffix(".journal"), inputs.token(self.writer))
        self.tiles = list(inputs.tiles.windows(batch - 1))
        finished = finished_tiles(out.parent, self.journal)
        self.records = {
            name: finished[name]
            for name in map(tile_name, self.tiles)
            if name in finished and not self.writer.damaged(finished[name]["shards"])
        }
        self.missing = [tile for tile in self.tiles if tile_name(tile) not in self.records]

    def write(self, tile: Window, fused: Fused, seconds: float) -> None:
        """Write and record a tile.

        Parameters
        ----------
        tile : Window
            Pixels that the tile owns.
        fused : Fused
            The fused cube in these pixels, and its standard deviation where the method gives one.
        seconds : float
            Time that its fusion took.
        """
        layers: dict[str, NDArray[Any]] = {"fused": fused.cube, "mask": valid_pixels(fused.cube)}
        if fused.deviation is not None:
            layers["deviation"] = fused.deviation
        shards: Shards = {}
        for layer, raster in layers.items():
            shards |= self.writer.write(layer, tile, raster)
        name = tile_name(tile)
        self.records[name] = self.journal.add(name, shards, seconds=round(seconds, 3))
        self.progress("tiles", len(self.records), len(self.tiles))

    def seconds(self, tiles: Iterable[Window]) -> float:
        """Return the recorded seconds of tiles.

        Parameters
        ----------
        tiles : iterable of Window
            Finished tiles of the batch.
        """
        return float(sum(self.records[tile_name(tile)]["seconds"] for tile in tiles))

    def manifest(self) -> dict[str, Any]:
        """Return the token of all that the tiles depend on, and the digest of each of their shards."""
        records = self.records.values()
        shards = {key: digest for record in records for key, digest in record["shards"].items()}
        return {"token": self.journal.token, "shards": shards}
