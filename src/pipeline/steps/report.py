"""Step `report`: collect all runs of an experiment in a table and on one page.

Reads what `evaluate` wrote and, for the pictures, the stores of one noise seed window by window.
"""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from pipeline.config.experiment import Experiment
from pipeline.core.sensing.observation import ObservedScene
from pipeline.errors import InputError
from pipeline.report.comparison import Comparison, compare
from pipeline.report.description import what_was_exported
from pipeline.report.numbers.standing import standings
from pipeline.report.numbers.tables import Run, summary_csv, summary_row
from pipeline.report.page import provenance, render
from pipeline.report.pair import Records
from pipeline.report.results import FusedImages, SceneResults, common_seed
from pipeline.report.studies import Planes, pictured, sections
from pipeline.runs.finished import write_finished
from pipeline.runs.observation import read_scene
from pipeline.runs.paths import ExperimentFolder, ImagesFolder, RunFolder, SceneFolder, experiment_at
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import check_origin
from pipeline.store.files import read_json, read_record, sha256_of, write_text
from pipeline.store.schema import metadata_from, observed_scene, variable_of
from pipeline.store.store import read_store


def run(*, settings: Experiment, results: Path, out: Path, summary: Path) -> None:
    """Write the report and the summary of an experiment, and the record of what they rest on.

    Parameters
    ----------
    settings : Experiment
        The whole configuration.
    results : Path
        The experiment's folder, `results/<experiment>`.
    out : Path
        The HTML page to write.
    summary : Path
        The CSV table to write: one row for each scene, method and seed, in the order of the experiment.
    """
    experiment, folder = settings, experiment_at(results)
    scenes: dict[str, list[Run]] = {}
    comparisons = []
    for scene, response in experiment.fused():
        here = _read_runs(experiment, folder, scene, response)
        scenes[experiment.title(scene, response)] = here
        comparisons.append(
            _compare(experiment, folder.scene(scene).images(response, common_seed(here)), here)
        )
    runs = [run for here in scenes.values() for run in here]
    overview = standings(scenes, list(experiment.methods))
    origin = provenance(experiment, runs, _digests(experiment, folder))
    studies = sections(experiment.studies, runs, list(experiment.methods), _traces(experiment, folder))
    page = render(experiment, comparisons, origin, overview, studies, _products(experiment, folder))
    rows = [summary_row(run, title) for title, here in scenes.items() for run in here]
    write_text(summary, summary_csv(rows))
    write_text(out, page)
    write_finished(experiment, folder)


def _read_runs(experiment: Experiment, folder: ExperimentFolder, scene: str, response: str) -> list[Run]:
    """Read the runs of a scene and response: methods in the order of the experiment, then seeds."""
    return [
        _read_run(folder.scene(scene).images(response, seed).run(label))
        for label in experiment.methods
        for seed in sorted(experiment.seeds_of(label))
    ]


def _read_run(run: RunFolder) -> Run:
    """Read the metrics of a run; refuse those of another run, and of other images than lie beside them."""
    content = read_record(run.metrics)
    place = {"scene": run.scene.name, "response": run.images.response, "label": run.label}
    for key, expected in {**place, "seed": run.images.seed}.items():
        if content.get(key) != expected:
            raise InputError(
                f"{run.metrics}: are the metrics of {key} {content.get(key)!r}, not of {expected!r}; "
                "delete it and run the workflow again"
            )
    stores = [run.fused.ledger, run.images.observation.ledger]
    check_origin(run.metrics, content["provenance"], inputs=[path for path in stores if path.exists()])
    return content


def _compare(experiment: Experiment, images: ImagesFolder, runs: list[Run]) -> Comparison:
    """Compare the fused cubes of the same images; `runs` has the metrics of all noise seeds."""
    name, shown = images.scene.name, pictured(experiment.studies, list(experiment.methods))
    observed = read_store(images.observation.folder)
    truth = _reference(experiment, images.scene)
    labels = [label for label in shown if images.seed in experiment.seeds_of(label)]
    content = SceneResults(
        title=experiment.title(name, images.response),
        labels=list(experiment.methods),
        runs=runs,
        observation=_scene(experiment, images, observed),
        wavelength=metadata_from(observed if truth is None else truth).wavelength,
        fused={label: _fused(images.run(label)) for label in labels},
        reference=None if truth is None else variable_of(truth, "reference"),
        records=_records(images, observed, truth),
        dataset=experiment.scenes[name].dataset,
        tables_only=[label for label in experiment.methods if label not in shown],
    )
    with ProgressReport() as progress:
        return compare(content, progress)


def _fused(run: RunFolder) -> FusedImages:
    """Open a method's images; residual maps exist where `evaluate` wrote them."""
    store = read_store(run.fused.folder)
    maps = read_store(run.residuals.ledger) if run.residuals.ledger.exists() else None
    return FusedImages(
        variable_of(store, "fused"),
        variable_of(store, "deviation") if "deviation" in store else None,
        None if maps is None else (variable_of(maps, "hsi"), variable_of(maps, "msi")),
    )


def _reference(experiment: Experiment, scene: SceneFolder) -> xr.Dataset | None:
    """Open a scene's reference; most pairs have none."""
    return read_store(scene.reference.folder) if experiment.has_reference(scene.name) else None


def _scene(experiment: Experiment, images: ImagesFolder, observed: xr.Dataset) -> ObservedScene:
    """Return the observation; of a pair with the estimated responses, in the LR-HSI's units."""
    if experiment.scenes[images.scene.name].pair is None:
        return observed_scene(observed)
    return read_scene(images.observation.ledger, images.estimate.ledger)


def _records(images: ImagesFolder, observed: xr.Dataset, reference: xr.Dataset | None) -> Records:
    """Return what the steps recorded of the scene's files, their alignment and their responses."""
    ledger = images.estimate.ledger
    settled = read_store(ledger).attrs if ledger.exists() else {}
    alignment = observed.attrs.get("alignment")
    assumed = {"Reference": reference.attrs.get("assumed", []) if reference is not None else []}
    assumed |= {role.upper(): texts for role, texts in ((alignment or {}).get("assumed") or {}).items()}
    return Records(
        alignment,
        settled.get("responses"),
        tuple(settled.get("agreement", ())),
        settled.get("missing"),
        tuple(f"{image}: {text}." for image, texts in assumed.items() for text in texts),
    )


def _traces(experiment: Experiment, folder: ExperimentFolder) -> dict[tuple[str, str, str], Planes]:
    """Read the coefficients that `trace` kept, by scene, response and method."""
    traces: dict[tuple[str, str, str], Planes] = {}
    for key in experiment.traced():
        run = folder.run(key)
        store = read_store(run.trace.folder)
        check_origin(run.trace.ledger, store.attrs["provenance"], inputs=[run.fitted], seed=key.seed)
        kept = variable_of(store, "coefficients").load()
        planes = {int(time): kept.sel(time=time).values for time in kept["time"]}
        traces[key.scene, key.response, key.label] = planes
    return traces


def _products(experiment: Experiment, folder: ExperimentFolder) -> str:
    """Describe the products that `export` has made."""
    runs = [run for run in map(folder.run, experiment.runs()) if run.product.exists()]
    ledgers = {run.path.relative_to(folder.path).as_posix(): read_record(run.product) for run in runs}
    return what_was_exported(ledgers)


def _digests(experiment: Experiment, folder: ExperimentFolder) -> dict[str, str]:
    """Return the digest of every source and store, by its path under the results folder."""
    paths: list[Path] = []
    for run in map(folder.run, experiment.runs()):
        paths += [run.scene.source, run.scene.reference.ledger]
        paths += [run.images.observation.ledger, run.images.estimate.ledger, run.fused.ledger]
    paths += [folder.run(key).trace.ledger for key in experiment.traced()]
    existing = (path for path in dict.fromkeys(paths) if path.exists())
    return {path.relative_to(folder.path).as_posix(): _digest(path) for path in existing}


def _digest(path: Path) -> str:
    """Return the digest that a ledger or a source's record holds, else that of the record itself."""
    content = read_json(path)
    return str(content.get("sha256") or content.get("digest") or sha256_of(path))
