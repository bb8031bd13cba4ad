"""The experiment behind all rules: checked configuration, wildcards and the rules' input functions."""

import json
import re
import sys
from functools import cache
from math import ceil
from pathlib import Path

from snakemake.utils import validate

from pipeline.config.experiment import MEASURED, Run, parse_experiment
from pipeline.config.studies import Trajectory
from pipeline.errors import InputError
from pipeline.runs.adoption import adopt
from pipeline.runs.batches import batch_minutes, planned_batches
from pipeline.runs.code_digest import code_digest
from pipeline.runs.messages import warnings_below
from pipeline.runs.paths import batch_name, experiment_folder
from pipeline.runs.step_settings import step_settings
from pipeline.runs.workflow_files import package_file

try:
    EXPERIMENT = parse_experiment(config, "configuration")
except InputError as error:
    raise SystemExit(str(error)) from None
validate(config, "../../config/schema.json", set_default=False)
FIRST_SEED = EXPERIMENT.noise.seeds[0]
if workflow.is_main_process:
    adopt(EXPERIMENT, experiment_folder(EXPERIMENT.experiment))

# the results tree, with wildcards for names
TREE = experiment_folder("{experiment}")
SCENE = TREE.scene("{scene}")
IMAGES = SCENE.images("{response}", "{seed}")
RUN = IMAGES.run("{label}")
BATCH = f"fuse.{batch_name('{batch}', '{batches}')}"


def names(scenes):
    """Return a pattern that matches the given names, and nothing where there are none."""
    return "|".join(map(re.escape, scenes)) or "(?!)"


SIMULATED = names(name for name, scene in EXPERIMENT.scenes.items() if scene.source)
PAIRS = names(name for name, scene in EXPERIMENT.scenes.items() if scene.pair)
LEVEL_DOWN = names(name for name, scene in EXPERIMENT.scenes.items() if scene.wald)


wildcard_constraints:
    batch=r"\d+",
    batches=r"\d+",
    experiment=re.escape(EXPERIMENT.experiment),
    scene=names(EXPERIMENT.scenes),
    response=names([*EXPERIMENT.responses, MEASURED]),
    seed=r"\d+",
    label=names(EXPERIMENT.methods),


# ---- targets: a path of each run, or of some


def paths_of(pattern, chosen):
    """Return a path of each of the chosen runs; several runs may share a path."""
    paths = [str(pattern).format(experiment=EXPERIMENT.experiment, **run._asdict()) for run in chosen]
    return list(dict.fromkeys(paths))


def runs(pattern):
    """Return a path of every run of the experiment."""
    return paths_of(pattern, EXPERIMENT.runs())


def traces(pattern):
    """Return a path of every run whose sampling a study of the report follows."""
    return paths_of(pattern, EXPERIMENT.traced())


def exported(pattern):
    """Return a path of every run, if the experiment exports products."""
    return paths_of(pattern, EXPERIMENT.runs() if EXPERIMENT.products else [])


def references(pattern):
    """Return a path of every scene that has a reference."""
    return paths_of(pattern, (run for run in EXPERIMENT.runs() if EXPERIMENT.has_reference(run.scene)))


# ---- inputs: the folder in the tree of a job's wildcards, and the files that only some jobs have


def scene_folder(wildcards):
    return experiment_folder(wildcards.experiment).scene(wildcards.scene)


def images_folder(wildcards):
    return scene_folder(wildcards).images(wildcards.response, wildcards.seed)


def run_folder(wildcards):
    return images_folder(wildcards).run(wildcards.label)


def expressible(files):
    """Return the files that Snakemake can name; to it, braces and angle brackets stand for something else."""
    return [file for file in files if not set("{}<>").intersection(file)]


def stamps(files):
    """Return the function that gives a job's other files, with size and time: a change reruns the job."""

    def listed(wildcards):
        others = [file for file in files(wildcards) if file not in expressible([file])]
        return [(file, Path(file).stat().st_size, Path(file).stat().st_mtime_ns) for file in others]

    return listed


def source_files(wildcards):
    """List the scene's local files with their ENVI headers; the step fetches, or misses, all others."""
    return expressible(all_source_files(wildcards))


def all_source_files(wildcards):
    scene = EXPERIMENT.scenes[wildcards.scene]
    sources = scene.pair.files.values() if scene.pair else [scene.source]
    return [file for source in sources for file in files_of(source)]


def files_of(source):
    """List the files of a source; of a scene in the catalogue, its entry."""
    if source.kind == "dataset":
        return [package_file(f"config/datasets/{source.name}.yaml")]
    if source.kind != "file" or source.url:
        return []
    from pipeline.inputs.source import locate  # only here: it loads the libraries of all formats

    try:
        paths = locate(source).files.values()
    except InputError:
        return []
    headers = [path.with_suffix(".hdr") for path in paths]
    return sorted({str(file) for file in [*paths, *headers] if file.exists()})


def response_table(wildcards):
    """List the table of the spectral response; the step reports a missing file."""
    return expressible(any_response_table(wildcards))


def any_response_table(wildcards):
    """List the table of the spectral response of a simulated scene, or of a pair."""
    pair = EXPERIMENT.scenes[wildcards.scene].pair
    spectral = pair.configured_response if pair else EXPERIMENT.responses[wildcards.response].spectral
    path = getattr(spectral, "path", None)
    return [path] if path and Path(path).exists() else []


def pair_images(wildcards):
    """Return the folder of the pair from which a scene one Wald level down is made."""
    pair = EXPERIMENT.scenes[wildcards.scene].wald
    seed = getattr(wildcards, "seed", FIRST_SEED)
    return experiment_folder(wildcards.experiment).scene(pair).images(MEASURED, seed)


def reference(wildcards):
    """List the ledger of a scene's reference, where it has one."""
    return [scene_folder(wildcards).reference.ledger] if EXPERIMENT.has_reference(wildcards.scene) else []


def reference_store(wildcards):
    """List the store of a scene's reference, where it has one."""
    return [scene_folder(wildcards).reference.metadata] if EXPERIMENT.has_reference(wildcards.scene) else []


def estimate_of_pair(wildcards):
    """List the ledger of the estimate, of a scene whose true responses are not known."""
    simulated = EXPERIMENT.scenes[wildcards.scene].source is not None
    return [] if simulated else [images_folder(wildcards).estimate.ledger]


def trained_by(wildcards):
    """List the fitted method of the label whose training the job shares, if there is one."""
    return [] if method_settings(wildcards).training_scenes else shared_training(wildcards)


def trained_elsewhere(wildcards):
    """List the fitted method whose training on other scenes the job shares."""
    return shared_training(wildcards) if method_settings(wildcards).training_scenes else []


def shared_training(wildcards):
    other = EXPERIMENT.trained_by(run_of(wildcards))
    return [fitted_of(other)] if other else []


def method_settings(wildcards):
    return EXPERIMENT.method_of(wildcards.scene, wildcards.label)


def run_of(wildcards):
    return Run(wildcards.scene, wildcards.response, wildcards.label, int(wildcards.seed))


def fitted_of(run):
    tree = experiment_folder(EXPERIMENT.experiment)
    return tree.scene(run.scene).images(run.response, str(run.seed)).run(run.label).fitted


def examples(wildcards):
    """List observation, estimate and reference of each scene that trains the method; none for a shared training."""
    return [ledger for ledger, _ in example_stores(wildcards)]


def examples_metadata(wildcards):
    return [metadata for _, metadata in example_stores(wildcards)]


def example_stores(wildcards):
    """List ledger and metadata of the stores with which the job trains its method on references."""
    if shared_training(wildcards):
        return []
    stores = []
    for scene, response, seed in EXPERIMENT.examples_of(run_of(wildcards)):
        folder = experiment_folder(EXPERIMENT.experiment).scene(scene)
        images = folder.images(response, str(seed))
        stores += [images.observation, images.estimate, folder.reference]
    return [(store.ledger, store.metadata) for store in stores]


def manifests(wildcards):
    """List the manifests of all batches of a fused cube."""
    batches = batch_number(wildcards)
    return [run_folder(wildcards).manifest(batch, batches) for batch in range(1, batches + 1)]


@cache
def batches_of(run):
    """Count the batches of a fused cube once, so that the number stays while the workflow runs."""
    return planned_batches(EXPERIMENT, run)


# ---- messages


def repeat_warnings():
    """Print the warnings of all steps; `pipeline run` has printed each with its step."""
    if "pipeline" not in workflow.output_settings.log_handler_settings:
        for line in warnings_below(experiment_folder(EXPERIMENT.experiment).logs):
            print(line, file=sys.stderr)


# ---- parameters and resources


def code(module):
    """Return the digest of all code on which a module's results depend; a change reruns the step."""
    return code_digest(f"pipeline.{module}")


def settings(step):
    """Return the function that gives a job its part of the configuration, as JSON."""

    def text(wildcards):
        keys = ("scene", "response", "label")
        return step_settings(EXPERIMENT, step, **{key: wildcards.get(key, "") for key in keys})

    return text


def batch_number(wildcards):
    return batches_of(run_folder(wildcards))


def unscored(wildcards):
    """Return the regions that no metric counts, as JSON."""
    return json.dumps([region.model_dump(mode="json") for region in EXPERIMENT.unscored(wildcards.scene)])


def trace_times(wildcards):
    """Return the numbers of remaining sampling steps at which coefficients are recorded, as JSON."""
    studies = (study for study in EXPERIMENT.studies.values() if isinstance(study, Trajectory))
    times = {time for study in studies if wildcards.label in study.methods for time in study.times}
    return json.dumps(sorted(times, reverse=True))


def method_code(wildcards):
    return code(f"methods.{EXPERIMENT.methods[wildcards.label].method}")


def method_threads(wildcards):
    """Return the cores that a method is set to use, so that no other job disturbs its timing."""
    return getattr(method_settings(wildcards), "threads", 1)


def method_gpus(wildcards):
    return int(method_settings(wildcards).asks_for_gpu)


def batch_runtime(wildcards, attempt):
    """Return the minutes that a batch may take: twice the estimate and ten more, a retry still longer."""
    minutes = batch_minutes(EXPERIMENT, run_folder(wildcards), int(wildcards.batches))
    return ceil(attempt * (10 + 2 * minutes))
