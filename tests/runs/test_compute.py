"""Schedulers: the same results in the same order from threads, a real cluster, and one after the other."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import LocalCluster

from pipeline.core.quality.metrics import evaluate, measure
from pipeline.core.quality.residuals import residuals
from pipeline.core.scene import Scene
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.runs import workers as compute
from pipeline.runs.workers import reported, scheduled
from pipeline.store.files import canonical_json
from pipeline.store.schema import cube_dataset, observation_dataset, observed_scene, reference_dataset
from pipeline.store.store import read_store, write_store

WINDOWS = list(Window(0, 40, 0, 50).split(10))
R = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.3, 0.7]])


def area_later(window: Window) -> tuple[int, int, int]:
    """Corner and area; earlier windows take longer."""
    time.sleep(0.002 * (WINDOWS[-1].y0 - window.y0))
    return window.y0, window.x0, (window.y1 - window.y0) * (window.x1 - window.x0)


def refused(window: Window) -> None:
    raise InputError(f"cube: {window.y0} is not what it should be")


def process(window: Window) -> int:
    return os.getpid()


def dies(window: Window) -> int:
    os._exit(1)


def dies_once(marker: Path, window: Window) -> int:
    """Kills its process the first time."""
    if window.y0 == 20 and not marker.exists():
        marker.touch()
        os._exit(1)
    return window.y0


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a scheduler with two worker processes."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as running:
        yield running.scheduler_address


@pytest.fixture(params=["synchronous", "threads", "cluster"])
def scheduler(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("cluster") if request.param == "cluster" else request.param


def test_results_come_in_order(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "IN_FLIGHT", 3)
    monkeypatch.setattr(compute, "PER_THREAD", 2)
    with scheduled(scheduler, workers=2) as mapped:
        assert list(mapped(area_later, WINDOWS)) == [(w.y0, w.x0, 100) for w in WINDOWS]
        assert list(mapped(area_later, [])) == []


def test_errors_of_a_block_reach_the_caller(scheduler: str) -> None:
    with (
        pytest.raises(InputError, match=r"cube: \d+ is not what it should be"),
        scheduled(scheduler) as mapped,
    ):
        list(mapped(refused, WINDOWS))


def test_few_blocks_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()

    def watched(window: Window) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return window.x0

    with scheduled("threads", workers=3) as mapped:
        list(mapped(watched, WINDOWS))
    assert 1 < most <= 3


def test_a_cluster_computes_in_its_own_processes(cluster: str) -> None:
    with scheduled(cluster) as mapped:
        pids = set(mapped(process, WINDOWS))
    assert os.getpid() not in pids


def test_a_lost_worker_is_made_up_for(cluster: str, tmp_path: Path) -> None:
    with scheduled(cluster) as mapped:
        rows = list(mapped(partial(dies_once, tmp_path / "died"), WINDOWS))
    assert (tmp_path / "died").exists()
    assert rows == [window.y0 for window in WINDOWS]


def test_workers_that_are_lost_again_and_again_are_one_line() -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as fragile,
        pytest.raises(InputError, match=r"--scheduler: the workers of tcp://.* were lost") as error,
        scheduled(fragile.scheduler_address) as mapped,
    ):
        list(mapped(dies, WINDOWS[:1]))
    assert "\n" not in str(error.value)


def test_progress_counts_each_phase() -> None:
    seen: list[tuple[str, int, int]] = []
    with scheduled("synchronous") as mapped:
        mapped = reported(mapped, lambda *step: seen.append(step), "first", "second")
        list(mapped(process, WINDOWS[:2]))
        list(mapped(process, WINDOWS[:1]))
    assert seen == [("first", 0, 2), ("first", 1, 2), ("first", 2, 2), ("second", 0, 1), ("second", 1, 1)]


@pytest.mark.parametrize("name", ["gpu", "", "127.0.0.1:8786", "http://127.0.0.1:8786"])
def test_unknown_schedulers_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"--scheduler: '{name}' is unknown; use threads"), scheduled(name):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://nowhere"])
def test_a_scheduler_that_does_not_answer_is_one_line(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute, "SECONDS_TO_CONNECT", 0.5)
    with (
        pytest.raises(InputError, match=f"no Dask scheduler answers at {address} ") as error,
        scheduled(address),
    ):
        pass
    assert "\n" not in str(error.value)


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """A scene of several blocks on disk, with no-data, and a cube and observation of it."""
    random = np.random.default_rng(7)
    scene = Scene(random.uniform(0.1, 0.6, (4, 152, 216)).astype(np.float32))
    observation = simulate(
        scene.data, spectral_response=R, spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=1)
    )
    cube = scene.data + random.normal(0, 0.02, scene.data.shape).astype(np.float32)
    cube[:, 70, 100:103] = np.nan
    write_store(tmp_path / "reference.zarr", reference_dataset(scene), {})
    write_store(tmp_path / "fused.zarr", cube_dataset(cube, scene), {})
    write_store(tmp_path / "observation.zarr", observation_dataset(observation, scene), {})
    return tmp_path


def scores(folder: Path, scheduler: str) -> str:
    """All scores of stores that are read where the blocks are computed."""
    reference = read_store(folder / "reference.json")["reference"]
    cube = read_store(folder / "fused.json")["fused"]
    scene = observed_scene(read_store(folder / "observation.json"))
    assert type(scene) is ObservedScene
    with scheduled(scheduler) as mapped:
        against_images, per_band = measure(residuals(cube, scene, mapped=mapped))
        return canonical_json([evaluate(reference, cube, ratio=4, mapped=mapped), against_images, per_band])


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.core.quality.comparison.block_side", lambda bands: 64)
    monkeypatch.setattr("pipeline.core.quality.residuals.block_side", lambda bands: 64)


@pytest.mark.usefixtures("small_blocks")
def test_scores_are_the_same_bytes_from_every_scheduler(stores: Path, scheduler: str) -> None:
    assert scores(stores, scheduler) == scores(stores, "synchronous")


@pytest.mark.usefixtures("small_blocks")
def test_a_damaged_shard_is_seen_by_whoever_reads_it(stores: Path, scheduler: str) -> None:
    shard = stores / "fused.zarr/fused/c/0/0/0"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"fused\.zarr: array fused, shard 0/0/0 was changed"):
        scores(stores, scheduler)
