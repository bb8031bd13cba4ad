"""Step `fuse`: the fused cube of a fitted method.

The method is restored from its safetensors file, the observation and the estimate; the reference
is not an input.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.data.schema import cube_dataset, metadata_from
from pipeline.data.store import read_store, write_store
from pipeline.methods import build
from pipeline.provenance import provenance
from pipeline.settings import MethodEntry
from pipeline.steps.fitted import fingerprint, read_fitted
from pipeline.steps.observed import read_observation
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing


def run(
    *, observation: Path, estimate: Path, fitted: Path, settings: MethodEntry, seed: int, out: Path
) -> None:
    """Write `fused.zarr` and its ledger `out`."""
    timing = Timing("fuse")
    with timing.measure("io"):
        state = read_fitted(fitted, fingerprint(settings, seed, observation, estimate))
        metadata = metadata_from(read_store(observation))
        seen = read_observation(observation, estimate)
    with timing.measure("compute"), ProgressReport() as progress:
        method = build(settings).restore(seen, state, seed)
        cube = method.fuse(progress=progress)
    with timing.measure("io"):
        origin = provenance(
            "fuse", settings=settings, inputs=[observation, estimate, fitted], seed=seed, device=method.device
        )
        write_store(out.with_suffix(".zarr"), cube_dataset(cube, metadata), origin)
    timing.write(out.parent, device=method.device, precision=method.precision, parameters=method.parameters)
