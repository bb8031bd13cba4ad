"""Step `train`: fit a method to an observation.

A killed training resumes from its checkpoints, and a finished training is reused when the step runs again
(for a repaired input, or another setting of the sampling). Both lie in a folder whose name holds the
fingerprint of code, settings and inputs, so that nothing of another configuration is reused. A training
that another label of the experiment has done with equal settings is not repeated.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from pydantic import NonNegativeInt

from pipeline.errors import InputError
from pipeline.methods import MethodEntry, build
from pipeline.methods.base import SharesTraining
from pipeline.runs.fitted_store import (
    fingerprint,
    read_fitted,
    read_trained,
    training_fingerprint,
    write_fitted,
)
from pipeline.runs.observation import read_scene
from pipeline.runs.progress import ProgressReport
from pipeline.runs.timing import Timing
from pipeline.store.files import read_json

log = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"
TIMING = "train.timing.json"


def run(
    *,
    observation: Path,
    estimate: Path,
    settings: MethodEntry,
    seed: NonNegativeInt,
    out: Path,
    trained_by: Path | None = None,
) -> None:
    """Write `fitted.safetensors`.

    Parameters
    ----------
    observation : Path
        Ledger of the observation.
    estimate : Path
        Ledger of the estimated responses and noise levels.
    settings : MethodEntry
        The method's entry in the experiment.
    seed : int
        Seed of the method's random draws.
    out : Path
        The file to write, `fitted.safetensors`; checkpoints lie beside it until it is complete.
    trained_by : Path, optional
        Another label's `fitted.safetensors`, whose training is reused. Its seconds count here too, as this
        label would have cost them alone; for a scene in patches they include the other label's own anchor.
        A file of another training is ignored with a warning.
    """
    timing = Timing("train")
    with timing.measure("io"):
        key = fingerprint(settings, seed, observation, estimate)
        training = training_fingerprint(settings, seed, observation, estimate)
    folder = out.with_name(f".train-{key[:12]}")
    if _reused(folder, out, key, _link) or (trained_by and _reused(trained_by.parent, out, key, _copy)):
        _keep(folder, out)
        return
    with timing.measure("io"):
        scene, method = read_scene(observation, estimate), build(settings)
        trained = read_trained(trained_by, training) if trained_by and training else None
        if trained_by and trained is None:
            log.warning("%s: is of another training; training this label by itself", trained_by)
    with timing.measure("compute"), ProgressReport() as progress:
        if trained is not None and isinstance(method, SharesTraining):
            fitted = method.fit_trained(scene, trained, seed, progress)
        else:
            fitted = method.fit(scene, seed, folder / CHECKPOINTS, progress)
    if trained is not None and trained_by:
        timing.include(read_json(trained_by.with_name(TIMING)))
    metadata = {
        "fingerprint": key,
        "training": training,
        "method": settings.method,
        "parameters": fitted.parameters,
    }
    with timing.measure("io"):
        write_fitted(out, fitted.state(), metadata)
    timing.write(out.parent, device=fitted.device, precision=fitted.precision, parameters=fitted.parameters)
    _keep(folder, out)


def _keep(folder: Path, out: Path) -> None:
    """Keep a finished training for later runs, and remove all earlier ones with their checkpoints."""
    folder.mkdir(exist_ok=True)
    for path in (out, out.with_name(TIMING)):
        _link(path, folder / path.name)
    for old in {folder / CHECKPOINTS, *out.parent.glob(".train-*")} - {folder}:
        shutil.rmtree(old, ignore_errors=True)


def _reused(folder: Path, out: Path, key: str, place: Callable[[Path, Path], None]) -> bool:
    """Put the files of a finished training in place; return whether the folder holds the training `key`."""
    try:
        read_fitted(folder / out.name, key)
    except InputError:
        return False
    for path in (out, out.with_name(TIMING)):
        place(folder / path.name, path)
    return True


def _link(source: Path, target: Path) -> None:
    """Give a file of this label a second name, or copy it where the file system has no links."""
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy(source, target)


def _copy(source: Path, target: Path) -> None:
    """Copy another label's file; a link would share its time, by which Snakemake finds outdated files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy(source, target)
