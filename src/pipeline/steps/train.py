"""Step `train`: fit a method to an observation.

A killed training resumes from its checkpoints, in a folder whose name carries the fingerprint of
settings and inputs, so that those of another configuration are never picked up.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.methods import build
from pipeline.settings import MethodEntry
from pipeline.steps.fitted import fingerprint, write_fitted
from pipeline.steps.observed import read_scene
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing


def run(*, observation: Path, estimate: Path, settings: MethodEntry, seed: int, out: Path) -> None:
    """Write `fitted.safetensors`.

    Parameters
    ----------
    observation, estimate : Path
        Ledgers of the two stores.
    settings : MethodEntry
    seed : int
        Seed of the method's random draws.
    out : Path
        The fitted method; checkpoints lie beside it until it is complete.
    """
    timing = Timing("train")
    with timing.measure("io"):
        key = fingerprint(settings, seed, observation, estimate)
        scene = read_scene(observation, estimate)
    checkpoints = out.with_name(f"checkpoint-{key[:12]}")
    with timing.measure("compute"), ProgressReport() as progress:
        fitted = build(settings).fit(scene, seed, checkpoints, progress)
    metadata = {"fingerprint": key, "method": settings.method, "parameters": fitted.parameters}
    with timing.measure("io"):
        write_fitted(out, fitted.state(), metadata)
    for folder in out.parent.glob("checkpoint-*"):
        shutil.rmtree(folder)
    timing.write(out.parent, device=fitted.device, precision=fitted.precision, parameters=fitted.parameters)
