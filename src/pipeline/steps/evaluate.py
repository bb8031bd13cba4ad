"""Step `evaluate`: one run's scores, with a reference and without, its residuals, and what it cost.

After `simulate`, only this step and the report's pictures open the reference. Scene, response and
label are the folders in which the run lies: `<scene>/<response>/seed<k>/<label>/`. Residuals are those
of the model that the methods were told, also where its H is not the true one. A pair is judged by what
needs no reference as well, and keeps maps of its residuals. No cube is loaded whole.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from pipeline.core.quality.comparison import compare
from pipeline.core.quality.metrics import measure, pixelwise_functions
from pipeline.core.quality.no_reference import no_reference
from pipeline.core.quality.reliability import reliability
from pipeline.core.quality.residuals import residuals
from pipeline.core.sensing.observation import ObservedScene
from pipeline.errors import InputError
from pipeline.methods import MethodEntry
from pipeline.runs.observation import read_scene
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.timing import Timing
from pipeline.runs.workers import reported, scheduled
from pipeline.store.files import read_json, write_json
from pipeline.store.schema import metadata_from, observed_scene, residual_dataset, variable_of
from pipeline.store.store import read_store, write_store


def run(
    *,
    observation: Path,
    fused: Path,
    settings: MethodEntry,
    seed: int,
    out: Path,
    reference: Path | None = None,
    estimate: Path | None = None,
    scheduler: str = "threads",
    workers: int = 2,
) -> None:
    """Write `metrics.json`, and for a pair `residuals.zarr` beside it.

    Parameters
    ----------
    observation, fused : Path
        Ledgers of the two stores.
    settings : MethodEntry
        The method's entry in the experiment.
    seed : int
        Noise seed of the observation.
    out : Path
        The JSON to write, in the run's folder, where `train` and `fuse` left their timings.
    reference : Path, optional
        Ledger of the reference, where there is one.
    estimate : Path, optional
        Ledger of what was estimated of a pair, of which nothing better is known.
    scheduler, workers : str, int
        Where the blocks are computed (see `pipeline.runs.workers`); the result is the same.
    """
    timing = Timing("evaluate")
    label, seed_folder, response, scene = out.resolve().parents[:4]
    spent = costs(estimate=seed_folder, train=label, fuse=label)
    inputs = [path for path in (reference, observation, fused, estimate) if path]
    with timing.measure("io"):
        made = _open(fused)
        cube = variable_of(made, "fused")
        deviation = variable_of(made, "deviation") if "deviation" in made else None
        seen = _seen(observation, estimate)
        truth = variable_of(_open(reference), "reference") if reference else None
        origin = provenance("evaluate", settings=settings, inputs=inputs, seed=seed)
    with timing.measure("compute"), ProgressReport() as progress, scheduled(scheduler, workers) as mapped:
        named = partial(reported, mapped, progress)
        evidence: list[Any] = []
        uncertainty: dict[str, Any] = {}
        if truth is not None:
            ratio, functions = seen.spatial_response.ratio, pixelwise_functions()
            blocks = named("totals", "windows")
            evidence.append(compare(truth, cube, ratio=ratio, pixelwise=functions, mapped=blocks))
        if truth is not None and deviation is not None:
            intervals = reliability(truth, cube, deviation, named("intervals"))
            uncertainty = intervals.curves()
            evidence.append(intervals)
        remainder = residuals(cube, seen, maps=bool(estimate), mapped=named("residuals"))
        evidence.append(remainder)
        if estimate:
            evidence.append(no_reference(cube, seen, mapped=named("quality")))
            write_store(
                out.with_name("residuals.zarr"),
                residual_dataset(*remainder.maps, _open(observation)),
                origin,
            )
        scores, per_band = measure(*evidence)
    wavelength = metadata_from(made).wavelength
    content = {
        "scene": scene.name,
        "response": response.name,
        "label": label.name,
        "method": settings.method,
        "seed": seed,
        "metrics": scores,
        "per_band": {"wavelength": None if wavelength is None else wavelength.tolist()} | per_band,
        "uncertainty": uncertainty,
        **spent,
        "settings": settings.deciding(),
        "provenance": origin,
    }
    with timing.measure("io"):
        write_json(out, content)
    timing.write(out.parent)


def _seen(observation: Path, estimate: Path | None) -> ObservedScene:
    """The scene as the methods were told of it, of a pair, or else as it truly is."""
    if estimate:
        return read_scene(observation.absolute(), estimate.absolute())
    return observed_scene(_open(observation))


def _open(ledger: Path) -> xr.Dataset:
    """A store by its absolute path, since a cluster's workers have their own folder."""
    return read_store(ledger.absolute())


def costs(**folders: Path) -> dict[str, Any]:
    """Seconds, peak memory and device of a run, from the timings that its steps left.

    Parameters
    ----------
    **folders : Path
        Step and the folder of its timing; the last step's device, precision and number of
        parameters are those of the run.
    """
    timings = {step: _timing(folder / f"{step}.timing.json", step) for step, folder in folders.items()}
    last = list(timings.values())[-1]
    compute = {step: timing["seconds"]["compute"] for step, timing in timings.items()}
    io = sum(timing["seconds"]["io"] for timing in timings.values())
    return {
        "seconds": compute | {"io": round(io, 6)},
        "peak_mem_mb": max(timing["peak_mem_mb"] for timing in timings.values()),
        **{name: last[name] for name in ("device", "precision", "parameters")},
    }


def _timing(path: Path, step: str) -> dict[str, Any]:
    timing = read_json(path)
    expected = {"step", "seconds", "peak_mem_mb", "device", "precision", "parameters"}
    if set(timing) != expected or timing["step"] != step or set(timing["seconds"]) != {"compute", "io"}:
        raise InputError(f"{path}: not the timing of the step {step}; delete it and run {step} again")
    return timing
