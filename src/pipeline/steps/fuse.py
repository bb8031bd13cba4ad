"""Step `fuse`: fuse the tiles of one batch of a plan.

The method is restored from its safetensors file, the observation and the estimate; the reference is not an
input. Finished tiles are kept, so that a batch that was killed continues where it stopped.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

from pydantic import NonNegativeInt

from pipeline.errors import InputError
from pipeline.methods import MethodEntry, build
from pipeline.runs.batch_tiles import BatchTiles
from pipeline.runs.fitted_store import read_fitted
from pipeline.runs.observation import read_completed_scene
from pipeline.runs.paths import batch_of
from pipeline.runs.progress import ProgressReport
from pipeline.runs.tile_runner import fuse_tiles
from pipeline.runs.tiles import Inputs
from pipeline.runs.timing import Timing
from pipeline.store.files import write_record


def run(
    *,
    observation: Path,
    estimate: Path,
    fitted: Path,
    plan: Path,
    settings: MethodEntry,
    seed: NonNegativeInt,
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
    out : Path
        The manifest to write, `tiles/<batch>-of-<batches>.json` beside the cube `fused.zarr`; its name says
        which batch of the plan is fused, counted from 1.

    Raises
    ------
    InputError
        The plan has another number of batches, or the fitted method belongs to other inputs.
    """
    begin = perf_counter()
    inputs = Inputs(observation, estimate, fitted, plan, settings, seed)
    batch, batches = batch_of(out)
    if inputs.tiles.batches != batches or not 1 <= batch <= batches:
        raise InputError(
            f"{plan}: has batches 1 to {inputs.tiles.batches}, but {out.name} is batch {batch} of {batches}; "
            "delete the plan and run the workflow again"
        )
    state = read_fitted(fitted, inputs.fingerprint)
    method = build(settings).restore(read_completed_scene(observation, estimate), state, seed)
    with ProgressReport() as progress:
        tiles = BatchTiles(inputs, out, batch, progress)
        fuse_tiles(method, tiles.missing, tiles.write, progress)
    timing = Timing("fuse")
    timing.seconds["compute"] = tiles.seconds(tiles.tiles)
    timing.seconds["io"] = max(0.0, perf_counter() - begin - tiles.seconds(tiles.missing))
    timing.write(
        out.parent,
        name=out.stem,
        device=method.device,
        precision=method.precision,
        parameters=method.parameters,
    )
    write_record(out, tiles.manifest() | {"batch": batch, "batches": batches, "device": method.device})
