"""Step `report`: all runs of an experiment as `summary.csv` and as one HTML page.

Reads what `evaluate` wrote and, for the pictures, the stores of one noise seed window by window.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

from pipeline.config import Experiment
from pipeline.data.files import read_json, write_text
from pipeline.data.schema import metadata_from, observed_scene, variable_of
from pipeline.data.store import read_store
from pipeline.errors import InputError
from pipeline.provenance import sha256_of
from pipeline.report.comparison import Comparison, common_seed, compare
from pipeline.report.page import provenance, render
from pipeline.report.studies import Planes, pictured, sections
from pipeline.report.tables import SUMMARY_COLUMNS, Run, format_table, summary_csv, summary_row
from pipeline.steps.progress import ProgressReport
from pipeline.studies import Trajectory


def run(*, experiment: Experiment, results: Path, out: Path, summary: Path) -> None:
    """Write the report and the summary of an experiment.

    Parameters
    ----------
    experiment : Experiment
    results : Path
        Its folder, `results/<experiment>`.
    out : Path
        The page.
    summary : Path
        The CSV: one row for each scene, method and seed, in the order of the experiment.
    """
    runs: list[Run] = []
    rows, comparisons = [], []
    for scene in experiment.scenes:
        for response in experiment.responses:
            title = f"{scene}/{response}" if len(experiment.responses) > 1 else scene
            here = _read_runs(experiment, results / scene / response)
            runs += here
            rows += [summary_row(entry, title) for entry in here]
            comparisons.append(_compare(experiment, results / scene, response, title, here))
    studies = sections(experiment.studies, runs, list(experiment.methods), _traces(experiment, results))
    origin = provenance(experiment, runs, _digests(results, experiment))
    page = render(experiment, comparisons, origin, studies)
    write_text(summary, summary_csv(rows))
    write_text(out, page)


def summary(results: Path) -> str:
    """What `pipeline summary` prints: the metrics of a finished experiment and the report's path."""
    path = results / "summary.csv"
    try:
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the workflow for this experiment first") from None
    if not rows or list(rows[0]) != SUMMARY_COLUMNS:
        raise InputError(f"{path}: not a summary of the report step; delete it and run the workflow again")
    return f"{format_table(rows)}\n\nReport: {results / 'report.html'}"


def _read_runs(experiment: Experiment, folder: Path) -> list[Run]:
    """The runs of one scene and response: methods in the order of the experiment, then seeds."""
    return [
        read_json(folder / f"seed{seed}" / label / "metrics.json")
        for label in experiment.methods
        for seed in sorted(experiment.seeds_of(label))
    ]


def _compare(
    experiment: Experiment, scene_folder: Path, response: str, title: str, runs: list[Run]
) -> Comparison:
    seed = common_seed(runs)
    folder = scene_folder / response / f"seed{seed}"
    truth = read_store(scene_folder / "reference.zarr")
    drawn = pictured(experiment.studies, list(experiment.methods))
    cubes = {
        label: variable_of(read_store(folder / label / "fused.zarr"), "fused")
        for label in drawn
        if seed in experiment.seeds_of(label)
    }
    with ProgressReport() as progress:
        return compare(
            title,
            variable_of(truth, "reference"),
            metadata_from(truth).wavelength,
            observed_scene(read_store(folder / "observation.zarr")),
            cubes,
            runs,
            list(experiment.methods),
            progress,
            unseen=[label for label in experiment.methods if label not in drawn],
        )


def _traces(experiment: Experiment, results: Path) -> dict[tuple[str, str, str], Planes]:
    """What `trace` kept, of the first seed of each method."""
    labels = {
        label
        for study in experiment.studies.values()
        if isinstance(study, Trajectory)
        for label in study.methods
    }
    found: dict[tuple[str, str, str], Planes] = {}
    for scene, response, label in itertools.product(experiment.scenes, experiment.responses, sorted(labels)):
        folder = results / scene / response / f"seed{experiment.seeds_of(label)[0]}" / label
        kept = variable_of(read_store(folder / "trace.zarr"), "coefficients").load()
        found[scene, response, label] = {int(time): kept.sel(time=time).values for time in kept["time"]}
    return found


def _digests(results: Path, experiment: Experiment) -> dict[str, str]:
    """Digest of every source and store, by its path under the results folder."""
    paths = []
    for scene in experiment.scenes:
        paths += [Path(scene, "source.json"), Path(scene, "reference.json")]
        for response in experiment.responses:
            for seed in experiment.noise.seeds:
                here = Path(scene, response, f"seed{seed}")
                labels = [label for label in experiment.methods if seed in experiment.seeds_of(label)]
                paths += [here / "observation.json", here / "estimate.json"]
                paths += [here / label / f"{store}.json" for label in labels for store in ("fused", "trace")]
    return {path.as_posix(): _digest(results / path) for path in paths if (results / path).exists()}


def _digest(path: Path) -> str:
    """The digest that a ledger or a source's record holds, else that of the record itself."""
    content: dict[str, Any] = read_json(path)
    found = content.get("digest") or content.get("sha256")
    return str(found) if found else sha256_of(path)
