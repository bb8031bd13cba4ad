"""Step `mosaic`: check that all tiles of a fused cube are complete and undamaged, then finish the cube.

Nothing is copied: the batches wrote into the product's place. Without its metadata and its ledger,
which are written here, the product cannot be opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt

from pipeline.errors import InputError
from pipeline.methods import MethodEntry
from pipeline.runs.provenance import provenance
from pipeline.runs.tiles import Inputs, shards_of
from pipeline.runs.timing import write_total
from pipeline.store.files import read_record
from pipeline.store.shards import Shards, ShardWriter


def run(
    manifests: Sequence[Path],
    *,
    observation: Path,
    estimate: Path,
    fitted: Path,
    plan: Path,
    settings: MethodEntry,
    seed: NonNegativeInt,
    out: Path,
) -> None:
    """Write the metadata of `fused.zarr` and its ledger.

    Parameters
    ----------
    manifests : sequence of Path
        Manifests of all batches, in their order.
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
        The ledger to write, `fused.json`.

    Raises
    ------
    InputError
        A manifest is missing or of another run, or a shard is missing or damaged; the manifest of a
        damaged shard is removed, so that the next run fuses that tile again.
    """
    inputs = Inputs(observation, estimate, fitted, plan, settings, seed)
    records = {path: read_record(path) for path in manifests}
    devices = sorted({str(record.get("device")) for record in records.values()})
    files = [observation, estimate, fitted]
    origin = provenance("fuse", settings=settings, inputs=files, seed=seed, device=", ".join(devices))
    writer = inputs.writer(out.with_suffix(".zarr"), origin)
    owners = _owners(records, inputs.token(writer))
    shards = {key: digest for record in records.values() for key, digest in record["shards"].items()}
    _check_complete(out, inputs, shards, manifests)
    _check_undamaged(writer, shards, owners)
    writer.seal(shards)
    write_total([path.with_suffix(".timing.json") for path in manifests], out.parent / "fuse.timing.json")


def _owners(records: Mapping[Path, dict[str, Any]], token: str) -> dict[str, Path]:
    """Return the manifest of each shard; refuse, and remove, the manifest of another run."""
    owners: dict[str, Path] = {}
    for path, record in records.items():
        if record.get("token") != token:
            path.unlink()
            raise InputError(
                f"{path}: was of another run, or of other code, and is removed; run the workflow again"
            )
        twice = sorted(owners.keys() & record["shards"].keys())
        if twice:
            raise InputError(f"{path}: shard {twice[0]} is in {owners[twice[0]]} too; delete both")
        owners |= dict.fromkeys(record["shards"], path)
    return owners


def _check_undamaged(writer: ShardWriter, shards: Shards, owners: Mapping[str, Path]) -> None:
    """Refuse damaged shards; the manifests that list them are removed."""
    faults = writer.damaged(shards)
    if not faults:
        return
    for key in faults:
        owners[key].unlink(missing_ok=True)
    key, fault = next(iter(faults.items()))
    raise InputError(
        f"{writer.store}: shard {key} {fault} since it was written, {len(faults)} in all; "
        "run the workflow again to fuse these tiles anew"
    )


def _check_complete(out: Path, inputs: Inputs, shards: Shards, manifests: Sequence[Path]) -> None:
    """Refuse manifests that do not hold exactly the shards of the plan; incomplete ones are removed."""
    plan, uncertain = inputs.tiles, inputs.settings.uncertain
    expected = {
        key: batch
        for tile, batch in enumerate(plan.batch.tolist())
        for key in shards_of(plan.window(tile), plan.core, uncertain)
    }
    missing, extra = sorted(expected.keys() - shards.keys()), shards.keys() - expected.keys()
    if len(manifests) == plan.batches:
        for batch in {expected[key] for key in missing}:
            manifests[batch].unlink()
    if missing or extra:
        raise InputError(
            f"{out}: the manifests lack {len(missing)} of the plan's shards, or hold others "
            f"({', '.join(missing[:3])}); run the workflow again"
        )
