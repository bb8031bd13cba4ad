"""The experiment behind all rules: checked configuration, wildcards, and each rule's inputs and settings."""

import json
import re
from functools import cache
from math import ceil
from pathlib import Path

from snakemake.utils import validate

from pipeline.config import parse_experiment
from pipeline.errors import InputError
from pipeline.sources import source_files
from pipeline.studies import Trajectory
from pipeline.tiling.jobs import batch_minutes, planned_batches

try:
    EXPERIMENT = parse_experiment(config, "configuration")
except InputError as error:
    raise SystemExit(str(error)) from None
validate(config, "../../config/schema.json", set_default=False)
RESULTS = Path("results", EXPERIMENT.experiment)
TRAJECTORIES = [study for study in EXPERIMENT.studies.values() if isinstance(study, Trajectory)]


wildcard_constraints:
    batch=r"\d+",
    batches=r"\d+",
    experiment=re.escape(EXPERIMENT.experiment),
    scene="|".join(map(re.escape, EXPERIMENT.scenes)),
    response="|".join(map(re.escape, EXPERIMENT.responses)),
    seed=r"\d+",
    label="|".join(map(re.escape, EXPERIMENT.methods)),


def code(module):
    """Source files of the package on which a module's results depend; a change reruns the step."""
    return [path.as_posix() for path in source_files(f"pipeline.{module}")]


def as_json(settings, **without):
    """A part of the configuration as the text that a step takes."""
    return json.dumps(settings.model_dump(mode="json", **without))


def runs(pattern):
    """A path of every run of the experiment."""
    return paths_of(pattern, EXPERIMENT.runs())


def traces(pattern):
    """A path of every run whose sampling a study of the report follows."""
    return paths_of(pattern, EXPERIMENT.traced())


def paths_of(pattern, chosen):
    """A path of each of some runs; several may share one."""
    paths = [pattern.format(experiment=EXPERIMENT.experiment, **run._asdict()) for run in chosen]
    return list(dict.fromkeys(paths))


def scene_file(wildcards):
    """The scene's local file, and its ENVI header; one that is fetched, or missing, is up to the step.

    Of a scene in the catalogue, its entry.
    """
    source = EXPERIMENT.scenes[wildcards.scene].source
    if source.kind == "dataset":
        return [f"src/pipeline/data/catalogue/{source.name}.yaml"]
    if source.kind != "file" or source.url:
        return []
    path = Path(source.path)
    return [str(file) for file in (path, path.with_suffix(".hdr")) if file.exists()]


def response_file(wildcards):
    """The file behind the spectral response; a missing one is up to the step."""
    path = getattr(EXPERIMENT.responses[wildcards.response].spectral, "path", None)
    return [path] if path and Path(path).exists() else []


def source_settings(wildcards):
    return as_json(EXPERIMENT.scenes[wildcards.scene], include={"source"})


def scene_settings(wildcards):
    return as_json(EXPERIMENT.scenes[wildcards.scene], include={"source", "crop"})


def simulate_settings(wildcards):
    response = EXPERIMENT.responses[wildcards.response].model_dump(mode="json")
    noise = EXPERIMENT.noise.model_dump(mode="json", exclude={"seeds"})
    return json.dumps({"response": response, "noise": noise})


def plan_settings(wildcards):
    tiling = EXPERIMENT.tiling.model_dump(mode="json")
    method = EXPERIMENT.methods[wildcards.label].model_dump(mode="json", exclude={"seeds"})
    return json.dumps({"tiling": tiling, "method": method})


@cache
def batches_of(scene, run, label):
    """Number of batches of a fused cube, which stays the same while the workflow runs."""
    return planned_batches(EXPERIMENT, RESULTS, scene, run, label)


def batch_number(wildcards):
    return batches_of(wildcards.scene, f"{wildcards.response}/seed{wildcards.seed}", wildcards.label)


def manifests(wildcards):
    """The manifests of all batches of a fused cube."""
    batches = batch_number(wildcards)
    folder = f"results/{wildcards.experiment}/{wildcards.scene}/{wildcards.response}/seed{wildcards.seed}"
    return [f"{folder}/{wildcards.label}/tiles/{n}-of-{batches}.json" for n in range(1, batches + 1)]


def method_settings(wildcards):
    return as_json(EXPERIMENT.methods[wildcards.label], exclude={"seeds"})


def trained_by(wildcards):
    """The fitted method of the label whose training this one shares, if there is one."""
    label = EXPERIMENT.trained_by(wildcards.label, int(wildcards.seed))
    folder = f"results/{wildcards.experiment}/{wildcards.scene}/{wildcards.response}/seed{wildcards.seed}"
    return [f"{folder}/{label}/fitted.safetensors"] if label else []


def trained_by_option(wildcards):
    return " ".join(f"--trained-by {path}" for path in trained_by(wildcards))


def trace_times(wildcards):
    """The sampling steps left at which the coefficients are kept, for all studies of a label."""
    studies = (study for study in TRAJECTORIES if wildcards.label in study.methods)
    return ",".join(map(str, sorted({time for study in studies for time in study.times}, reverse=True)))


def method_code(wildcards):
    return code(f"methods.{EXPERIMENT.methods[wildcards.label].method}")


def method_threads(wildcards):
    """The cores that a method is set to use, so that its timing is its own."""
    return getattr(EXPERIMENT.methods[wildcards.label], "threads", 1)


def batch_runtime(wildcards, attempt):
    """Minutes that a batch may take: more than it is thought to, since that is an estimate."""
    batches = int(wildcards.batches)
    minutes = batch_minutes(EXPERIMENT, RESULTS, wildcards.scene, wildcards.label, batches)
    return ceil(attempt * (10 + 2 * minutes))


def method_gpus(wildcards):
    return int(getattr(EXPERIMENT.methods[wildcards.label], "device", "cpu") != "cpu")
