"""The number of jobs of a fused cube, known when the workflow is planned, before any job runs.

The number follows from the scene's size and the method's speed. It affects the time
until a cube is ready, never its content. Once a plan exists, the number in the plan holds.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from pipeline.config.experiment import Experiment, Tiling
from pipeline.config.scenes import Source
from pipeline.core.window import LARGEST_CORE
from pipeline.errors import InputError
from pipeline.runs.paths import ExperimentFolder, RunFolder, Store
from pipeline.store.files import read_json, read_record


def batch_count(shape: tuple[int, int], core: int, seconds_per_megapixel: float, tiling: Tiling) -> int:
    """Return the number of batches such that a job takes about `job_minutes`, within the bound on jobs.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the scene in HR pixels.
    core : int
        Side of a tile in HR pixels.
    seconds_per_megapixel : float
        Speed of the method.
    tiling : Tiling
        Length of a job to aim at, and the most jobs.

    >>> batch_count((100_000, 100_000), 512, 1.5, Tiling(job_minutes=30, max_jobs=200))
    9
    >>> batch_count((100_000, 100_000), 512, 900.0, Tiling(job_minutes=30, max_jobs=200))
    200
    """
    tiles = ceil(shape[0] / core) * ceil(shape[1] / core)
    minutes = shape[0] * shape[1] / 1e6 * seconds_per_megapixel / 60
    return min(max(1, ceil(minutes / tiling.job_minutes)), tiling.max_jobs, tiles)


def planned_batches(experiment: Experiment, run: RunFolder) -> int:
    """Return the number of batches of one fused cube.

    If the cube has a plan of the same size and settings, its number is returned. The number is 1 for a scene
    whose size is still unknown.

    Parameters
    ----------
    experiment : Experiment
        Says how cubes are cut into tiles and how fast the methods are.
    run : RunFolder
        Folder of the cube.
    """
    made = _attributes(run.plan)
    shape = scene_shape(experiment, run.scene.name)
    same = made.get("tiling") == experiment.tiling.model_dump(mode="json")
    if made and same and shape in (None, tuple(made["shape"])):
        return int(made["batches"])
    if shape is None:
        return 1
    core = experiment.tiling.core or LARGEST_CORE
    return batch_count(shape, core, speed_of(experiment, run), experiment.tiling)


def batch_minutes(experiment: Experiment, run: RunFolder, batches: int) -> float:
    """Return the expected minutes of a batch; more than `job_minutes` where the number of jobs is bounded.

    Parameters
    ----------
    experiment : Experiment
        Says how long a job should be and how fast the methods are.
    run : RunFolder
        Folder of the cube.
    batches : int
        Number of batches of the cube.
    """
    shape = scene_shape(experiment, run.scene.name) or (0, 0)
    minutes = shape[0] * shape[1] / 1e6 * speed_of(experiment, run) / 60
    return max(experiment.tiling.job_minutes, minutes / batches)


def scene_shape(experiment: Experiment, scene: str) -> tuple[int, int] | None:
    """Return height and width of a scene (for a pair, of its MSI), or None while they are unknown.

    Parameters
    ----------
    experiment : Experiment
        Describes the scene.
    scene : str
        The scene's name.
    """
    described = experiment.scenes[scene]
    if described.wald:
        return None
    if described.pair:
        return _file_size(described.pair.files["msi"])
    return described.size or (_file_size(described.source) if described.source else None)


def speed_of(experiment: Experiment, run: RunFolder) -> float:
    """Return the seconds per megapixel of a run's method: as configured, as measured, or a rough guess.

    Parameters
    ----------
    experiment : Experiment
        May hold a configured speed.
    run : RunFolder
        A run of the method; finished runs beside it give the measured speed.
    """
    configured = experiment.tiling.seconds_per_megapixel.get(run.label)
    measured = measured_speed(run.experiment, run.label)
    return configured or measured or experiment.methods[run.label].expected_speed


def measured_speed(experiment: ExperimentFolder, label: str) -> float | None:
    """Return the seconds per megapixel of a method in the experiment's largest finished cube.

    Parameters
    ----------
    experiment : ExperimentFolder
        Folder of the experiment.
    label : str
        The method's label.
    """
    speeds = []
    for run in experiment.runs(label):
        try:
            seconds = sum(read_record(run.timing("fuse"))["seconds"].values())
        except InputError:  # damaged; a guess does until the step has run again
            continue
        if made := _attributes(run.plan):
            megapixels = made["shape"][0] * made["shape"][1] / 1e6
            speeds.append((megapixels, seconds / megapixels))
    return max(speeds)[1] if speeds else None


def _file_size(source: Source) -> tuple[int, int] | None:
    from pipeline.inputs.file_scene import source_size  # only here: it loads the libraries of all formats

    return source_size(source)


def tiles_planned(run: RunFolder) -> int | None:
    """Return the number of tiles in a run's plan, None before there is one."""
    tiles = _attributes(run.plan).get("tiles")
    return None if tiles is None else int(tiles)


def _attributes(store: Store) -> dict[str, Any]:
    """Return the attributes of a plan, empty where there is none, or no undamaged one."""
    try:
        attributes = dict(read_json(store.metadata).get("attributes", {}))
    except InputError:
        return {}
    return attributes if {"shape", "batches", "tiles"} <= attributes.keys() else {}


def batches_planned(run: RunFolder) -> int:
    """Return the number of batches in a run's plan, 0 before there is one."""
    return int(_attributes(run.plan).get("batches", 0))
