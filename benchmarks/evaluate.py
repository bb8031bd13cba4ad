"""Time and memory of `evaluate` per megapixel: its parts on arrays, and the whole step.

Wall and CPU seconds are the best of several runs, which alternate between the parts; memory is the peak of
the arrays that a part allocates, in a run that is not timed. The step reads its cubes from stores in a
temporary folder, like `pipeline evaluate`, but in this process: its start is not counted.

    python benchmarks/evaluate.py [--size 512] [--bands 100] [--repeats 3] [--workers 2] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np

from pipeline.core.quality.metrics import evaluate
from pipeline.core.quality.reliability import reliability
from pipeline.core.quality.residuals import residuals
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.runs.workers import scheduled
from pipeline.steps import evaluate as step
from pipeline.store.files import write_record
from pipeline.store.schema import cube_dataset, observation_dataset, reference_dataset
from pipeline.store.store import write_store

RATIO = 4
MSI_BANDS = 7
Figures = dict[str, dict[str, float]]


def cubes(size: int, bands: int) -> tuple[Scene, np.ndarray, np.ndarray]:
    """Make a smooth scene with fine texture, a cube with errors, and their standard deviation."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / 37
    spectra = rng.random((bands, 4), np.float32)
    maps = np.stack([np.sin(y + x), np.cos(y - 2 * x), np.sin(3 * y), rng.random((size, size))])
    reference = 0.5 + 0.1 * np.tensordot(spectra, maps.astype(np.float32), axes=1)
    deviation = np.broadcast_to(np.geomspace(0.005, 0.02, size, dtype=np.float32), reference.shape)
    cube = reference + deviation * rng.standard_normal(reference.shape, np.float32)
    scene = Scene(data=reference, wavelength=np.linspace(400, 2450, bands))
    return scene, cube, np.ascontiguousarray(deviation)


def observation_of(scene: Scene) -> Observation:
    """Simulate the observation of a scene."""
    weights = np.random.default_rng(1).dirichlet(np.ones(len(scene.data)), MSI_BANDS)
    response = SpatialResponse.gaussian(ratio=RATIO, fwhm=1)
    return simulate(scene.data, spectral_response=weights, spatial_response=response, snr_db=40)


def finished_run(
    folder: Path, scene: Scene, cube: np.ndarray, deviation: np.ndarray, observation: Observation
) -> dict[str, Any]:
    """Write the stores of a finished run, and return the arguments of the step that scores it."""
    seed_folder = folder / "scene/response/seed0"
    files = {
        "reference": folder / "scene/reference.json",
        "observation": seed_folder / "observation.json",
        "fused": seed_folder / "method/fused.json",
    }
    contents = (
        reference_dataset(scene),
        observation_dataset(observation, scene),
        cube_dataset(cube, scene, deviation),
    )
    for path, dataset in zip(files.values(), contents, strict=True):
        write_store(path.with_suffix(".zarr"), dataset, {})
    for name in ("estimate", "train", "fuse"):
        place = seed_folder if name == "estimate" else seed_folder / "method"
        timing = {"step": name, "seconds": {"compute": 0, "io": 0}, "peak_mem_mb": 0}
        write_record(
            place / f"{name}.timing.json", timing | {"device": "cpu", "precision": "float64", "parameters": 0}
        )
    return files | {
        "settings": GaussianSubspaceSettings(seeds=[0]),
        "out": seed_folder / "method/metrics.json",
    }


def timed(parts: dict[str, Callable[[], Any]], repeats: int, megapixels: float) -> Figures:
    """Run the parts in turn; best wall and CPU seconds per megapixel, and the peak of a further run."""
    best = {name: {"wall": np.inf, "cpu": np.inf} for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            wall, cpu = perf_counter(), process_time()
            part()
            taken = {"wall": perf_counter() - wall, "cpu": process_time() - cpu}
            best[name] = {kind: min(value, best[name][kind]) for kind, value in taken.items()}
    result = {name: {kind: value / megapixels for kind, value in best[name].items()} for name in parts}
    for name, part in parts.items():
        tracemalloc.start()
        part()
        result[name]["peak_mb"] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    return result


def measured(size: int, bands: int, repeats: int, workers: int) -> Figures:
    """Return the figures of all parts.

    Parameters
    ----------
    size : int
        Side of the scene in pixels.
    bands : int
        Number of its bands.
    repeats : int
        Runs of each part.
    workers : int
        Threads that compute blocks.
    """
    scene, cube, deviation = cubes(size, bands)
    observation = observation_of(scene)
    with TemporaryDirectory() as folder, scheduled("threads", workers) as mapped:
        arguments = finished_run(Path(folder), scene, cube, deviation, observation)
        parts: dict[str, Callable[[], Any]] = {
            "scores": lambda: evaluate(scene.data, cube, ratio=RATIO, mapped=mapped),
            "residuals": lambda: residuals(cube, observation, mapped=mapped),
            "intervals": lambda: reliability(scene.data, cube, deviation, mapped),
            "step": lambda: step.run(**arguments, workers=workers),
        }
        return timed(parts, repeats, size * size / 1e6)


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--bands", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measured(arguments.size, arguments.bands, arguments.repeats, arguments.workers)
    print("| part | wall s/MP | CPU s/MP | arrays at once, MB |\n|---|---|---|---|")
    for name, values in result.items():
        print(f"| {name} | {values['wall']:.2f} | {values['cpu']:.2f} | {values['peak_mb']:.0f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
