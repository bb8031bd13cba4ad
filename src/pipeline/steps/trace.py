"""Step `trace`: record the clean coefficients that a diffusion method predicts while it samples.

A scene in one piece is sampled once more from its fitted method, just as `fuse` does it, and the
estimate of the clean coefficients A_0 is kept at the given times. The reference is not an input.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import NonNegativeInt

from pipeline.errors import InputError
from pipeline.methods import MethodEntry, build, samplers
from pipeline.methods.base import Traceable
from pipeline.runs.fitted_store import fingerprint, read_fitted
from pipeline.runs.observation import read_completed_scene
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.store.store import write_store


def run(
    *,
    observation: Path,
    estimate: Path,
    fitted: Path,
    times: list[int],
    settings: MethodEntry,
    seed: NonNegativeInt,
    out: Path,
) -> None:
    """Write `trace.zarr`, with `coefficients` (time, factor, y, x) in [0, 1], and its ledger.

    Parameters
    ----------
    observation : Path
        Ledger of the observation.
    estimate : Path
        Ledger of the estimated responses and noise levels.
    fitted : Path
        The fitted method, as `train` wrote it.
    times : list of int
        Numbers of sampling steps that are left: all of them at the start, 0 at the end.
    settings : MethodEntry
        The method's entry in the experiment.
    seed : int
        Seed of the method's random draws.
    out : Path
        The ledger to write, `trace.json`.

    Raises
    ------
    InputError
        The method does not sample step by step.
    """
    state = read_fitted(fitted, fingerprint(settings, seed, observation, estimate))
    method = build(settings).restore(read_completed_scene(observation, estimate), state, seed)
    if not isinstance(method, Traceable):
        raise InputError(f"{settings.method}: has no sampling to trace; choose {' or '.join(samplers())}")
    with ProgressReport() as progress:
        kept = method.trace(times, progress)
    dataset = xr.Dataset(
        {"coefficients": (("time", "factor", "y", "x"), np.stack([kept[time] for time in times]))},
        coords={"time": ("time", np.array(times), {"long_name": "sampling steps left"})},
    )
    origin = provenance(
        "trace", settings=settings, inputs=[observation, estimate, fitted], seed=seed, device=method.device
    )
    write_store(out.with_suffix(".zarr"), dataset, origin)
