"""How many jobs a fused cube takes: known while the workflow is laid out, before any of them runs.

The number follows from the scene's size and the method's speed. It decides when a cube is ready and
never what is in it; once a plan exists, its own number holds.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

from pipeline.config.experiment import Experiment, Tiling
from pipeline.config.scenes import Source
from pipeline.core.window import LARGEST_CORE
from pipeline.errors import InputError
from pipeline.store.files import read_json


def batch_count(shape: tuple[int, int], core: int, seconds_per_megapixel: float, tiling: Tiling) -> int:
    """Number of batches such that a job takes about `job_minutes`, within the bound on jobs.

    >>> batch_count((100_000, 100_000), 512, 1.5, Tiling(job_minutes=30, max_jobs=200))
    9
    >>> batch_count((100_000, 100_000), 512, 900.0, Tiling(job_minutes=30, max_jobs=200))
    200
    """
    tiles = ceil(shape[0] / core) * ceil(shape[1] / core)
    minutes = shape[0] * shape[1] / 1e6 * seconds_per_megapixel / 60
    return min(max(1, ceil(minutes / tiling.job_minutes)), tiling.max_jobs, tiles)


def planned_batches(experiment: Experiment, results: Path, scene: str, run: str, label: str) -> int:
    """Number of batches of one fused cube.

    Parameters
    ----------
    experiment : Experiment
    results : Path
        The experiment's folder.
    scene, run, label : str
        The cube is that of `<results>/<scene>/<run>/<label>`, where `run` is `<response>/seed<k>`.

    Returns
    -------
    int
        That of the cube's plan, where there is one of the same size and settings; 1 for a scene whose
        size cannot be known yet.
    """
    made = _attributes(results / scene / run / label / "plan.zarr")
    shape = scene_shape(experiment, scene)
    same = made.get("tiling") == experiment.tiling.model_dump(mode="json")
    if made and same and shape in (None, tuple(made["shape"])):
        return int(made["batches"])
    if shape is None:
        return 1
    core = experiment.tiling.core or LARGEST_CORE
    return batch_count(shape, core, speed_of(experiment, results, label), experiment.tiling)


def batch_minutes(experiment: Experiment, results: Path, scene: str, label: str, batches: int) -> float:
    """How long a batch of a fused cube takes, as far as one can tell: more than wished for, if bounded."""
    shape = scene_shape(experiment, scene) or (0, 0)
    minutes = shape[0] * shape[1] / 1e6 * speed_of(experiment, results, label) / 60
    return max(experiment.tiling.job_minutes, minutes / batches)


def scene_shape(experiment: Experiment, scene: str) -> tuple[int, int] | None:
    """Height and width of a scene, of a pair those of its MSI; None where they are not known yet."""
    described = experiment.scenes[scene]
    if described.wald:
        return None
    if described.pair:
        return _file_size(described.pair.files["msi"])
    return described.size or (_file_size(described.source) if described.source else None)


def speed_of(experiment: Experiment, results: Path, label: str) -> float:
    """Seconds per megapixel of a method: as configured, as measured here, or a rough guess."""
    configured = experiment.tiling.seconds_per_megapixel.get(label)
    return configured or measured_speed(results, label) or experiment.methods[label].expected_speed


def measured_speed(results: Path, label: str) -> float | None:
    """Seconds per megapixel of a method in this experiment's largest finished cube."""
    found = []
    for path in results.glob(f"*/*/seed*/{label}/fuse.timing.json"):
        made = _attributes(path.with_name("plan.zarr"))
        if made:
            megapixels = made["shape"][0] * made["shape"][1] / 1e6
            found.append((megapixels, sum(read_json(path)["seconds"].values()) / megapixels))
    return max(found)[1] if found else None


def _file_size(source: Source) -> tuple[int, int] | None:
    from pipeline.inputs.file_scene import source_size  # only here: it loads the libraries of all formats

    return source_size(source)


def tiles_planned(folder: Path) -> int | None:
    """Number of tiles in the plan of a run's folder, None before there is one."""
    tiles = _attributes(folder / "plan.zarr").get("tiles")
    return None if tiles is None else int(tiles)


def _attributes(store: Path) -> dict[str, Any]:
    """The attributes of a store's group, empty where there is none."""
    try:
        return dict(read_json(store / "zarr.json").get("attributes", {}))
    except InputError:
        return {}
