"""The experiment behind all rules: checked configuration, wildcards, and each rule's inputs and settings."""

import json
import re
from functools import cache
from math import ceil
from pathlib import Path

from snakemake.utils import validate

from pipeline.config.experiment import MEASURED, parse_experiment
from pipeline.errors import InputError
from pipeline.runs.code_digest import code_digest
from pipeline.config.studies import Trajectory
from pipeline.runs.batches import batch_minutes, planned_batches

try:
    EXPERIMENT = parse_experiment(config, "configuration")
except InputError as error:
    raise SystemExit(str(error)) from None
validate(config, "../../config/schema.json", set_default=False)
RESULTS = Path("results", EXPERIMENT.experiment)
TRAJECTORIES = [study for study in EXPERIMENT.studies.values() if isinstance(study, Trajectory)]


def names(scenes):
    """A pattern of some scenes' names, which matches nothing where there is none."""
    return "|".join(map(re.escape, scenes)) or "(?!)"


SIMULATED = names(name for name, scene in EXPERIMENT.scenes.items() if scene.source)
PAIRS = names(name for name, scene in EXPERIMENT.scenes.items() if scene.pair)
LEVEL_DOWN = names(name for name, scene in EXPERIMENT.scenes.items() if scene.wald)


wildcard_constraints:
    batch=r"\d+",
    batches=r"\d+",
    experiment=re.escape(EXPERIMENT.experiment),
    scene="|".join(map(re.escape, EXPERIMENT.scenes)),
    response="|".join(map(re.escape, [*EXPERIMENT.responses, MEASURED])),
    seed=r"\d+",
    label="|".join(map(re.escape, EXPERIMENT.methods)),


def code(module):
    """A digest of all the code on which a module's results depend; a change reruns the step."""
    return code_digest(f"pipeline.{module}")


def as_json(settings, **without):
    """A part of the configuration as the text that a step takes."""
    return json.dumps(settings.model_dump(mode="json", **without))


def runs(pattern):
    """A path of every run of the experiment."""
    return paths_of(pattern, EXPERIMENT.runs())


def traces(pattern):
    """A path of every run whose sampling a study of the report follows."""
    return paths_of(pattern, EXPERIMENT.traced())


def exported(pattern):
    """A path of every run, if the experiment asks for products."""
    return paths_of(pattern, EXPERIMENT.runs() if EXPERIMENT.products else [])


def paths_of(pattern, chosen):
    """A path of each of some runs; several may share one."""
    paths = [pattern.format(experiment=EXPERIMENT.experiment, **run._asdict()) for run in chosen]
    return list(dict.fromkeys(paths))


def references(pattern):
    """A path of every scene that has a reference."""
    return paths_of(pattern, (run for run in EXPERIMENT.runs() if has_reference(run.scene)))


def has_reference(scene):
    pair = EXPERIMENT.scenes[scene].pair
    return pair is None or pair.reference is not None


def scene_files(wildcards):
    """The scene's local files, and ENVI headers; one that is fetched, or missing, is up to the step."""
    scene = EXPERIMENT.scenes[wildcards.scene]
    given = scene.pair.files.values() if scene.pair else [scene.source]
    return [file for source in given for file in files_of(source)]


def files_of(source):
    """The files of a source; of a scene in the catalogue, its entry."""
    if source.kind == "dataset":
        return [f"src/pipeline/inputs/datasets/entries/{source.name}.yaml"]
    if source.kind != "file" or source.url:
        return []
    from pipeline.inputs.source import locate  # only here: it loads the libraries of all formats

    try:
        found = locate(source).files.values()
    except InputError:
        return []
    headers = [path.with_suffix(".hdr") for path in found]
    return sorted({str(file) for file in [*found, *headers] if file.exists()})


def response_file(wildcards):
    """The file behind the spectral response; a missing one is up to the step."""
    return table_of(EXPERIMENT.responses[wildcards.response].spectral)


def pair_response_file(wildcards):
    """The same of a pair."""
    return table_of(EXPERIMENT.scenes[wildcards.scene].pair.configured_response)


def table_of(spectral):
    path = getattr(spectral, "path", None)
    return [path] if path and Path(path).exists() else []


def source_settings(wildcards):
    scene = EXPERIMENT.scenes[wildcards.scene]
    return as_json(scene, include={"source": True, "pair": {"hsi", "msi", "reference"}})


def scene_settings(wildcards):
    return as_json(EXPERIMENT.scenes[wildcards.scene], include={"source", "pair", "wald", "crop"})


def estimation_settings(wildcards):
    return as_json(EXPERIMENT.estimation_of(wildcards.scene))


def pair_of(file):
    """A file of the pair from which a scene one Wald level down is made."""

    def path(wildcards):
        pair = EXPERIMENT.scenes[wildcards.scene].wald
        return f"results/{wildcards.experiment}/{pair}/{wildcards.response}/seed{wildcards.seed}/{file}"

    return path


def pair_observation(file):
    """A file of the scene's own pair as `align` first writes it, whose footprint no noise seed changes."""
    return f"results/{{experiment}}/{{scene}}/{MEASURED}/seed{EXPERIMENT.noise.seeds[0]}/{file}"


def wald_observation(file):
    """The same of the pair from which a scene one Wald level down is made."""

    def path(wildcards):
        pair = EXPERIMENT.scenes[wildcards.scene].wald
        return pair_observation(file).format(experiment=wildcards.experiment, scene=pair)

    return path


def reference_files(wildcards):
    """The ledger and the store of a scene's reference, where it has one."""
    folder = f"results/{wildcards.experiment}/{wildcards.scene}"
    files = [f"{folder}/reference.json", f"{folder}/reference.zarr/zarr.json"]
    return files if has_reference(wildcards.scene) else []


def judged_by(wildcards):
    """What a cube is judged by besides the observation: a reference, and for a pair what was estimated."""
    here = f"results/{wildcards.experiment}/{wildcards.scene}"
    options = [f"--reference {here}/reference.json"] if has_reference(wildcards.scene) else []
    if EXPERIMENT.scenes[wildcards.scene].source is None:
        options.append(f"--estimate {here}/{wildcards.response}/seed{wildcards.seed}/estimate.json")
    return " ".join(options)


def simulate_settings(wildcards):
    response = EXPERIMENT.responses[wildcards.response].model_dump(mode="json")
    noise = EXPERIMENT.noise.model_dump(mode="json", exclude={"seeds"})
    return json.dumps({"response": response, "noise": noise})


def product_settings(wildcards):
    return as_json(EXPERIMENT.products.of_scene(wildcards.scene))


def plan_settings(wildcards):
    tiling = EXPERIMENT.tiling.model_dump(mode="json")
    method = method_of(wildcards).model_dump(mode="json", exclude={"seeds"})
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


def method_of(wildcards):
    """The settings of a label on a scene."""
    return EXPERIMENT.method_of(wildcards.scene, wildcards.label)


def method_settings(wildcards):
    return as_json(method_of(wildcards), exclude={"seeds"})


def trained_by(wildcards):
    """The fitted method of the label whose training this one shares, if there is one."""
    label = EXPERIMENT.trained_by(wildcards.scene, wildcards.label, int(wildcards.seed))
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
    return getattr(method_of(wildcards), "threads", 1)


def batch_runtime(wildcards, attempt):
    """Minutes that a batch may take: more than it is thought to, since that is an estimate."""
    batches = int(wildcards.batches)
    minutes = batch_minutes(EXPERIMENT, RESULTS, wildcards.scene, wildcards.label, batches)
    return ceil(attempt * (10 + 2 * minutes))


def method_gpus(wildcards):
    return int(getattr(method_of(wildcards), "device", "cpu") != "cpu")
