"""The record of a finished experiment: the digest of every file that its report rests on.

`report.json` is written with the report. By it `pipeline verify` names what is missing from the experiment or
was exchanged, and `runs.adoption` recognises results that were copied.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from pipeline.config.experiment import Experiment, Observed
from pipeline.runs.batches import batches_planned
from pipeline.runs.paths import ExperimentFolder, RunFolder
from pipeline.runs.provenance import code_version, configuration_hash
from pipeline.store.files import read_record, sha256_of, write_record
from pipeline.store.verified import file_fault


def write_finished(experiment: Experiment, folder: ExperimentFolder) -> None:
    """Write the record of an experiment whose report and table have just been made.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    folder : ExperimentFolder
        Its folder.
    """
    made_from = {_within(folder, path): _digest(path) for path in needed_files(experiment, folder)}
    outputs = (folder.report, folder.summary)
    content = {
        "experiment": experiment.experiment,
        "configuration": configuration_of(experiment),
        "code": code_version(),
        "files": {path.name: sha256_of(path) for path in outputs},
        "made_from": made_from,
    }
    write_record(folder.ledger, content)


def needed_files(experiment: Experiment, folder: ExperimentFolder) -> list[Path]:
    """List the files that a finished experiment must contain: ledgers, fitted methods, records.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    folder : ExperimentFolder
        Its folder.
    """
    paths: list[Path] = []
    for key in experiment.runs():
        for observed in (Observed(key.scene, key.response, key.seed), *experiment.examples_of(key)):
            paths += _prepared(experiment, folder, observed)
        run = folder.run(key)
        paths += [*_fused(run), *([run.product] if run.product.exists() else [])]
        if experiment.scenes[key.scene].source is None:
            paths.append(run.residuals.ledger)
    paths += [folder.run(key).trace.ledger for key in experiment.traced()]
    return list(dict.fromkeys(paths))


def _prepared(experiment: Experiment, folder: ExperimentFolder, observed: Observed) -> Iterator[Path]:
    """Yield what lies ready before the first method runs."""
    described = experiment.scenes[observed.scene]
    scene = folder.scene(observed.scene)
    images = scene.images(observed.response, observed.seed)
    kind = "source" if described.source else "pair" if described.pair else "wald"
    cut, made = {"source": ("crop", "simulate"), "pair": ("clip", "align"), "wald": ("wald", "degrade")}[kind]
    if kind != "wald":
        yield from (scene.source, scene.timing("download"))
    if experiment.has_reference(observed.scene):
        yield from (scene.reference.ledger, scene.timing(cut))
    yield from (images.observation.ledger, images.timing(made))
    yield from (images.estimate.ledger, images.timing("estimate"))


def _fused(run: RunFolder) -> Iterator[Path]:
    """Yield what each method leaves of a run."""
    yield from (run.plan.ledger, run.fitted, run.timing("train"))
    batches = batches_planned(run)
    for batch in range(1, batches + 1):
        yield from (run.manifest(batch, batches), run.batch_timing(batch, batches))
    yield from (run.fused.ledger, run.timing("fuse"), run.metrics, run.timing("evaluate"))


def report_faults(ledger: Path) -> tuple[int, list[str]]:
    """Compare the report and the table with their record.

    Parameters
    ----------
    ledger : Path
        `report.json`.

    Returns
    -------
    files : int
        Number of files that were compared.
    faults : list of str
        One line for each that is missing or was changed.

    Raises
    ------
    InputError
        The record is missing or was changed.
    """
    files = read_record(ledger)["files"]
    faults = {name: file_fault(ledger.with_name(name), digest) for name, digest in sorted(files.items())}
    return len(files), [f"{ledger.with_name(name)}: {fault}" for name, fault in faults.items() if fault]


def missing_or_exchanged(ledger: Path, known: Container[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files of a finished experiment that are missing, and those that are not the report's.

    Parameters
    ----------
    ledger : Path
        `report.json`.
    known : container of Path
        Files whose faults are known already.
    """
    recorded = {ledger.parent / name: digest for name, digest in read_record(ledger)["made_from"].items()}
    others = {path: digest for path, digest in recorded.items() if path not in known}
    missing = [path for path in others if not path.is_file()]
    exchanged = [
        path for path, digest in others.items() if path.is_file() and digest and file_fault(path, digest)
    ]
    return missing, exchanged


def configuration_of(experiment: Experiment) -> str:
    """Return the digest of the configuration without the products, which the report does not show.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    """
    return configuration_hash(experiment.model_copy(update={"products": None}))


def _digest(path: Path) -> str | None:
    return sha256_of(path) if path.is_file() else None


def _within(folder: ExperimentFolder, path: Path) -> str:
    return path.relative_to(folder.path).as_posix()
