"""Time and memory on two cores, beside another checkout of the package.

    git worktree add /tmp/before HEAD~1
    PYTHONPATH=src python benchmarks/cpu.py --against /tmp/before --out cpu.json

Each measurement runs in a process of its own, in turn with the package in `src` of the other checkout, so
that what else the machine does slows both. The best of the repeats is printed: wall and CPU seconds, and the
peak of the resident memory. Without `--against` the figures stand alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import torch

from meters import Laps, Peak
from pairs import pair, settings
from pipeline.core.quality.metrics import evaluate
from pipeline.methods import build

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
QUICK = 2.0  # seconds below which a measurement is repeated in its process
AGAIN = 5  # times


class Cost(NamedTuple):
    """Cost of a computation.

    Attributes
    ----------
    wall, cpu : float
        Seconds, those of all threads together for the second.
    peak : float
        Largest resident memory in MB.
    """

    wall: float
    cpu: float
    peak: float


Size = tuple[int, int, int]


def repeated(action: Callable[[], object]) -> Cost:
    """Return the least cost of a computation, which is repeated if it is quick.

    Parameters
    ----------
    action : callable
        The computation.
    """
    walls: list[float] = []
    cpus: list[float] = []
    with Peak(CPU) as peak:
        while not walls or (walls[0] < QUICK and len(walls) < AGAIN):
            wall, cpu = perf_counter(), process_time()
            action()
            walls.append(perf_counter() - wall)
            cpus.append(process_time() - cpu)
    return Cost(min(walls), min(cpus), peak.host)


def fusion(size: Size, threads: int, method: str, **fields: Any) -> Cost:
    """Return the cost of learning and fusing a scene.

    Parameters
    ----------
    size : (int, int, int)
        Height, width and bands.
    threads : int
        CPU threads.
    method : str
        Name of the method.
    **fields
        Its settings.
    """
    _, observation = pair(*size)
    chosen = settings(method, device="cpu", threads=threads, **fields)

    def fuse() -> None:
        fitted = build(chosen).fit(observation)
        fitted.fuse_part_with_deviation(fitted.read(observation.whole), observation.whole)

    return repeated(fuse)


def guided_step(size: Size, threads: int, steps: int = 9) -> Cost:
    """Return the cost of a guided step of ARGS-Diff with networks of the published size.

    Parameters
    ----------
    size : (int, int, int)
        Height, width and bands.
    threads : int
        CPU threads.
    steps : int
        Number of steps, of which the first third are not counted.
    """
    _, observation = pair(*size)
    budget = {"spatial_iterations": 1, "spatial_batch": 1, "crop": 16, "spectral_iterations": 1}
    fitted = build(settings("args_diff", budget=budget, steps=steps, device="cpu", threads=threads))
    laps = Laps("sampling", CPU)
    with Peak(CPU) as peak:
        fitted.fit(observation).fuse(progress=laps)
    return Cost(laps.seconds, laps.cpu_seconds, peak.host)


def metrics(size: Size, threads: int) -> Cost:
    """Return the cost of all metrics of a cube.

    Parameters
    ----------
    size : (int, int, int)
        Height, width and bands.
    threads : int
        CPU threads, which PyTorch and BLAS take from the environment.
    """
    reference, _ = pair(*size)
    return repeated(partial(evaluate, reference, reference * 0.99, ratio=4))


MEASUREMENTS: dict[str, Callable[[Size, int], Cost]] = {
    "graph_subspace": partial(fusion, method="graph_subspace"),
    "graph_subspace, cube alone": partial(fusion, method="graph_subspace", draws=0),
    "gaussian_subspace": partial(fusion, method="gaussian_subspace"),
    "hysure": partial(fusion, method="hysure"),
    "args_diff, guided step": guided_step,
    "metrics": metrics,
}


def measured(name: str, checkout: Path, arguments: argparse.Namespace) -> Cost:
    """Return the cost of a measurement in a process of its own.

    Parameters
    ----------
    name : str
        Name of the measurement.
    checkout : Path
        Folder whose `src` holds the package.
    arguments : argparse.Namespace
        Arguments of the benchmark.
    """
    size = [str(number) for number in arguments.size]
    command = [sys.executable, __file__, "--measure", name, "--size", *size]
    threads = str(arguments.threads)
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | dict.fromkeys(names, threads) | {"PYTHONPATH": str(checkout / "src")}
    environment |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}  # the package's own, too late here
    run = subprocess.run(
        [*command, "--threads", threads], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return Cost(*json.loads(run.stdout.splitlines()[-1]))


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the measurements, print a line for each, and return the best costs of each checkout.

    Parameters
    ----------
    arguments : argparse.Namespace
        Arguments of the benchmark.
    """
    checkouts = {"here": ROOT} | ({"against": arguments.against} if arguments.against else {})
    results: dict[str, Any] = {}
    print("| measurement | wall | ratio | CPU | ratio | peak | ratio |\n|---|---|---|---|---|---|---|")
    for name in arguments.only:
        costs: dict[str, list[Cost]] = {key: [] for key in checkouts}
        for _ in range(arguments.repeats):
            for key, checkout in checkouts.items():
                costs[key].append(measured(name, checkout, arguments))
        best = {key: Cost(*map(min, zip(*runs, strict=True))) for key, runs in costs.items()}
        results[name] = {key: cost._asdict() for key, cost in best.items()}
        here, other = best["here"], best.get("against")
        ratios = [f"{a / b:.2f}" for a, b in zip(here, other, strict=True)] if other else ["", "", ""]
        cells = [f"{here.wall:.3f} s", f"{here.cpu:.3f} s", f"{here.peak:.0f} MB"]
        shown = [text for both in zip(cells, ratios, strict=True) for text in both]
        print(f"| {name} | {' | '.join(shown)} |", flush=True)
    return results


def main() -> None:
    """Compare, or run one measurement in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--against", type=Path, help="another checkout of the package")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--size", type=int, nargs=3, default=(256, 256, 103), help="height, width, bands")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--measure", choices=list(MEASUREMENTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        height, width, bands = arguments.size
        print(json.dumps(MEASUREMENTS[arguments.measure]((height, width, bands), arguments.threads)))
        return
    results = compare(arguments)
    if arguments.out:
        options = {"size": list(arguments.size), "threads": arguments.threads, "repeats": arguments.repeats}
        arguments.out.write_text(json.dumps(options | {"measurements": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
