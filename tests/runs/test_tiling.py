"""The tile plan: tiles own whole shards, every pixel once, in few jobs whatever the scene's size."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline.config.experiment import Experiment, Tiling, parse_experiment
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.runs.batches import batch_count, measured_speed, planned_batches
from pipeline.runs.paths import RunFolder, experiment_at
from pipeline.runs.tile_plan import TilePlan, plan_tiles
from pipeline.runs.tiles import read_plan, shards_of
from pipeline.steps import plan as plan_step
from pipeline.steps.plan import Settings, Size
from pipeline.store.files import write_record

sizes = st.integers(1, 300)


def settings(core: int | None = None, **tiling: object) -> Settings:
    return Settings.model_validate(
        {"tiling": {"core": core, **tiling}, "method": {"method": "gaussian_subspace"}}
    )


@examples(deadline=None)
@given(sizes, sizes, st.integers(1, 80), st.integers(0, 40), st.integers(1, 12))
def test_tiles_partition_the_scene_and_own_whole_shards(
    height: int, width: int, core: int, halo: int, batches: int
) -> None:
    plan = plan_tiles((height, width), core=core, halo=halo, batches=batches)
    covered = np.zeros((height, width), int)
    owned: list[str] = []
    for tile in map(plan.window, range(len(plan))):
        covered[tile.slices] += 1
        owned += shards_of(tile, core)
        for low, high, size in ((tile.y0, tile.y1, height), (tile.x0, tile.x1, width)):
            assert low % core == 0
            assert high % core == 0 or high == size
            assert high - low >= min(halo, core, size)
    assert (covered == 1).all()
    assert len(owned) == len(set(owned))
    assert set(np.unique(plan.batch)) <= set(range(batches))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 30))
def test_batches_are_contiguous_and_alike(rows: int, columns: int, batches: int) -> None:
    plan = plan_tiles((rows * 8, columns * 8), core=8, halo=0, batches=batches)
    assert (np.diff(plan.batch) >= 0).all()
    counts = np.bincount(plan.batch, minlength=batches)
    used = min(batches, len(plan))
    assert counts[:used].min() >= 1
    assert counts[:used].max() - counts[:used].min() <= 1


def test_tiles_without_data_are_left_out() -> None:
    plan = plan_tiles((64, 64), core=16, halo=4, batches=3, has_data=lambda tile: tile.y0 >= 32)
    assert len(plan) == 8
    assert plan.bounds[:, 0].min() == 32
    empty = plan_tiles((64, 64), core=16, halo=4, batches=3, has_data=lambda tile: False)
    assert len(empty) == 0
    assert list(empty.windows(0)) == []


def test_thin_tiles_join_their_neighbour() -> None:
    plan = plan_tiles((100, 64), core=32, halo=8, batches=1)
    assert [tile.y1 for tile in plan.windows(0)] == [32, 32, 64, 64, 100, 100]
    assert shards_of(Window(64, 100, 0, 32), 32) == {
        "fused/c/0/2/0", "fused/c/0/3/0", "mask/c/2/0", "mask/c/3/0"
    }  # fmt: skip


@given(st.floats(1e-3, 1e5), st.integers(1, 10**6), st.integers(1, 500))
def test_jobs_stay_below_their_bound(speed: float, side: int, most: int) -> None:
    count = batch_count((side, side), 512, speed, Tiling(max_jobs=most))
    assert 1 <= count <= most


def test_a_huge_scene_is_planned_in_seconds(tmp_path: Path) -> None:
    size = Size.model_validate(
        {"height": 100_000, "width": 100_000, "bands": 100, "spatial": {"kind": "bicubic", "ratio": 4}}
    )
    tracemalloc.start()
    start = perf_counter()
    out = tmp_path / "plan.json"
    line = plan_step.run(size=size, settings=settings(), out=out)
    assert perf_counter() - start < 60
    assert tracemalloc.get_traced_memory()[1] < 1e9
    tracemalloc.stop()
    plan = read_plan(out)
    assert line.startswith("38416 tiles of 512 x 512 pixels")
    assert len(plan) == 196**2
    assert plan.batches <= 200
    assert sum(path.stat().st_size for path in out.with_suffix(".zarr").rglob("*") if path.is_file()) < 1e6
    assert len(list(out.with_suffix(".zarr").rglob("*"))) < 30


def test_a_size_that_does_not_fit_the_ratio_is_refused(tmp_path: Path) -> None:
    size = Size.model_validate(
        {"height": 101, "width": 100, "bands": 10, "spatial": {"kind": "bicubic", "ratio": 4}}
    )
    with pytest.raises(InputError, match="101 HR pixels are not a whole number of LR pixels"):
        plan_step.run(size=size, settings=settings(), batches=1, out=tmp_path / "plan.json")
    assert not list(tmp_path.iterdir())


def experiment(**tiling: object) -> Experiment:
    return parse_experiment(
        {
            "experiment": "e",
            "scenes": {"s": {"source": {"kind": "synthetic", "height": 10_000, "width": 10_000}}},
            "responses": {
                "r": {
                    "spatial": {"kind": "bicubic", "ratio": 4},
                    "spectral": {"kind": "gaussian", "centres": [500], "fwhm": 50},
                }
            },
            "methods": {"bicubic": {}},
            "tiling": tiling,
        },
        "test",
    )


def finished(run: RunFolder, plan: TilePlan, seconds: float) -> None:
    write_record(run.timing("fuse"), {"seconds": {"compute": seconds - 30, "io": 30}})
    from pipeline.store.store import write_store

    write_store(run.plan.folder, plan_step.plan_dataset(plan), {})


def test_the_number_of_jobs_follows_speed_and_plan(tmp_path: Path) -> None:
    folder = experiment_at(tmp_path)
    run = folder.scene("s").images("r", 0).run("bicubic")
    minute_per_megapixel = experiment(seconds_per_megapixel={"bicubic": 60}, job_minutes=10, max_jobs=500)
    assert planned_batches(minute_per_megapixel, run) == 10
    bounded = experiment(seconds_per_megapixel={"bicubic": 60}, job_minutes=10, max_jobs=7)
    assert planned_batches(bounded, run) == 7

    # a speed measured in the same experiment holds where none is configured
    small = plan_tiles((1000, 1000), core=512, halo=0, batches=1)
    finished(folder.scene("t").images("r", 1).run("bicubic"), small, seconds=180)
    assert measured_speed(folder, "bicubic") == pytest.approx(180)
    assert planned_batches(experiment(job_minutes=60), run) == 5

    # a plan's own number holds, unless the settings of the tiling are no longer its own
    size = Size.model_validate(
        {"height": 10_000, "width": 10_000, "bands": 4, "spatial": {"kind": "bicubic", "ratio": 4}}
    )
    config = experiment(job_minutes=60)
    chosen = Settings(tiling=config.tiling, method=config.methods["bicubic"])
    plan_step.run(size=size, settings=chosen, batches=3, out=run.plan.ledger)
    assert planned_batches(config, run) == 3
    assert planned_batches(experiment(job_minutes=30), run) == 10


def test_a_core_that_does_not_fit_the_ratio_is_refused() -> None:
    with pytest.raises(InputError, match=r"tiling.core: 130 is not a multiple of 4.*use 132"):
        experiment(core=130)
    with pytest.raises(InputError, match=r"tiling.seconds_per_megapixel: \['cubic'\]"):
        experiment(seconds_per_megapixel={"cubic": 1})
