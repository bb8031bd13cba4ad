"""Memory and time of a large scene, step by step, against those of a smaller one.

Runs the workflow on synthetic scenes, one size after the other, and prints what each step took per
megapixel, start of the process included, and its peak resident memory. `--untiled` also fuses each scene
as a whole, in this process, to compare. To be run alone on the machine:

    python benchmarks/large_scene.py --sizes 2048 4096 --folder /tmp/large
    python benchmarks/large_scene.py --sizes 1024 2048 --folder /tmp/large --method graph_subspace --untiled
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from pipeline.core.quality.metrics import evaluate
from pipeline.methods import build, settings_of
from pipeline.runs.observation import read_scene
from pipeline.store.schema import variable_of
from pipeline.store.store import read_store

ROOT = Path(__file__).resolve().parents[1]
STEPS = ("download", "crop", "simulate", "estimate", "train", "plan", "fuse", "mosaic", "evaluate", "report")


def experiment(size: int, bands: int, method: str) -> dict[str, object]:
    """Write the configuration of a scene size."""
    return {
        "experiment": f"large_{size}",
        "scenes": {
            "synthetic": {
                "source": {
                    "kind": "synthetic",
                    "height": size,
                    "width": size,
                    "bands": bands,
                    "wavelength_range": [400, 2450],
                }
            }
        },
        "responses": {
            "landsat_like": {
                "spatial": {"kind": "bicubic", "ratio": 4},
                "spectral": {
                    "kind": "gaussian",
                    "centres": [443, 482, 561, 655, 865, 1609, 2201],
                    "fwhm": [16, 60, 57, 37, 28, 85, 187],
                },
            }
        },
        "methods": {method: {}},
    }


def run(size: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds per megapixel and peak memory of every step; the stores are removed afterwards."""
    folder, method = arguments.folder, arguments.method
    config = folder / f"large_{size}.yaml"
    config.write_text(yaml.safe_dump(experiment(size, arguments.bands, method)))
    for part in ("Snakefile", "workflow", "config", "envs", "src"):
        if not (folder / part).exists():
            (folder / part).symlink_to(ROOT / part)
    options = ["--cores", str(arguments.cores), "--configfile", config.name, "--quiet", "all"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", "snakemake", *options], check=True, cwd=folder, env=environment)
    results = folder / "results" / f"large_{size}"
    measured = {step: _measured(folder, f"large_{size}", step, size * size / 1e6) for step in STEPS}
    (product,) = results.rglob("fused.zarr")
    files = sum(path.is_file() for path in product.rglob("*"))
    gigabytes = sum(path.stat().st_size for path in product.rglob("*") if path.is_file()) / 1e9
    metrics = json.loads(next(results.rglob("metrics.json")).read_text())["metrics"]
    print(f"{size}: product of {files} files, {gigabytes:.2f} GB; PSNR {metrics['psnr']:.3f} dB", flush=True)
    if arguments.untiled:
        compare_untiled(method, next(results.glob("synthetic")), product)
    shutil.rmtree(results)
    return measured


def compare_untiled(method: str, scene: Path, tiled: Path) -> None:
    """Print how the cube of the whole scene at once compares with the tiled one."""
    label = tiled.parent
    observed = read_scene(label.parent / "observation.zarr", label.parent / "estimate.zarr")
    cube = build(settings_of(method)()).fit(observed).fuse()
    reference = variable_of(read_store(scene / "reference.zarr"), "reference")
    psnr = evaluate(reference, cube, ratio=4)["psnr"]
    pieces = variable_of(read_store(tiled), "fused")
    furthest = max(
        float(np.abs(cube[:, y : y + 256] - np.asarray(pieces[:, y : y + 256])).max())
        for y in range(0, cube.shape[1], 256)
    )
    print(
        f"untiled: PSNR {psnr:.3f} dB; no value of the tiled cube differs by more than {furthest:.2g}",
        flush=True,
    )


def _measured(folder: Path, name: str, step: str, megapixels: float) -> dict[str, float]:
    """Wall time as Snakemake took it, and peak memory: the step's own where it is recorded."""
    (table,) = (folder / "logs" / name).rglob(f"{step}*.tsv")
    with table.open(newline="") as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    timings = (folder / "results" / name).rglob(f"{step}.timing.json")
    own = [json.loads(path.read_text())["peak_mem_mb"] for path in timings]
    return {"seconds": float(row["s"]) / megapixels, "memory": max([float(row["max_rss"]) * 1.048576, *own])}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=(2048, 4096))
    parser.add_argument("--bands", type=int, default=100)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--method", default="gaussian_subspace")
    parser.add_argument("--untiled", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    small, large = (run(size, arguments) for size in arguments.sizes)
    first, second = arguments.sizes
    print(f"| step | s/MP {first} | s/MP {second} | ratio | MB {first} | MB {second} | ratio |")
    print("|---|---|---|---|---|---|---|")
    for step in STEPS:
        a, b = small[step], large[step]
        print(
            f"| {step} | {a['seconds']:.2f} | {b['seconds']:.2f} | {b['seconds'] / a['seconds']:.2f} "
            f"| {a['memory']:.0f} | {b['memory']:.0f} | {b['memory'] / a['memory']:.2f} |"
        )
    total = [sum(step["seconds"] for step in measured.values()) for measured in (small, large)]
    print(f"| all | {total[0]:.2f} | {total[1]:.2f} | {total[1] / total[0]:.2f} | | | |")


if __name__ == "__main__":
    main()
