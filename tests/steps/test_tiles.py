"""The steps `plan`, `fuse` and `mosaic`, `verify` and `status` on a small scene with real stores."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.commands import status, verify
from pipeline.config.experiment import Estimation, Experiment, Noise, Tiling, load_experiment
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods import MethodEntry, build
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.methods.graph_subspace.settings import GraphSubspaceSettings
from pipeline.runs.fitted_store import fingerprint, read_fitted
from pipeline.runs.observation import read_scene
from pipeline.runs.paths import ExperimentFolder
from pipeline.steps import crop, download, estimate, fuse, mosaic, plan, simulate, train
from pipeline.store.files import read_json
from pipeline.store.schema import reference_dataset, scene_from
from pipeline.store.store import read_store, verify_store, write_store

ROOT = Path(__file__).resolve().parents[2]
SEED = 0


@dataclass(frozen=True)
class Run:
    """One run of a small experiment, step by step."""

    folder: Path
    settings: MethodEntry
    tiling: Tiling

    @property
    def observation(self) -> Path:
        return self.folder.parent / "observation.json"

    def inputs(self) -> dict[str, Path]:
        return {
            "observation": self.observation,
            "estimate": self.folder.parent / "estimate.json",
            "fitted": self.folder / "fitted.safetensors",
            "plan": self.folder / "plan.json",
        }

    def train(self) -> None:
        inputs = self.inputs()
        del inputs["plan"]
        train.run(**inputs | {"out": inputs.pop("fitted")}, settings=self.settings, seed=SEED)

    def plan(self, batches: int) -> None:
        chosen = plan.Settings(tiling=self.tiling, method=self.settings)
        plan.run(
            observation=self.observation,
            size=None,
            settings=chosen,
            batches=batches,
            out=self.inputs()["plan"],
        )

    def manifest(self, batch: int, batches: int) -> Path:
        return self.folder / "tiles" / f"{batch}-of-{batches}.json"

    def fuse(self, batch: int, batches: int) -> None:
        out = self.manifest(batch, batches)
        fuse.run(**self.inputs(), settings=self.settings, seed=SEED, out=out)

    def mosaic(self, batches: int) -> None:
        manifests = [self.manifest(batch, batches) for batch in range(1, batches + 1)]
        out = self.folder / "fused.json"
        mosaic.run(manifests, **self.inputs(), settings=self.settings, seed=SEED, out=out)

    def all(self, batches: int, order: list[int] | None = None) -> Path:
        self.plan(batches)
        for batch in order or range(1, batches + 1):
            self.fuse(batch, batches)
        self.mosaic(batches)
        return self.folder / "fused.zarr"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment's folder up to the trained method."""
    results = tmp_path_factory.mktemp("tiles")
    config = load_experiment(ROOT / "config/test/tiled.yaml")
    scene, response = config.scenes["synthetic"], config.responses["four_bands"]
    source, reference = results / "synthetic/source.json", results / "synthetic/reference.json"
    run = results / "synthetic/four_bands/seed0"
    download.run(settings=scene, out=source)
    crop.run(source=source, settings=scene, out=reference)
    chosen = simulate.Settings(response=response, noise=Noise())
    simulate.run(reference=reference, settings=chosen, seed=SEED, out=run / "observation.json")
    estimate.run(observation=run / "observation.json", settings=Estimation(), out=run / "estimate.json")
    train.run(
        observation=run / "observation.json",
        estimate=run / "estimate.json",
        settings=config.methods["gaussian_subspace"],
        seed=SEED,
        out=run / "gaussian_subspace/fitted.safetensors",
    )
    return results


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Run:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    config = load_experiment(ROOT / "config/test/tiled.yaml")
    folder = tmp_path / "synthetic/four_bands/seed0/gaussian_subspace"
    return Run(folder, config.methods["gaussian_subspace"], config.tiling)


@pytest.fixture
def uncertain(prepared: Path, tmp_path: Path) -> Run:
    """The same scene with a method that gives a standard deviation."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    settings = GraphSubspaceSettings(rounds=2, draws=2)
    tiling = load_experiment(ROOT / "config/test/tiled.yaml").tiling
    run = Run(tmp_path / "synthetic/four_bands/seed0/graph_subspace", settings, tiling)
    run.train()
    return run


def content(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def damaged(path: Path, position: int) -> None:
    changed = bytearray(path.read_bytes())
    changed[position % len(changed)] ^= 1
    path.write_bytes(changed)


@pytest.mark.long
def test_a_deviation_lies_beside_the_cube_however_it_is_divided(uncertain: Run) -> None:
    store = uncertain.all(1)
    whole = content(store)
    dataset = read_store(store)
    assert dataset.deviation.dims == dataset.fused.dims
    assert (dataset.deviation > 0).all()
    assert dataset.fused.attrs["ancillary_variables"] == "deviation"
    assert dataset.deviation.attrs["units"] == dataset.fused.attrs["units"]
    assert "deviation/c/0/0/0" in read_json(store.with_suffix(".json"))["files"]
    damaged(store / "deviation/c/0/0/0", 100)
    with pytest.raises(InputError, match=r"deviation/c/0/0/0 .* fuse these tiles anew"):
        uncertain.mosaic(1)
    shutil.rmtree(store)
    shutil.rmtree(uncertain.folder / "tiles")
    assert content(uncertain.all(3, [3, 1, 2])) == whole


def test_the_product_is_the_methods_cube(run: Run) -> None:
    store = run.all(3)
    dataset = read_store(store)
    assert dataset.sizes == {"band": 16, "y": 80, "x": 96}
    assert dataset.rio.crs.to_epsg() == 32633
    assert (dataset.mask == 1).all()
    scene = read_scene(run.observation, run.inputs()["estimate"])
    key = fingerprint(run.settings, SEED, run.observation, run.inputs()["estimate"])
    method = build(run.settings).restore(scene, read_fitted(run.inputs()["fitted"], key), SEED)
    np.testing.assert_allclose(dataset.fused, method.fuse(), atol=1e-4 * float(dataset.fused.max()))
    timing = read_json(run.folder / "fuse.timing.json")
    assert timing["seconds"]["compute"] > 0
    assert timing["step"] == "fuse"
    assert not list(run.folder.rglob("*.partial"))


@pytest.mark.long
def test_bytes_do_not_depend_on_batches_or_their_order(run: Run, tmp_path: Path) -> None:
    one = content(run.all(1))
    (run.folder / "fused.json").unlink()
    shutil.rmtree(run.folder / "fused.zarr")
    shutil.rmtree(run.folder / "tiles")
    assert content(run.all(5, order=[4, 1, 5, 3, 2])) == one


@pytest.mark.long
def test_dividing_the_tiles_anew_keeps_them(run: Run) -> None:
    store = run.all(2)
    before = {p: p.stat().st_mtime_ns for p in store.rglob("c/*/*") if p.is_file()}
    run.all(3)
    assert {p: p.stat().st_mtime_ns for p in store.rglob("c/*/*") if p.is_file()} == before


@pytest.mark.long
def test_another_setting_recomputes_every_tile(run: Run) -> None:
    first = content(run.all(2))
    other = replace(run, settings=GaussianSubspaceSettings(d=3))
    with pytest.raises(InputError, match="was fitted with other code, settings"):
        other.fuse(1, 2)
    other.train()
    with pytest.raises(InputError, match=r"1-of-2\.json: was of another run"):
        other.mosaic(2)
    second = content(other.all(2))
    assert second["fused/c/0/0/0"] != first["fused/c/0/0/0"]


def test_a_product_without_all_batches_is_not_completed(run: Run) -> None:
    run.plan(3)
    run.fuse(1, 3)
    run.fuse(3, 3)
    with pytest.raises(InputError, match=r"2-of-3\.json: no such file"):
        run.mosaic(3)
    out = run.folder / "fused.json"
    some = [run.manifest(1, 3), run.manifest(3, 3)]
    with pytest.raises(InputError, match="the manifests lack 20 of the plan's shards"):
        mosaic.run(some, **run.inputs(), settings=run.settings, seed=SEED, out=out)
    assert not out.exists()
    assert not (run.folder / "fused.zarr" / "zarr.json").exists()
    with pytest.raises(InputError, match=r"has batches 1 to 3, but 4-of-3\.json is batch 4 of 3"):
        run.fuse(4, 3)


def test_mosaic_sends_a_damaged_tile_back(run: Run) -> None:
    run.plan(3)
    for batch in (1, 2, 3):
        run.fuse(batch, 3)
    shard = run.folder / "fused.zarr/fused/c/0/2/1"
    whole = shard.read_bytes()
    damaged(shard, 1000)
    with pytest.raises(InputError, match=r"shard fused/c/0/2/1 was changed since it was written, 1 in all"):
        run.mosaic(3)
    assert [run.manifest(batch, 3).exists() for batch in (1, 2, 3)] == [True, False, True]
    others = {p: p.stat().st_mtime_ns for p in shard.parents[2].rglob("*") if p.is_file() and p != shard}
    run.fuse(2, 3)
    run.mosaic(3)
    assert shard.read_bytes() == whole
    assert all(p.stat().st_mtime_ns == time for p, time in others.items())


@pytest.mark.long
def test_tiles_without_data_are_neither_fused_nor_missing(run: Run, tmp_path: Path) -> None:
    folder = run.folder.parents[1] / "hole"
    config = load_experiment(ROOT / "config/test/tiled.yaml")
    scene = scene_from(read_store(run.folder.parents[2] / "reference.json"))
    scene.data[:, :32, :40] = np.nan
    here = folder / "four_bands" / "seed0"
    write_store(folder / "reference.zarr", reference_dataset(scene), {})
    chosen = simulate.Settings(response=config.responses["four_bands"], noise=Noise())
    simulate.run(
        reference=folder / "reference.json", settings=chosen, seed=SEED, out=here / "observation.json"
    )
    estimate.run(observation=here / "observation.json", settings=Estimation(), out=here / "estimate.json")
    holed = replace(run, folder=here / "gaussian_subspace")
    holed.train()
    store = holed.all(2)
    dataset = read_store(store)
    assert len(read_json(holed.manifest(1, 2))["shards"]) < 30
    assert not (store / "fused/c/0/0/0").exists()
    assert np.isnan(dataset.fused[:, :32, :36]).all()
    assert (dataset.mask.values == ~np.isnan(dataset.fused.values).all(axis=0)).all()
    assert np.isfinite(dataset.fused[:, 40:, 48:]).all()
    assert verify_store(store)[1] == []


def flips(folder: Path, count: int) -> Iterator[Path]:
    """Files of finished stores and their ledgers, larger ones more often, and each fitted method."""
    fitted = sorted(p for p in folder.rglob("fitted.safetensors") if ".train-" not in str(p))
    files = sorted(p for p in folder.rglob("*") if p.is_file() and ".zarr" in str(p))
    files += sorted(p for p in folder.rglob("*.json") if p.with_suffix(".zarr").is_dir())
    weights = [path.stat().st_size ** 0.5 for path in files]
    yield from fitted + random.Random(5).choices(files, weights, k=count - len(fitted))


@pytest.mark.long
def test_every_flipped_byte_is_named_and_none_is_used(run: Run) -> None:
    run.all(2)
    results = run.folder.parents[2]
    key = fingerprint(run.settings, SEED, run.observation, run.inputs()["estimate"])
    assert verify.run([results], withdraw=True)[1] == []
    kinds = set()
    for number, path in enumerate(flips(results, 50)):
        whole = path.read_bytes()
        damaged(path, 7919 * number)
        _, faults = verify.run([results], withdraw=False)
        assert len(faults) == 1, (path, faults)
        store = next((p for p in path.parents if p.suffix == ".zarr"), path)
        assert str(store) in faults[0]
        kinds.add(path.suffix)
        parts = path.relative_to(store).as_posix().split("/c/")
        if len(parts) == 2:
            assert f"array {parts[0]}, shard {parts[1]} was changed" in faults[0]
        path.write_bytes(whole)
        damaged(path, 7919 * number)
        with pytest.raises(InputError):
            read_fitted(path, key) if path.suffix == ".safetensors" else read_store(store).load()
        path.write_bytes(whole)
    assert {"", ".json", ".safetensors"} <= kinds


def test_verify_withdraws_what_is_damaged_and_a_rerun_repairs_it(run: Run) -> None:
    store = run.all(3)
    before = content(store)
    shard = store / "fused/c/0/3/3"
    damaged(shard, 500)
    (store / "mask/c/0/0").unlink()
    result = CliRunner().invoke(app, ["verify", str(store), "--keep"])
    assert result.exit_code == 1
    assert (run.folder / "fused.json").exists()
    result = CliRunner().invoke(app, ["verify", str(store)])
    *lines, total = result.output.splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "array fused, shard 0/3/3 was changed since the store was written",
        "array mask, shard 0/0 is missing since the store was written",
    ]
    assert total.endswith("files read, 2 damaged")
    assert not (run.folder / "fused.json").exists()
    gone = [batch for batch in (1, 2, 3) if not run.manifest(batch, 3).exists()]
    assert gone == [1, 3]
    for batch in gone:
        run.fuse(batch, 3)
    run.mosaic(3)
    assert content(store) == before


def test_a_finished_training_is_found_again(run: Run) -> None:
    fitted = run.inputs()["fitted"]
    whole = fitted.read_bytes()
    fitted.unlink()
    timing = fitted.with_name("train.timing.json")
    cost = timing.read_text()
    timing.unlink()
    run.train()
    assert fitted.read_bytes() == whole
    assert timing.read_text() == cost


def test_status_follows_the_tiles(run: Run) -> None:
    config = load_experiment(ROOT / "config/test/tiled.yaml")
    only = {"gaussian_subspace": config.methods["gaussian_subspace"]}
    speed = {"gaussian_subspace": 3600.0}
    tiling = config.tiling.model_copy(update={"seconds_per_megapixel": speed})
    config = Experiment.model_validate(config.model_dump() | {"methods": only, "tiling": tiling.model_dump()})
    run = replace(run, tiling=tiling)
    results = run.folder.parents[3]
    folder = ExperimentFolder(results, results / "logs")
    name = "synthetic/four_bands/seed0/gaussian_subspace"

    def first() -> str:
        return status.run(config, folder).splitlines()[0]

    assert first() == f"{name}: waits for its plan"
    run.plan(4)
    assert first() == f"{name}: 0 of 30 tiles, 0 of 4 batches done, 0 running"
    run.fuse(2, 4)
    assert first().startswith(f"{name}: 8 of 30 tiles, 1 of 4 batches done, 0 running, about ")
    journal = run.manifest(1, 4).with_suffix(".journal")
    journal.write_text("")
    assert "1 running" in first()
    os.utime(journal, (1, 1))
    assert "0 running" in first()
    run.all(4)
    assert first() == f"{name}: fused"
    (run.folder / "metrics.json").write_text(json.dumps({}))
    assert status.run(config, folder).splitlines() == [
        f"{name}: done",
        "tiled: 1 of 1 runs done, no report yet",
    ]
    run.inputs()["fitted"].unlink()
    assert first() == f"{name}: waits for training"


def test_tiles_are_fused_where_one_of_the_images_has_data() -> None:
    masks = {"mask": np.zeros((32, 48), np.uint8), "mask_lr": np.zeros((8, 12), np.uint8)}
    masks["mask"][:16, :16] = masks["mask_lr"][:4, 4:8] = 1
    dims = {"mask": ("y", "x"), "mask_lr": ("y_lr", "x_lr")}
    dataset = xr.Dataset({name: (dims[name], mask) for name, mask in masks.items()})
    holds_data = plan.DataMask(dataset, SpatialResponse.box(ratio=4))
    tiles = [holds_data(tile) for tile in Window(0, 32, 0, 48).split(16)]
    assert tiles == [True, True, False, False, False, False]
