"""Step `report`: all runs of an experiment as `summary.csv` and as one HTML page.

Reads what `evaluate` wrote and, for the pictures, the stores of one noise seed window by window.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr

from pipeline.config.experiment import Experiment
from pipeline.core.sensing.observation import ObservedScene
from pipeline.report.comparison import Comparison, common_seed, compare
from pipeline.report.numbers.standing import standings
from pipeline.report.numbers.tables import Run, summary_csv, summary_row
from pipeline.report.page import provenance, render
from pipeline.report.pair import Records
from pipeline.report.residuals import Plane
from pipeline.report.studies import Planes, pictured, sections
from pipeline.runs.observation import read_scene
from pipeline.runs.progress import ProgressReport
from pipeline.store.files import read_json, sha256_of, write_text
from pipeline.store.schema import metadata_from, observed_scene, variable_of
from pipeline.store.store import read_store


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
    scenes: dict[str, list[Run]] = {}
    comparisons = []
    for scene, response in experiment.observed():
        here = _read_runs(experiment, results / scene / response)
        scenes[experiment.title(scene, response)] = here
        comparisons.append(_compare(experiment, results, scene, response, here))
    runs = [run for here in scenes.values() for run in here]
    overview = standings(scenes, list(experiment.methods))
    origin = provenance(experiment, runs, _digests(results, experiment))
    studies = sections(experiment.studies, runs, list(experiment.methods), _traces(experiment, results))
    page = render(experiment, comparisons, origin, overview, studies)
    rows = [summary_row(run, title) for title, here in scenes.items() for run in here]
    write_text(summary, summary_csv(rows))
    write_text(out, page)


def _read_runs(experiment: Experiment, folder: Path) -> list[Run]:
    """The runs of one scene and response: methods in the order of the experiment, then seeds."""
    return [
        read_json(folder / f"seed{seed}" / label / "metrics.json")
        for label in experiment.methods
        for seed in sorted(experiment.seeds_of(label))
    ]


def _compare(experiment: Experiment, results: Path, scene: str, response: str, runs: list[Run]) -> Comparison:
    seed = common_seed(runs)
    folder = results / scene / response / f"seed{seed}"
    observed = read_store(folder / "observation.zarr")
    truth = _reference(experiment, results, scene)
    drawn = pictured(experiment.studies, list(experiment.methods))
    stores = {
        label: read_store(folder / label / "fused.zarr")
        for label in drawn
        if seed in experiment.seeds_of(label)
    }
    cubes = {label: variable_of(store, "fused") for label, store in stores.items()}
    deviations = {
        label: variable_of(store, "deviation") for label, store in stores.items() if "deviation" in store
    }
    with ProgressReport() as progress:
        return compare(
            experiment.title(scene, response),
            None if truth is None else variable_of(truth, "reference"),
            metadata_from(observed if truth is None else truth).wavelength,
            _scene(experiment, scene, folder, observed),
            cubes,
            runs,
            list(experiment.methods),
            experiment.scenes[scene].dataset,
            progress,
            unseen=[label for label in experiment.methods if label not in drawn],
            records=_records(folder, observed),
            residual_maps=_residual_maps(folder, list(cubes)),
            deviations=deviations,
        )


def _reference(experiment: Experiment, results: Path, scene: str) -> xr.Dataset | None:
    """A scene's reference; most pairs have none."""
    pair = experiment.scenes[scene].pair
    return None if pair and not pair.reference else read_store(results / scene / "reference.zarr")


def _scene(experiment: Experiment, scene: str, folder: Path, observed: xr.Dataset) -> ObservedScene:
    """The observation; of a pair as the methods were told of it, in the LR-HSI's units."""
    if experiment.scenes[scene].pair is None:
        return observed_scene(observed)
    return read_scene(folder / "observation.json", folder / "estimate.json")


def _records(folder: Path, observed: xr.Dataset) -> Records:
    """What `align` and `estimate` recorded of a pair."""
    ledger = folder / "estimate.json"
    told = read_store(ledger).attrs if ledger.exists() else {}
    return Records(observed.attrs.get("alignment"), told.get("responses"))


def _residual_maps(folder: Path, labels: list[str]) -> dict[str, tuple[Plane, Plane]]:
    """Maps of the residuals of both images, where `evaluate` left them."""
    stores = {label: folder / label / "residuals.json" for label in labels}
    found = {label: read_store(ledger) for label, ledger in stores.items() if ledger.exists()}
    return {label: (variable_of(maps, "hsi"), variable_of(maps, "msi")) for label, maps in found.items()}


def _traces(experiment: Experiment, results: Path) -> dict[tuple[str, str, str], Planes]:
    """What `trace` kept, by scene, response and method."""
    found: dict[tuple[str, str, str], Planes] = {}
    for scene, response, label, seed in experiment.traced():
        folder = results / scene / response / f"seed{seed}" / label
        kept = variable_of(read_store(folder / "trace.zarr"), "coefficients").load()
        found[scene, response, label] = {int(time): kept.sel(time=time).values for time in kept["time"]}
    return found


def _digests(results: Path, experiment: Experiment) -> dict[str, str]:
    """Digest of every source and store, by its path under the results folder."""
    paths = []
    for scene, response, label, seed in experiment.runs():
        here = Path(scene, response, f"seed{seed}")
        paths += [Path(scene, "source.json"), Path(scene, "reference.json")]
        paths += [here / "observation.json", here / "estimate.json"]
        paths.append(here / label / "fused.json")
    for scene, response, label, seed in experiment.traced():
        paths.append(Path(scene, response, f"seed{seed}", label, "trace.json"))
    found = (path for path in dict.fromkeys(paths) if (results / path).exists())
    return {path.as_posix(): _digest(results / path) for path in found}


def _digest(path: Path) -> str:
    """The digest that a ledger or a source's record holds, else that of the record itself."""
    content: dict[str, Any] = read_json(path)
    found = content.get("digest") or content.get("sha256")
    return str(found) if found else sha256_of(path)
