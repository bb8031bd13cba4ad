"""Step `evaluate`: score a fused cube against the observation and, where there is one, the reference.

Metrics, residuals, time and memory of the run go into `metrics.json`. After `simulate`, only this step and
the report's pictures open the reference. Residuals are computed with the responses that the method was given,
even if that H is not the true one. A pair is also scored by measures that need no reference,
and maps of its residuals are kept. No cube is loaded whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import PositiveInt

from pipeline.core.quality.blockwise import Mapped
from pipeline.core.quality.comparison import compare
from pipeline.core.quality.metrics import measure, pixelwise_functions
from pipeline.core.quality.no_reference import no_reference
from pipeline.core.quality.residuals import residuals
from pipeline.core.sensing.observation import ObservedScene
from pipeline.errors import InputError
from pipeline.methods import MethodEntry
from pipeline.methods.supervised import Region
from pipeline.runs.observation import read_completed_scene, read_scene
from pipeline.runs.paths import run_folder
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import check_origin, provenance
from pipeline.runs.timing import Timing
from pipeline.runs.workers import reported, scheduled
from pipeline.store.files import read_record, write_record
from pipeline.store.schema import metadata_from, observed_scene, residual_dataset, variable_of
from pipeline.store.store import read_store, write_store

Named = Callable[..., Mapped]
"""Takes the names of the phases that are shown, and gives a `map` over blocks that shows them."""


def run(
    *,
    observation: Path,
    fused: Path,
    settings: MethodEntry,
    out: Path,
    reference: Path | None = None,
    estimate: Path | None = None,
    unscored: list[Region] | None = None,
    scheduler: str = "threads",
    workers: PositiveInt = 2,
) -> None:
    """Write `metrics.json`, and for a pair `residuals.zarr` beside it.

    Parameters
    ----------
    observation : Path
        Ledger of the observation.
    fused : Path
        Ledger of the fused cube.
    settings : MethodEntry
        The method's entry in the experiment.
    out : Path
        The JSON to write, in the run's folder, where `train` and `fuse` left their timings.
    reference : Path, optional
        Ledger of the reference, where there is one.
    estimate : Path, optional
        Ledger of the estimated responses and noise levels of a pair, whose true ones are not known.
    unscored : list of Region, optional
        Parts of the scene that no metric counts, since a method of the experiment is trained on them.
    scheduler : str
        Where blocks are computed: threads, synchronous, or tcp://host:port of a running Dask scheduler.
    workers : int
        Number of threads that compute blocks.

    Raises
    ------
    InputError
        A store is missing or damaged, or was made with other settings, seed or inputs than those given.
    """
    timing = Timing("evaluate")
    place = run_folder(out)
    seconds = costs(estimate=place.images.path, train=place.path, fuse=place.path)
    with timing.measure("io"):
        run = OpenRun.open(fused, observation, estimate, reference, unscored or ())
        seed = int(place.images.seed)
        _check_origins(fused, observation, reference, settings, seed)
        inputs = [path for path in (reference, observation, fused, estimate) if path]
        origin = provenance("evaluate", settings=settings, inputs=inputs, seed=seed)
    with timing.measure("compute"), ProgressReport() as progress, scheduled(scheduler, workers) as mapped:
        named = partial(reported, mapped, progress)
        evidence, uncertainty = against_reference(run, named)
        remainder = residuals(run.cube, run.scene, maps=bool(estimate), mapped=named("residuals"))
        evidence.append(remainder)
        if estimate:
            # its windows need all bands of a pixel: those that were not measured are estimated
            filled = read_completed_scene(observation.absolute(), estimate.absolute())
            evidence.append(no_reference(run.cube, filled, mapped=named("quality")))
            write_store(place.residuals.folder, residual_dataset(*remainder.maps, _open(observation)), origin)
        scores, per_band = measure(*evidence)
    content = {
        **{"scene": place.scene.name, "response": place.images.response, "label": place.label},
        **{"method": settings.method, "seed": place.images.seed, "settings": settings.deciding()},
        **{"learns_from": settings.learns_from, "trained_on": settings.trained_on},
        **{"metrics": scores, "per_band": {"wavelength": run.wavelength} | per_band},
        **{"uncertainty": uncertainty, "provenance": origin},
        **seconds,
    }
    with timing.measure("io"):
        write_record(out, content)
    timing.write(out.parent)


@dataclass(frozen=True)
class OpenRun:
    """The opened stores of a run.

    Attributes
    ----------
    cube : (C, H, W) array
        The fused cube.
    deviation : (C, H, W) array or None
        Standard deviation of the truth about the cube, of the methods that give one.
    scene : ObservedScene
        The observation with its true responses, of a pair with the estimated ones.
    truth : (C, H, W) array or None
        The reference, where there is one.
    wavelength : list of float or None
        Band centres in nm.
    """

    cube: xr.DataArray
    deviation: xr.DataArray | None
    scene: ObservedScene
    truth: xr.DataArray | PartlyScored | None
    wavelength: list[float] | None

    @classmethod
    def open(
        cls,
        fused: Path,
        observation: Path,
        estimate: Path | None,
        reference: Path | None,
        unscored: Sequence[Region] = (),
    ) -> OpenRun:
        """Open the stores of a run.

        Parameters
        ----------
        fused, observation : Path
            Ledgers of the fused cube and of the observation.
        estimate : Path or None
            Ledger of the estimated responses, of a pair.
        reference : Path or None
            Ledger of the reference, where there is one.
        unscored : sequence of Region
            Parts of the scene in which the reference is no-data.
        """
        made = _open(fused)
        wavelength = metadata_from(made).wavelength
        scene = (
            read_scene(observation.absolute(), estimate.absolute())
            if estimate
            else observed_scene(_open(observation))
        )
        return cls(
            variable_of(made, "fused"),
            variable_of(made, "deviation") if "deviation" in made else None,
            scene,
            _truth(reference, unscored) if reference else None,
            None if wavelength is None else wavelength.tolist(),
        )


@dataclass(frozen=True)
class PartlyScored:
    """A reference that is no-data in parts of the scene.

    Attributes
    ----------
    reference : (C, H, W) array
        The reference, which stays in its store.
    unscored : sequence of Region
        The parts; they may reach beyond the scene.

    Raises
    ------
    InputError
        The parts cover the whole scene.
    """

    reference: xr.DataArray
    unscored: Sequence[Region]

    def __post_init__(self) -> None:
        _, height, width = self.shape
        # a pixel that counts can be moved up and left until it meets the border or the end of a part
        ends = [(region.window.y1, region.window.x1) for region in self.unscored]
        rows, columns = (np.array([0, *of_axis]) for of_axis in zip(*ends, strict=True))
        if not self._scored(rows[rows < height], columns[columns < width]).any():
            raise InputError(
                "evaluate: the regions on which methods are trained, with their margins, cover the whole "
                f"scene of {height}x{width} pixels; train on a smaller region, or on other scenes"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes (band, y, x)."""
        return self.reference.shape

    def __getitem__(self, key: tuple[Any, slice, slice]) -> NDArray[Any]:
        """Read the values of a window, given by its bands and two slices."""
        bands, rows, columns = key
        values = np.asarray(self.reference[bands, rows, columns])
        _, height, width = self.shape
        scored = self._scored(np.arange(height)[rows], np.arange(width)[columns])
        return np.where(scored, values, np.float32("nan"))

    def _scored(self, rows: NDArray[np.int_], columns: NDArray[np.int_]) -> NDArray[np.bool_]:
        """Mark the pixels that count where rows and columns cross."""
        counts = np.ones((len(rows), len(columns)), bool)
        for region in self.unscored:
            window = region.window
            inside_y = (window.y0 <= rows) & (rows < window.y1)
            counts &= ~np.outer(inside_y, (window.x0 <= columns) & (columns < window.x1))
        return counts


def against_reference(run: OpenRun, named: Named) -> tuple[list[Any], dict[str, Any]]:
    """Compare a cube and its standard deviation with the reference, where there is one.

    Parameters
    ----------
    run : OpenRun
        The opened stores.
    named : callable
        Gives a `map` over blocks whose phases have the given names.

    Returns
    -------
    evidence : list
        Quantities from which the metrics are computed; empty without a reference.
    uncertainty : dict
        Curves of the standard deviation's reliability; empty without a deviation.
    """
    if run.truth is None:
        return [], {}
    comparison = compare(
        run.truth,
        run.cube,
        ratio=run.scene.spatial_response.ratio,
        pixelwise=pixelwise_functions(),
        deviation=run.deviation,
        mapped=named("totals", "windows"),
    )
    if comparison.intervals is None:
        return [comparison], {}
    return [comparison, comparison.intervals], comparison.intervals.curves()


def _truth(ledger: Path, unscored: Sequence[Region]) -> xr.DataArray | PartlyScored:
    """Open the reference, without the parts that no metric counts."""
    truth = variable_of(_open(ledger), "reference")
    return PartlyScored(truth, unscored) if unscored else truth


def _check_origins(
    fused: Path, observation: Path, reference: Path | None, settings: MethodEntry, seed: int
) -> None:
    """Refuse stores of other runs that lie in the places of this run's."""
    check_origin(fused, _origin(fused), inputs=[observation], settings=settings, seed=seed)
    if reference is None:
        return
    for result, other in ((observation, reference), (reference, observation)):
        origin = _origin(result)
        if origin.get("step") in ("simulate", "clip"):  # others are made from another scene
            check_origin(result, origin, inputs=[other])


def _origin(ledger: Path) -> dict[str, Any]:
    return dict(_open(ledger).attrs.get("provenance", {}))


def _open(ledger: Path) -> xr.Dataset:
    """Open a store by its absolute path, since a cluster's workers have their own folder."""
    return read_store(ledger.absolute())


def costs(**folders: Path) -> dict[str, Any]:
    """Return seconds, peak memory and device of a run, from the timings that its steps left.

    Parameters
    ----------
    **folders : Path
        Step and the folder of its timing; device, precision and number of parameters of
        the run are taken from the last step.
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
    timing = read_record(path)
    expected = {"step", "seconds", "peak_mem_mb", "device", "precision", "parameters"}
    if set(timing) != expected or timing["step"] != step or set(timing["seconds"]) != {"compute", "io"}:
        raise InputError(f"{path}: not the timing of the step {step}; delete it and run {step} again")
    return timing
