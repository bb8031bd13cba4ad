"""A small experiment run to its report, step by step as the workflow's rules call them, without Snakemake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command import call
from pipeline.config.experiment import Experiment, parse_experiment
from pipeline.runs.paths import ExperimentFolder, RunFolder, experiment_at
from pipeline.runs.step_settings import step_settings

CONTENT: dict[str, Any] = {
    "experiment": "small",
    "scenes": {"field": {"source": {"kind": "synthetic", "height": 24, "width": 24, "bands": 6}}},
    "responses": {
        "msi": {
            "spatial": {"kind": "bicubic", "ratio": 4},
            "spectral": {"kind": "gaussian", "centres": [500, 700, 1500], "fwhm": 100},
        }
    },
    "products": {},
    "methods": {"bicubic": {}, "first": {"method": "gaussian_subspace", "d": 2}},
}


def step(name: str, *arguments: str | Path, settings: str, out: Path) -> None:
    """Run a step as its rule does."""
    done = call(name, *arguments, "--settings", settings, "--out", out)
    assert done.exit_code == 0, done.output


def run_all(results: Path, **changed: Any) -> tuple[Experiment, ExperimentFolder]:
    """Run every step of the small experiment, with some sections changed; its results lie in `results`."""
    experiment = parse_experiment(CONTENT | changed, "small")
    folder = experiment_at(results)
    scene = folder.scene("field")
    images = scene.images("msi", 0)

    def settings(step: str, label: str = "") -> str:
        return step_settings(experiment, step, scene="field", response="msi", label=label)

    step("download", settings=settings("download"), out=scene.source)
    step("crop", "--source", scene.source, settings=settings("crop"), out=scene.reference.ledger)
    reference = ("--reference", scene.reference.ledger)
    simulated = images.observation.ledger
    step("simulate", *reference, "--seed", "0", settings=settings("simulate"), out=simulated)
    step("estimate", "--observation", simulated, settings=settings("estimate"), out=images.estimate.ledger)
    for label in experiment.methods:
        fuse_all(images.run(label), lambda name, label=label: settings(name, label))
    summary = ("--results", folder.path, "--summary", folder.summary)
    step("report", *summary, settings=settings("report"), out=folder.report)
    return experiment, folder


def fuse_all(run: RunFolder, settings: Any) -> None:
    """Run the steps of one method."""
    images = run.images
    observed = ("--observation", images.observation.ledger)
    both = (*observed, "--estimate", images.estimate.ledger)
    step("plan", *observed, "--batches", "1", settings=settings("plan"), out=run.plan.ledger)
    step("train", *both, "--seed", "0", settings=settings("train"), out=run.fitted)
    fitted = (*both, "--fitted", run.fitted, "--plan", run.plan.ledger, "--seed", "0")
    step("fuse", *fitted, settings=settings("fuse"), out=run.manifest(1, 1))
    step("mosaic", run.manifest(1, 1), *fitted, settings=settings("mosaic"), out=run.fused.ledger)
    scored = (*observed, "--reference", images.scene.reference.ledger, "--fused", run.fused.ledger)
    step("evaluate", *scored, settings=settings("evaluate"), out=run.metrics)
    exported = (*both, "--fused", run.fused.ledger)
    step("export", *exported, settings=settings("export"), out=run.product)
