"""Step `train`: fit a method to an observation.

A killed training resumes from its checkpoints, and a finished one is found again when the step is
asked for once more (a repaired input, say): both lie in a folder whose name carries the fingerprint
of code, settings and inputs, so that those of another configuration are never picked up.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.errors import InputError
from pipeline.methods import build
from pipeline.settings import MethodEntry
from pipeline.steps.fitted import fingerprint, read_fitted, write_fitted
from pipeline.steps.observed import read_scene
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing

CHECKPOINTS = "checkpoints"
TIMING = "train.timing.json"


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
    folder = out.with_name(f".train-{key[:12]}")
    if _found_again(folder, out, key):
        return
    with timing.measure("compute"), ProgressReport() as progress:
        fitted = build(settings).fit(scene, seed, folder / CHECKPOINTS, progress)
    metadata = {"fingerprint": key, "method": settings.method, "parameters": fitted.parameters}
    with timing.measure("io"):
        write_fitted(out, fitted.state(), metadata)
    timing.write(out.parent, device=fitted.device, precision=fitted.precision, parameters=fitted.parameters)
    folder.mkdir(exist_ok=True)
    for path in (out, out.with_name(TIMING)):
        _link(path, folder / path.name)
    for old in {folder / CHECKPOINTS, *out.parent.glob(".train-*")} - {folder}:
        shutil.rmtree(old, ignore_errors=True)


def _found_again(folder: Path, out: Path, key: str) -> bool:
    """Put a finished training back in place, if there is one."""
    try:
        read_fitted(folder / out.name, key)
    except InputError:
        return False
    for path in (out, out.with_name(TIMING)):
        _link(folder / path.name, path)
    return True


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy(source, target)
