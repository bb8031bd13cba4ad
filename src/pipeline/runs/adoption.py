"""Finished results without Snakemake's notes, such as a copy of `results/`: recognised by their ledgers."""

from __future__ import annotations

import logging
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from time import time_ns

from pipeline.config.experiment import Experiment
from pipeline.errors import InputError
from pipeline.runs.finished import configuration_of, missing_or_exchanged, needed_files, report_faults
from pipeline.runs.paths import ExperimentFolder
from pipeline.runs.provenance import check_origin, code_version
from pipeline.store.files import read_record
from pipeline.store.store import read_store

log = logging.getLogger(__name__)


NOTES = Path(".snakemake")


def adopt(experiment: Experiment, folder: ExperimentFolder) -> None:
    """Let ledgers decide about results of which Snakemake has no notes.

    Without notes Snakemake compares the times of files alone, which copying changes. A finished experiment
    whose every file is the one that the report was made from, by this code and with this configuration, gets
    one time for all files: nothing has to be made again. Else its first files get the present time, so that
    every step runs; steps keep the trainings and tiles that are still right.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    folder : ExperimentFolder
        Its folder.
    """
    if _has_notes(folder):
        return
    now = time_ns()
    if _is_complete(experiment, folder):
        for path in _tracked(experiment, folder):
            os.utime(path, ns=(now, now))
        log.info("%s: complete and unchanged by its record, %s", folder.path, folder.ledger.name)
        return
    for name in experiment.scenes:
        source = folder.scene(name).source
        if source.exists():
            os.utime(source, ns=(now, now))


def _has_notes(folder: ExperimentFolder) -> bool:
    """Return whether Snakemake has noted how some file of the experiment was made."""
    if (NOTES / "metadata.db").exists():
        return True
    start = f"{folder.path.as_posix()}/".encode()
    name = urlsafe_b64encode(start[: len(start) // 3 * 3]).decode()  # Snakemake names its notes so
    return any(path.name.lstrip("@").startswith(name) for path in NOTES.glob("metadata/*"))


def _is_complete(experiment: Experiment, folder: ExperimentFolder) -> bool:
    """Return whether an experiment is finished and undamaged, and of this configuration and code."""
    if not folder.ledger.is_file():
        return False
    try:
        record = read_record(folder.ledger)
        same = record["configuration"] == configuration_of(experiment) and record["code"] == code_version()
        needed = {path.relative_to(folder.path).as_posix() for path in needed_files(experiment, folder)}
        if not same or needed != set(record["made_from"]) or report_faults(folder.ledger)[1]:
            return False
        if any(missing_or_exchanged(folder.ledger, ())):
            return False
        _check_inputs(experiment, folder)
    except InputError:
        return False
    return True


def _tracked(experiment: Experiment, folder: ExperimentFolder) -> Iterator[Path]:
    """Yield all files of a complete experiment whose times Snakemake compares."""
    for path in (*needed_files(experiment, folder), folder.report, folder.summary, folder.ledger):
        yield path
        metadata = path.with_suffix(".zarr") / "zarr.json"
        if metadata.exists():
            yield metadata
    yield from folder.logs.rglob("*.tsv")


def _check_inputs(experiment: Experiment, folder: ExperimentFolder) -> None:
    """Refuse results whose images or tables of responses are not those that lie there now."""
    from pipeline.inputs.source import joint_digest, locate  # here: it loads the libraries of all formats

    for name, response in experiment.observed():
        scene = experiment.scenes[name]
        if scene.wald:
            continue
        record = read_record(folder.scene(name).source)
        sources = scene.pair.files if scene.pair else {"": scene.source}
        for role, source in sources.items():
            if source is None or source.kind == "synthetic" or not locate(source).paths[0].exists():
                continue
            if joint_digest(locate(source).digests()) != (record[role] if role else record)["sha256"]:
                raise InputError(f"{locate(source).name}: is not the file that {folder.path} was made from")
        spectral = scene.pair.configured_response if scene.pair else experiment.responses[response].spectral
        table = Path(getattr(spectral, "path", ""))
        for seed in {key.seed for key in experiment.runs()} if table.is_file() else ():
            ledger = folder.scene(name).images(response, seed).observation.ledger
            if ledger.exists():
                check_origin(ledger, read_store(ledger).attrs["provenance"], inputs=[table])
