"""Seconds of whole fusions, learning included, as ratios to ARGS-Diff at `standard`.

And where those of `graph_subspace` go, and what its conjugate gradients would take without their
preconditioner. All in this process, on one synthetic scene with four bands like those of IKONOS.
ARGS-Diff at `standard` is not run: its time is that of some iterations and sampling steps, times their
numbers.

    python benchmarks/fusion.py [--size 256] [--bands 103] [--repeats 3] [--threads 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipeline.config.scenes import SyntheticSource
from pipeline.core.quality.metrics import evaluate
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.core.solvers.graph_fusion import DRAW_STEPS, STEPS, GraphFusion, Quadratic
from pipeline.core.solvers.pixel_graph import pixel_graph
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import build
from pipeline.methods.args_diff.settings import BUDGETS, ArgsDiffSettings
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.methods.graph_subspace.method import FittedGraphSubspace
from pipeline.methods.graph_subspace.settings import GraphSubspaceSettings
from pipeline.methods.hysure.settings import HysureSettings
from pipeline.methods.settings import MethodSettings

Array = NDArray[Any]

CENTRES, WIDTHS = np.array([480.0, 551, 665, 805]), np.array([71.0, 89, 66, 95])  # nm
SHORT, LONG = 4, 12  # iterations and sampling steps whose difference is timed


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--bands", type=int, default=103)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    reference, observation = scene(options.size, options.bands)
    with threadpool_limits(options.threads):
        standard = standard_seconds(observation, options.threads, options.repeats)
        whole_fusions(reference, observation, standard, options)
        parts_of_graph_subspace(observation, options.repeats)


def scene(size: int, bands: int) -> tuple[Array, Observation]:
    """Return the reference ``(C, H, W)`` and its observation at 35 dB."""
    source = SyntheticSource(
        kind="synthetic", height=size, width=size, bands=bands, wavelength_range=(430, 860)
    )
    image = synthetic_scene(source)
    reference = np.asarray(image.data, np.float32)
    response = gaussian_response(CENTRES, WIDTHS, np.linspace(430, 860, bands))
    blur = SpatialResponse.bicubic(ratio=4)
    seen = simulate(reference, spectral_response=response, spatial_response=blur, snr_db=35, seed=0)
    return reference, seen


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = perf_counter()
    action()
    return perf_counter() - start


def standard_seconds(observation: Observation, threads: int, repeats: int) -> float:
    """Training and sampling of ARGS-Diff at `standard`, from the median times of a few steps."""
    budget = BUDGETS["standard"]

    def run(spectral: int, spatial: int, steps: int) -> float:
        few = budget.model_copy(update={"spectral_iterations": spectral, "spatial_iterations": spatial})
        settings = ArgsDiffSettings(budget=few, steps=steps, device="cpu", threads=threads)
        return median(seconds(lambda: build(settings).fit(observation).fuse()) for _ in range(repeats))

    run(SHORT, SHORT, SHORT)  # what is done once: kernels are chosen, memory is taken
    short = run(SHORT, SHORT, SHORT)
    times = {
        "spectral iteration": (run(50 * LONG, SHORT, SHORT) - short) / (50 * LONG - SHORT),
        "spatial iteration": (run(SHORT, LONG, SHORT) - short) / (LONG - SHORT),
        "sampling step": (run(SHORT, SHORT, LONG) - short) / (LONG - SHORT),
    }
    counts = budget.spectral_iterations, budget.spatial_iterations, ArgsDiffSettings().steps
    print("args_diff, budget standard:")
    for (name, time), count in zip(times.items(), counts, strict=True):
        print(f"  {name:20} {time:8.4f} s x {count:6} = {time * count:6.0f} s")
    return sum(time * count for time, count in zip(times.values(), counts, strict=True))


def whole_fusions(
    reference: Array, observation: Observation, standard: float, options: argparse.Namespace
) -> None:
    """Each method's medians of learning and fusing, and how often it fits into the standard's time."""
    methods: dict[str, MethodSettings] = {
        "gaussian_subspace": GaussianSubspaceSettings(),
        "hysure": HysureSettings(),
        "graph_subspace, cube alone": GraphSubspaceSettings(draws=0),
        "graph_subspace": GraphSubspaceSettings(),
        "args_diff, fast": ArgsDiffSettings(budget="fast", device="cpu", threads=options.threads),
    }
    print(f"\n{'method':28} {'learn':>8} {'fuse':>8} {'sum':>8} {'standard over it':>17} {'PSNR':>7}")
    for name, settings in methods.items():
        learned, fused = [], []
        for _ in range(options.repeats):
            start = perf_counter()
            fitted = build(settings).fit(observation)
            learned.append(perf_counter() - start)
            part = fitted.read(observation.whole)
            cube = fitted.fuse_part_with_deviation(part, observation.whole).cube
            fused.append(perf_counter() - start - learned[-1])
        learning, fusing = median(learned), median(fused)
        psnr = evaluate(reference, cube, ratio=4)["psnr"]
        print(
            f"{name:28} {learning:6.2f} s {fusing:6.2f} s {learning + fusing:6.2f} s "
            f"{standard / (learning + fusing):17.0f} {psnr:7.2f}"
        )
    print(f"{'args_diff, standard':28} {'':8} {'':8} {standard:6.0f} s {1:17}")


def parts_of_graph_subspace(observation: Observation, repeats: int) -> None:
    """Medians of its parts, times how often a fusion with its draws needs them; and plain gradients."""
    settings = GraphSubspaceSettings()
    fitted = build(settings).fit(observation)
    assert isinstance(fitted, FittedGraphSubspace)
    fusion = GraphFusion(observation, fitted.prior, settings.similar, settings.rounds)
    features = fitted.prior.features(observation.hr_msi)
    planes = fusion.solve().coefficients
    weights = fusion.weights(planes)
    quadratic = Quadratic(fusion, weights)
    draws, rounds = settings.draws, fusion.rounds
    steps = rounds * (STEPS + 1) + draws * (DRAW_STEPS + 1)
    operator, pixels = quadratic.terms.operator, np.ascontiguousarray(planes.reshape(len(planes), -1).T)
    parts: dict[str, tuple[Callable[[], object], int]] = {
        "graph of pixels": (lambda: pixel_graph(features, settings.similar), 1),
        "weights of edges": (lambda: fusion.weights(planes), rounds),
        "matrices of classes": (lambda: Quadratic(fusion, weights), rounds),
        "sparse products": (
            lambda: [part @ pixels @ shape for part, shape in quadratic.parts],
            steps,
        ),
        "H and its adjoint": (lambda: operator.adjoint(operator.forward(planes)), steps),
        "preconditioner": (lambda: quadratic.preconditioner.invert(planes), steps),
        "draws": (lambda: list(quadratic.draws(1, 0)), draws),
    }
    print("\ngraph_subspace, the parts of its fusion (draws include steps)")
    for name, (action, count) in parts.items():
        once = median(seconds(action) for _ in range(repeats))
        print(f"  {name:20} {once:8.4f} s x {count:4} = {once * count:6.2f} s")
    plain = plain_steps(quadratic)
    print(f"  conjugate gradients: {plain} plain steps reach what {STEPS} preconditioned do")


def plain_steps(quadratic: Quadratic) -> int:
    """Count the unpreconditioned steps that reach the residual of `STEPS` preconditioned steps."""
    rhs = quadratic.fusion.rhs
    reached = quadratic.minimise(rhs, np.zeros_like(rhs), STEPS)
    goal = float(np.linalg.norm(rhs - quadratic.apply(reached)))
    residual, direction = rhs.copy(), rhs.copy()
    power, steps = float(np.vdot(residual, residual)), 0
    while power**0.5 > goal:
        image = quadratic.apply(direction)
        residual -= power / float(np.vdot(direction, image)) * image
        power, previous = float(np.vdot(residual, residual)), power
        direction = residual + power / previous * direction
        steps += 1
    return steps


if __name__ == "__main__":
    main()
