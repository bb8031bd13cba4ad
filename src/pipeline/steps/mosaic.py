"""Step `mosaic`: check that all tiles of a fused cube are there and sound, and only then complete it.

Nothing is copied: the batches wrote into the product's place. Without its metadata and its ledger,
which are written here, the product cannot be opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.data.files import read_json
from pipeline.data.shards import Shards
from pipeline.errors import InputError
from pipeline.provenance import provenance
from pipeline.settings import MethodEntry
from pipeline.steps.tiles import Inputs, shards_of
from pipeline.steps.timing import write_total
from pipeline.tiling.plan import TilePlan


def run(
    *,
    observation: Path,
    estimate: Path,
    fitted: Path,
    plan: Path,
    manifests: Sequence[Path],
    settings: MethodEntry,
    seed: int,
    out: Path,
) -> None:
    """Write the metadata of `fused.zarr` and its ledger `out`.

    Raises
    ------
    InputError
        A manifest is missing or of another run, or a shard is missing or damaged; the manifest of a
        damaged shard is removed, so that the next run fuses that tile again.
    """
    inputs = Inputs(observation, estimate, fitted, plan, settings, seed)
    token = inputs.token(inputs.writer(out.with_suffix(".zarr"), {}))
    shards, owners, devices = _gathered(manifests, token)
    _check_complete(out, inputs.tiles, shards, manifests)
    origin = provenance(
        "fuse",
        settings=settings,
        inputs=[observation, estimate, fitted],
        seed=seed,
        device=", ".join(sorted(devices)),
    )
    writer = inputs.writer(out.with_suffix(".zarr"), origin)
    faults = writer.damaged(shards)
    if faults:
        for key in faults:
            owners[key].unlink(missing_ok=True)
        key, fault = next(iter(faults.items()))
        raise InputError(
            f"{writer.store}: shard {key} {fault} since it was written, {len(faults)} in all; "
            "run the workflow again to fuse these tiles anew"
        )
    writer.seal(shards)
    write_total([path.with_suffix(".timing.json") for path in manifests], out.parent / "fuse.timing.json")


def _check_complete(out: Path, plan: TilePlan, shards: Shards, manifests: Sequence[Path]) -> None:
    """Refuse manifests that do not hold just the shards of the plan, and remove those."""
    wrong: dict[str, int] = {}
    for tile, batch in enumerate(plan.batch.tolist()):
        missing = shards_of(plan.window(tile), plan.core) - shards.keys()
        wrong |= dict.fromkeys(missing, batch)
    if wrong and len(manifests) == plan.batches:
        for batch in set(wrong.values()):
            manifests[batch].unlink()
    if wrong or len(shards) != sum(len(shards_of(plan.window(i), plan.core)) for i in range(len(plan))):
        raise InputError(
            f"{out}: the manifests lack {len(wrong)} of the plan's shards, or hold others "
            f"({', '.join(sorted(wrong)[:3])}); run the workflow again"
        )


def _gathered(manifests: Sequence[Path], token: str) -> tuple[Shards, dict[str, Path], set[str]]:
    """All shards, the manifest that each is in, and the devices that computed them."""
    shards: Shards = {}
    owners: dict[str, Path] = {}
    devices = set()
    for path in manifests:
        manifest: dict[str, Any] = read_json(path)
        if manifest.get("token") != token:
            path.unlink()
            raise InputError(
                f"{path}: was of another run, or of other code, and is removed; run the workflow again"
            )
        twice = sorted(shards.keys() & manifest["shards"].keys())
        if twice:
            raise InputError(f"{path}: shard {twice[0]} is in {owners[twice[0]]} too; delete both")
        shards |= manifest["shards"]
        owners |= dict.fromkeys(manifest["shards"], path)
        devices.add(manifest["device"])
    return shards, owners, devices
