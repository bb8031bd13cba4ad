"""Step `train`: fit a method to an observation.

A killed training resumes from its checkpoints, and a finished training is reused when the step runs again
(for a repaired input, or another setting of the sampling). Both lie in a folder whose name holds the
fingerprint of code, settings and inputs, so that nothing of another configuration is reused. A training
that another label of the experiment has done with equal settings is not repeated.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import NonNegativeInt

from pipeline.errors import InputError
from pipeline.methods import MethodEntry, build
from pipeline.methods.base import LearnsFromExamples, SharesTraining
from pipeline.runs.fitted_store import (
    fingerprint,
    read_fitted,
    read_trained,
    training_fingerprint,
    write_fitted,
)
from pipeline.runs.observation import read_completed_scene
from pipeline.runs.progress import ProgressReport
from pipeline.runs.timing import Timing
from pipeline.store.files import json_digest, read_json, read_record, sha256_of

log = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"
TIMING = "train.timing.json"


def run(
    examples: Sequence[Path] = (),
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
    examples : sequence of Path
        Ledgers of observation, estimate and reference of each scene that the method is trained on; none for
        a method that is trained on the pair alone.
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

    Raises
    ------
    InputError
        The method is trained on references and the examples or the other label's file are missing, or the
        method takes no examples.
    """
    timing = Timing("train")
    _check_examples(settings, examples, trained_by)
    with timing.measure("io"):
        key = fingerprint(settings, seed, observation, estimate)
        training = training_fingerprint(settings, seed, observation, estimate)
        learned_from = _learned_from(settings, examples, trained_by)
    folder = out.with_name(f".train-{json_digest([key, learned_from])[:12]}")
    if _reused(folder, out, key, _link) or (
        trained_by and not learned_from and _reused(trained_by.parent, out, key, _copy)
    ):
        _keep(folder, out)
        return
    with timing.measure("io"):
        scene, method = read_completed_scene(observation, estimate), build(settings)
        trained = read_trained(trained_by, training) if trained_by and training else None
        if trained_by and trained is None:
            log.warning("%s: is of another training; training this label by itself", trained_by)
    with timing.measure("compute"), ProgressReport() as progress:
        if trained is not None and isinstance(method, SharesTraining):
            fitted = method.fit_trained(scene, trained, seed, progress)
        elif isinstance(method, LearnsFromExamples) and examples:
            from pipeline.runs.examples import read_examples  # here: it loads PyTorch, which few methods need

            fitted = method.fit_on(
                scene, read_examples(examples, settings), seed, folder / CHECKPOINTS, progress
            )
        else:
            fitted = method.fit(scene, seed, folder / CHECKPOINTS, progress)
    if trained is not None and trained_by:
        timing.include(read_record(trained_by.with_name(TIMING)))
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


def _check_examples(settings: MethodEntry, examples: Sequence[Path], trained_by: Path | None) -> None:
    """Refuse a training on references without any, and references for a training without them."""
    if settings.learns_from == "references" and not (examples or trained_by):
        raise InputError(
            f"train: {settings.method} learns from {settings.trained_on}; give the ledgers of observation, "
            "estimate and reference of each scene"
        )
    if examples and settings.learns_from != "references":
        raise InputError(f"train: {settings.method} learns from {settings.trained_on} and takes no examples")


def _learned_from(settings: MethodEntry, examples: Sequence[Path], trained_by: Path | None) -> list[str]:
    """Return digests of what a training on references has learned from; nothing for other trainings."""
    if settings.learns_from != "references":
        return []
    if examples:
        return [read_json(ledger)["digest"] for ledger in examples]
    return [sha256_of(trained_by)] if trained_by else []


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
