"""What the package does on a GPU, in eight minutes at most.

Needs PyTorch, NumPy, SciPy, pydantic and safetensors alone: from a clone,

    PYTHONPATH=src python benchmarks/gpu.py --out gpu.json

prints a table and writes JSON. Each stage has a limit of its own; the error of a stage that fails stands in
the table, and the others go on. `--device cpu --small` tries all of it in seconds, at sizes that say nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from meters import Laps, Peak, bandwidth, matrix_rate, timed
from pairs import mirrored, pair, settings
from pipeline.core.diffusion.fused import compiled
from pipeline.core.quality.metrics import evaluate
from pipeline.core.sensing.observation import Observation
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods import build
from pipeline.methods.args_diff.networks import SpatialUNet
from pipeline.methods.args_diff.settings import BUDGETS, FastBudget
from pipeline.methods.base import Fused
from pipeline.methods.device import bfloat16_on, device_name, resolve_device
from pipeline.runs.provenance import code_version, package_versions
from pipeline.runs.tile_plan import plan_tiles
from pipeline.runs.tile_runner import fuse_tiles
from stages import Figure, Outcome, Stage, run_stages, table

Cube = NDArray[np.float32]

GOALS = {
    "args_diff sampling: all steps": 4.0,
    "args_diff training: spatial iteration": 12.0,
    "args_diff training: spectral iteration": 0.2,
    "args_diff training: budget paper": 8.0,
    "graph_subspace: learn and fuse": 0.6,
    "tiles: learn and fuse": 60.0,
}
"""Goals on an NVIDIA H100, each in the unit of its figure."""


@dataclass(frozen=True)
class Options:
    """Device and sizes of the benchmark.

    Attributes
    ----------
    device_setting : str
        `auto`, `cpu` or `cuda`.
    scene, tiled : (int, int, int)
        Height, width and bands of Pavia University's scene, and of a quarter of the one that is fused in
        tiles.
    large : int
        Side of the part of that quarter that is fused in one piece.
    steps, width, batch, crop : int
        Sampling steps, and size of the spatial network and of its batches, of ARGS-Diff.
    iterations : (int, int)
        Spatial and spectral training iterations.
    fast : mapping
        Fields of ARGS-Diff's budget `fast`; without any, the budget itself.
    core : int
        Side of a tile.
    matrix, copied : int
        Side of the matrices, and number of values, whose rates are measured.
    agree : int
        Side of the scene on which devices are compared.
    repeats : int
        Number of repeats of a short measurement.
    threads : int
        CPU threads of ARGS-Diff.
    """

    device_setting: str = "auto"
    scene: tuple[int, int, int] = (256, 256, 103)
    tiled: tuple[int, int, int] = (1152, 1024, 128)
    large: int = 1024
    steps: int = 500
    width: int = 64
    batch: int = 16
    crop: int = 128
    iterations: tuple[int, int] = (150, 5000)
    fast: Mapping[str, int] = field(default_factory=lambda: FastBudget().model_dump())
    core: int = 512
    matrix: int = 8192
    copied: int = 2**28
    agree: int = 96
    repeats: int = 3
    threads: int = 2

    @property
    def device(self) -> torch.device:
        """The device."""
        return resolve_device(self.device_setting)

    def settings(self, method: str, **fields: Any) -> Any:
        """Return settings of a method on the device."""
        return settings(method, **{"device": self.device_setting, "threads": self.threads} | fields)


SMALL: dict[str, Any] = {
    "scene": (24, 24, 16),
    "tiled": (32, 24, 16),
    "large": 24,
    "steps": 4,
    "width": 32,
    "batch": 1,
    "crop": 8,
    "iterations": (20, 20),
    "fast": {"denoiser_width": 8, "denoiser_iterations": 5, "denoiser_batch": 2, "denoiser_crop": 16},
    "core": 32,
    "matrix": 64,
    "copied": 1000,
    "agree": 24,
    "repeats": 1,
    "threads": 1,
}
"""Sizes at which everything runs in seconds on a CPU."""


def card(options: Options) -> Iterator[Figure]:
    """Measure the rates of matrix products and of copies."""
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        side = min(options.matrix, 4096) if dtype is torch.float64 else options.matrix
        rate = matrix_rate(options.device, dtype, side)
        yield Figure(f"matrix products, {str(dtype).removeprefix('torch.')}", rate / 1e12, "TFLOP/s")
    rate = bandwidth(options.device, options.copied)
    yield Figure("memory, read and written by a copy", rate / 1e12, "TB/s")


def args_diff_settings(options: Options, **fields: Any) -> Any:
    """Return settings of ARGS-Diff with networks and batches of the published sizes.

    Parameters
    ----------
    options : Options
        Device and sizes.
    **fields
        Settings, and the numbers of training iterations.
    """
    budget = {"width": options.width, "spatial_batch": options.batch, "crop": options.crop}
    iterations = {key: fields.pop(key, 1) for key in ("spatial_iterations", "spectral_iterations")}
    return options.settings("args_diff", budget=budget | iterations, **fields)


def args_diff_sampling(options: Options) -> Iterator[Figure]:
    """Measure a guided step of ARGS-Diff and a whole sampling; the weights hardly matter for that."""
    _, observation = pair(*options.scene)
    chosen = args_diff_settings(options, steps=options.steps)
    flops = step_flops(options.scene[:2], chosen)
    yield Figure("arithmetic of a step", flops / 1e9, "GFLOP")
    if options.device.type == "cuda":
        yield Figure("norms are compiled", float(compiled() is not None), "1: yes, 0: no")
    state = build(chosen).fit(observation).state()
    laps = Laps("sampling", options.device)
    with Peak(options.device) as peak:
        fitted = build(chosen).restore(observation, state)
        _, seconds = timed(partial(fitted.fuse, progress=laps), options.device)
    yield Figure("guided step", 1e3 * laps.seconds, "ms")
    dtype = torch.bfloat16 if bfloat16_on(options.device, chosen.precision) else torch.float32
    rate = matrix_rate(options.device, dtype, options.matrix)
    yield Figure("share of the matrix rate", 100 * flops / laps.seconds / rate, "%")
    yield Figure("all steps, the first time", seconds, "s")
    yield from peaks(peak)
    again = build(chosen).restore(observation, state)
    yield Figure("all steps", timed(again.fuse, options.device)[1], "s")


def step_flops(shape: tuple[int, int], chosen: Any) -> float:
    """Return the operations of a forward and a backward pass of the spatial network.

    Parameters
    ----------
    shape : (int, int)
        Height and width in HR pixels.
    chosen : ArgsDiffSettings
        Size of the network.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = SpatialUNet(chosen.d, chosen.training.width)
        network(torch.empty(1, chosen.d, *shape), torch.zeros(1, dtype=torch.long))
    return 2.0 * counter.get_total_flops()  # the weights need no gradient


def args_diff_training(options: Options) -> Iterator[Figure]:
    """Measure iterations of both trainings of ARGS-Diff."""
    _, observation = pair(*options.scene)
    iterations = dict(zip(("spatial", "spectral"), options.iterations, strict=True))
    seconds = {}
    for phase, total in iterations.items():
        laps = Laps(phase, options.device)
        counts = {f"{name}_iterations": total if name == phase else 10 for name in iterations}
        with Peak(options.device) as peak:
            build(args_diff_settings(options, **counts)).fit(observation, progress=laps)
        seconds[phase] = laps.seconds
        yield Figure(f"{phase} iteration", 1e3 * laps.seconds, "ms")
        if phase == "spatial":
            yield from peaks(peak)
    paper = BUDGETS["paper"]
    total = paper.spatial_iterations * seconds["spatial"] + paper.spectral_iterations * seconds["spectral"]
    yield Figure("budget paper", total / 60, "min")


def peaks(peak: Peak) -> Iterator[Figure]:
    """Yield the peaks of the memory of the GPU and of the process."""
    yield Figure("peak memory of the GPU", peak.gpu, "MB")
    yield Figure("peak memory of the process", peak.host, "MB")


def fused(options: Options, observation: Observation, chosen: Any) -> tuple[Fused, float, float]:
    """Fit and fuse; return the result and the seconds of both.

    Parameters
    ----------
    options : Options
        The device.
    observation : Observation
        The scene.
    chosen : MethodSettings
        Settings of a method.
    """
    fitted, learned = timed(partial(build(chosen).fit, observation), options.device)
    part, whole = fitted.read(observation.whole), observation.whole
    result, seconds = timed(partial(fitted.fuse_part_with_deviation, part, whole), options.device)
    return result, learned, seconds


def fusion(
    options: Options, method: str, scene: tuple[Cube, Observation], repeats: int, **fields: Any
) -> Iterator[Figure]:
    """Measure the learning and the fusing of a scene, the first time and as the median of repeats.

    Parameters
    ----------
    options : Options
        The device.
    method : str
        Name of the method.
    scene : (ndarray, Observation)
        The reference, and its observation.
    repeats : int
        Number of repeats; without any, the first time stands alone.
    **fields
        Settings of the method.
    """
    reference, observation = scene
    chosen = options.settings(method, **fields)
    with Peak(options.device) as peak:
        result, learned, seconds = fused(options, observation, chosen)
    yield Figure("learn and fuse, the first time", learned + seconds, "s")
    yield from peaks(peak)
    yield Figure("PSNR", psnr(reference, result.cube), "dB")
    if repeats:
        times = np.array([fused(options, observation, chosen)[1:] for _ in range(repeats)])
        yield Figure("learn", float(np.median(times[:, 0])), "s")
        yield Figure("fuse", float(np.median(times[:, 1])), "s")
        yield Figure("learn and fuse", float(np.median(times.sum(axis=1))), "s")


def psnr(reference: Cube, cube: Cube) -> float:
    """Return the PSNR in dB of the first 256 x 256 pixels: a check, which may not take long.

    Parameters
    ----------
    reference, cube : (C, H, W)
        The true and the fused cube.
    """
    return evaluate(reference[:, :256, :256], cube[:, :256, :256], ratio=4)["psnr"]


def on_scene(options: Options, method: str, **fields: Any) -> Iterator[Figure]:
    """Fuse the smaller scene."""
    yield from fusion(options, method, pair(*options.scene), options.repeats, **fields)


def on_large(options: Options, **fields: Any) -> Iterator[Figure]:
    """Fuse the scene of a megapixel in one piece by `graph_subspace`."""
    reference, observation = pair(*options.tiled)
    window = Window(0, options.large, 0, options.large)
    scene = reference[:, *window.slices], observation.crop(window)
    yield from fusion(options, "graph_subspace", scene, 0, **fields)


def fast(options: Options) -> Iterator[Figure]:
    """Fuse the smaller scene by ARGS-Diff with the budget `fast`."""
    yield from fusion(options, "args_diff", pair(*options.scene), 1, budget=options.fast)


def tiles(options: Options) -> Iterator[Figure]:
    """Fuse a scene tile by tile by `graph_subspace`, with its draws; nothing is written to a disk."""
    observation = mirrored(pair(*options.tiled)[1])
    chosen = options.settings("graph_subspace")
    fitted, learned = timed(partial(build(chosen).fit, observation), options.device)
    yield Figure("learn", learned, "s")
    halo = ceil(fitted.halo_lr * observation.spatial_response.ratio)
    plan = plan_tiles(observation.hr_shape, core=options.core, halo=halo, batches=1)
    windows = list(plan.windows(0))
    covered = np.zeros(observation.hr_shape, np.int8)

    def write(tile: Window, result: Fused, seconds: float) -> None:
        covered[tile.slices] += np.isfinite(result.cube).all(axis=0)

    with Peak(options.device) as peak:
        _, seconds = timed(partial(fuse_tiles, fitted, windows, write), options.device)
    if not (covered == 1).all():
        raise RuntimeError(f"{int((covered != 1).sum())} pixels were not fused once")
    yield Figure("tiles", len(windows), "")
    yield Figure("fuse", seconds, "s")
    yield Figure("fuse, a megapixel", seconds / covered.size * 1e6, "s")
    yield Figure("learn and fuse", learned + seconds, "s")
    yield from peaks(peak)


def agreement(options: Options) -> Iterator[Figure]:
    """Compare the device with the CPU, a run with its repetition, and float32 with float64."""
    reference, observation = pair(options.agree, options.agree, options.scene[2])
    full_scale = float(np.ptp(reference))

    def difference(name: str, one: Cube, other: Cube) -> Figure:
        return Figure(name, float(np.abs(one - other).max()) / full_scale, "of full scale")

    own = options.device_setting
    for method in ("gaussian_subspace", "graph_subspace", "hysure"):
        here, again, cpu, exact = (
            fused(options, observation, options.settings(method, device=device, precision=precision))[0]
            for device, precision in (
                (own, "float32"),
                (own, "float32"),
                ("cpu", "float32"),
                ("cpu", "float64"),
            )
        )
        yield difference(f"{method}, repeated", here.cube, again.cube)
        yield difference(f"{method}, from the CPU", here.cube, cpu.cube)
        yield difference(f"{method}, float32 from float64 on the CPU", cpu.cube, exact.cube)
        if here.deviation is not None and cpu.deviation is not None:
            yield difference(f"{method}, deviation, from the CPU", here.deviation, cpu.deviation)
    chosen = args_diff_settings(options, steps=min(20, options.steps), precision="float32")
    state = build(chosen.model_copy(update={"device": "cpu"})).fit(observation).state()
    first, second, third = (
        build(chosen.model_copy(update={"device": device})).restore(observation, state).fuse()
        for device in (own, own, "cpu")
    )
    yield difference(f"args_diff, {chosen.steps} steps, repeated", first, second)
    yield difference(f"args_diff, {chosen.steps} steps, from the CPU", first, third)


STAGES = {
    "card": Stage(card, 30),
    "graph_subspace": Stage(partial(on_scene, method="graph_subspace"), 60),
    "graph_subspace, cube alone": Stage(partial(on_scene, method="graph_subspace", draws=0), 30),
    "gaussian_subspace": Stage(partial(on_scene, method="gaussian_subspace"), 20),
    "hysure": Stage(partial(on_scene, method="hysure"), 40),
    "args_diff sampling": Stage(args_diff_sampling, 130),
    "args_diff training": Stage(args_diff_training, 110),
    "args_diff fast": Stage(fast, 40),
    "agreement": Stage(agreement, 60),
    "tiles": Stage(tiles, 140),
    "graph_subspace, a megapixel, cube alone": Stage(partial(on_large, draws=0), 60),
    "graph_subspace, a megapixel": Stage(on_large, 60),
}


def report(options: Options, outcomes: Mapping[str, Outcome], seconds: float) -> dict[str, Any]:
    """Return device, versions and figures, JSON-ready.

    Parameters
    ----------
    options : Options
        Device and sizes.
    outcomes : mapping of Outcome
        What became of each stage.
    seconds : float
        Duration of the whole benchmark.
    """
    return {
        "device": device_name(options.device),
        "cuda": torch.version.cuda,
        "code": code_version(),
        "packages": package_versions(),
        "options": asdict(options),
        "seconds": seconds,
        "goals_on_h100": GOALS,
        "stages": {
            name: asdict(outcome) | {"figures": [figure._asdict() for figure in outcome.figures]}
            for name, outcome in outcomes.items()
        },
    }


def main() -> None:
    """Run the stages, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--small", action="store_true", help="tiny sizes, which say nothing about speed")
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES), metavar="STAGE")
    parser.add_argument("--minutes", type=float, default=8.0, help="limit of all stages together")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    arguments = parser.parse_args()
    try:
        resolve_device(arguments.device)
    except InputError as error:
        parser.error(str(error))
    options = Options(arguments.device, **(SMALL if arguments.small else {}))
    start = perf_counter()
    chosen = {name: STAGES[name] for name in arguments.stages}
    outcomes = run_stages(chosen, options, 60 * arguments.minutes)
    content = report(options, outcomes, perf_counter() - start)
    arguments.out.write_text(json.dumps(content, indent=1) + "\n")
    print(f"{content['device']}, PyTorch {torch.__version__}; goals are for an NVIDIA H100\n")
    print(table(outcomes, GOALS))


if __name__ == "__main__":
    main()
