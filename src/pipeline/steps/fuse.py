"""Step `fuse`: fuse the tiles of one batch of a plan.

The method is restored from its safetensors file, the observation and the estimate; the reference
is not an input. Finished tiles are kept; a batch that was killed goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt

from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods import MethodEntry, build
from pipeline.methods.base import Fused
from pipeline.runs.fitted_store import read_fitted
from pipeline.runs.observation import read_scene
from pipeline.runs.progress import ProgressReport
from pipeline.runs.tile_runner import fuse_tiles
from pipeline.runs.tiles import Inputs, finished_tiles, tile_name
from pipeline.runs.timing import Timing
from pipeline.store.files import write_json
from pipeline.store.schema import valid_pixels
from pipeline.store.shards import Journal, Shards


def run(
    *,
    observation: Path,
    estimate: Path,
    fitted: Path,
    plan: Path,
    settings: MethodEntry,
    seed: NonNegativeInt,
    batch: PositiveInt,
    of: PositiveInt,
    out: Path,
) -> None:
    """Write the shards of one batch into the product, and the batch's manifest.

    Parameters
    ----------
    observation : Path
        Ledger of the observation.
    estimate : Path
        Ledger of the estimated responses and noise levels.
    fitted : Path
        The fitted method, as `train` wrote it.
    plan : Path
        Ledger of the plan.
    settings : MethodEntry
        The method's entry in the experiment.
    seed : int
        Seed of the method's random draws.
    batch : int
        Number of the batch in the plan, from 1.
    of : int
        Number of batches in the plan.
    out : Path
        The manifest to write, `tiles/<batch>-of-<batches>.json` beside the cube `fused.zarr`.

    Raises
    ------
    InputError
        The plan has another number of batches, or the fitted method belongs to other inputs.
    """
    begin = perf_counter()
    inputs = Inputs(observation, estimate, fitted, plan, settings, seed)
    if inputs.tiles.batches != of or batch > of:
        raise InputError(
            f"{plan}: has batches 1 to {inputs.tiles.batches}, but number {batch} of {of} was asked for; "
            "delete it and run the workflow again"
        )
    state = read_fitted(fitted, inputs.fingerprint)
    method = build(settings).restore(read_scene(observation, estimate), state, seed)
    writer = inputs.writer(out.parent.parent / "fused.zarr", {})
    journal = Journal(out.with_suffix(".journal"), inputs.token(writer))
    finished = finished_tiles(out.parent, journal)
    tiles = {tile_name(tile): tile for tile in inputs.tiles.windows(batch - 1)}
    records = {
        name: finished[name]
        for name in tiles
        if name in finished and not writer.damaged(finished[name]["shards"])
    }
    missing = [tile for name, tile in tiles.items() if name not in records]
    with ProgressReport() as progress:

        def write(tile: Window, fused: Fused, spent: float) -> None:
            layers: dict[str, NDArray[Any]] = {"fused": fused.cube, "mask": valid_pixels(fused.cube)}
            if fused.deviation is not None:
                layers["deviation"] = fused.deviation
            shards: Shards = {}
            for layer, raster in layers.items():
                shards |= writer.write(layer, tile, raster)
            name = tile_name(tile)
            records[name] = journal.add(name, shards, seconds=round(spent, 3))
            progress("tiles", len(records), len(tiles))

        fuse_tiles(method, missing, write, progress)
    content = {
        "batch": batch,
        "batches": of,
        "token": journal.token,
        "shards": {key: digest for record in records.values() for key, digest in record["shards"].items()},
        "device": method.device,
    }
    timing = Timing("fuse")
    timing.seconds["compute"] = sum(record["seconds"] for record in records.values())
    computed = sum(records[tile_name(tile)]["seconds"] for tile in missing)
    timing.seconds["io"] = max(0.0, perf_counter() - begin - computed)
    timing.write(
        out.parent,
        name=out.stem,
        device=method.device,
        precision=method.precision,
        parameters=method.parameters,
    )
    write_json(out, content)
