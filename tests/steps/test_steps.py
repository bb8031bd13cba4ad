"""Each step on the smallest experiment: what it writes, what it refuses, and that it repeats itself."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import rasterio
from rich.console import Console

from pipeline.config.experiment import Estimation, Experiment, load_experiment
from pipeline.config.scenes import Crop, FileSource, SyntheticSource
from pipeline.config.scenes import Scene as SceneConfig
from pipeline.core.estimation.noise_levels import estimate_hsi_noise, matched_pixels
from pipeline.core.scene import Scene
from pipeline.core.sensing.simulation import simulate as core_simulate
from pipeline.core.subspace.completion import completed, learn_completion
from pipeline.errors import InputError
from pipeline.inputs.responses import read_response
from pipeline.methods import MethodEntry
from pipeline.methods.checkpoint import write_arrays
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.runs.fitted_store import fingerprint, read_fitted, write_fitted
from pipeline.runs.observation import read_completed_scene, read_scene
from pipeline.runs.progress import ProgressReport
from pipeline.steps import crop, download, estimate, fuse, mosaic, plan, simulate, train
from pipeline.store.files import read_json, read_record
from pipeline.store.schema import observation_from, reference_dataset, scene_from, valid_pixels
from pipeline.store.shards import journal_lines
from pipeline.store.store import read_store, write_store

TINY = Path(__file__).resolve().parents[2] / "config/test/tiny.yaml"


@dataclass(frozen=True)
class Run:
    """The steps of one scene, response and seed in a folder."""

    folder: Path
    experiment: Experiment

    def prepare(self, seed: int = 0) -> Run:
        """Run the steps up to `estimate`."""
        (scene,) = self.experiment.scenes.values()
        (response,) = self.experiment.responses.values()
        settings = simulate.Settings(response=response, noise=self.experiment.noise)
        download.run(settings=scene, out=self.folder / "source.json")
        crop.run(source=self.folder / "source.json", settings=scene, out=self.folder / "reference.json")
        simulate.run(
            reference=self.folder / "reference.json", settings=settings, seed=seed, out=self.observation
        )
        estimate.run(observation=self.observation, settings=self.experiment.estimation, out=self.estimate)
        return self

    @property
    def observation(self) -> Path:
        return self.folder / "observation.json"

    @property
    def estimate(self) -> Path:
        return self.folder / "estimate.json"

    def train(self, settings: MethodEntry, seed: int = 0) -> Path:
        out = self.folder / settings.method / "fitted.safetensors"
        train.run(observation=self.observation, estimate=self.estimate, settings=settings, seed=seed, out=out)
        return out

    def fuse(self, settings: MethodEntry, seed: int = 0) -> Path:
        """All tiles in one batch."""
        out = self.folder / settings.method / "fused.json"
        inputs = {
            "observation": self.observation,
            "estimate": self.estimate,
            "fitted": out.with_name("fitted.safetensors"),
            "plan": out.with_name("plan.json"),
            "settings": settings,
            "seed": seed,
        }
        chosen = plan.Settings(tiling=self.experiment.tiling, method=settings)
        plan.run(
            observation=self.observation,
            size=None,
            settings=chosen,
            batches=1,
            out=out.with_name("plan.json"),
        )
        manifest = out.parent / "tiles" / "1-of-1.json"
        fuse.run(**inputs, out=manifest)
        mosaic.run([manifest], **inputs, out=out)
        return out

    def digest(self, settings: MethodEntry, seed: int = 0) -> str:
        """Train and fuse from nothing; the fused store's digest."""
        shutil.rmtree(self.folder / settings.method, ignore_errors=True)
        self.train(settings, seed)
        return str(read_json(self.fuse(settings, seed))["digest"])


@pytest.fixture(scope="module")
def tiny() -> Experiment:
    return load_experiment(TINY)


@pytest.fixture(scope="module")
def prepared(tiny: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("steps"), tiny).prepare()


def test_each_step_leaves_store_ledger_and_timing(prepared: Run) -> None:
    for step, name in (("crop", "reference"), ("simulate", "observation"), ("estimate", "estimate")):
        dataset = read_store(prepared.folder / f"{name}.json")
        assert dataset.attrs["provenance"]["step"] == step
        timing = read_record(prepared.folder / f"{step}.timing.json")
        assert set(timing) == {"step", "seconds", "peak_mem_mb", "device", "precision", "parameters"}
        assert timing["seconds"]["io"] > 0
        assert 10 < timing["peak_mem_mb"] < 100_000
    assert not list(prepared.folder.glob(".*"))


def test_observation_holds_no_trace_of_the_reference(prepared: Run) -> None:
    dataset = read_store(prepared.observation)
    reference = read_store(prepared.folder / "reference.json")["reference"]
    assert dataset.sizes["y_lr"] * 4 == dataset.sizes["y"] == reference.sizes["y"]
    assert all(variable.shape != reference.shape for variable in dataset.data_vars.values())


@pytest.mark.parametrize(
    "label", ["bicubic", "gaussian_subspace", pytest.param("args_diff", marks=pytest.mark.long)]
)
def test_methods_repeat_themselves_and_follow_the_seed(prepared: Run, label: str) -> None:
    settings = prepared.experiment.methods[label]
    first = prepared.digest(settings)
    assert prepared.digest(settings) == first
    assert not list((prepared.folder / label).rglob("checkpoints"))
    cube = read_store(prepared.folder / label / "fused.json")["fused"]
    assert cube.shape == (16, 32, 32)
    assert bool(np.isfinite(cube).all())
    if label == "args_diff":
        assert prepared.digest(settings, seed=1) != first


def test_noise_seed_changes_the_observation(prepared: Run, tiny: Experiment, tmp_path: Path) -> None:
    other = Run(tmp_path, tiny).prepare(seed=1)
    assert read_json(other.observation)["digest"] != read_json(prepared.observation)["digest"]
    again = Run(tmp_path, tiny).prepare(seed=0)
    assert again.observation.read_bytes() == prepared.observation.read_bytes()


@pytest.fixture(scope="module")
def wide(tiny: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A reference of 3 x 2 shards with a hole, in a folder of its own."""
    run = Run(tmp_path_factory.mktemp("wide"), tiny)
    cube = np.cumsum(np.random.default_rng(0).random((6, 1100, 600), dtype=np.float32), axis=2) / 600
    cube[2, 500:530, 500:520] = np.nan
    scene = Scene(cube, wavelength=np.linspace(440, 860, 6), fwhm=np.full(6, 60.0))
    write_store(run.folder / "reference.zarr", reference_dataset(scene), {})
    return run


def simulate_settings(experiment: Experiment) -> simulate.Settings:
    (response,) = experiment.responses.values()
    return simulate.Settings(response=response, noise=experiment.noise)


@pytest.fixture(scope="module")
def observed(wide: Run) -> Run:
    """The observation of the wide scene, from an unbroken run."""
    settings = simulate_settings(wide.experiment)
    simulate.run(
        reference=wide.folder / "reference.json",
        settings=settings,
        seed=3,
        out=wide.folder / "observation.json",
    )
    return wide


def test_tiles_of_an_observation_are_those_of_the_whole_image(observed: Run) -> None:
    dataset = read_store(observed.observation)
    stored = observation_from(dataset)
    reference = scene_from(read_store(observed.folder / "reference.json"))
    settings = simulate_settings(observed.experiment)
    whole = core_simulate(
        reference.data,
        spectral_response=read_response(settings.response.spectral, reference.wavelength, reference.fwhm),
        spatial_response=settings.response.spatial.build(),
        snr_db=settings.noise.snr_db,
        seed=3,
    )
    for name in ("lr_hsi", "hr_msi", "sigma_hsi", "sigma_msi"):
        np.testing.assert_allclose(getattr(stored, name), getattr(whole, name), rtol=1e-6)
    np.testing.assert_array_equal(dataset["mask"], valid_pixels(whole.hr_msi))
    np.testing.assert_array_equal(dataset["mask_lr"], valid_pixels(whole.lr_hsi))
    assert len(list((observed.folder / "observation.zarr/hr_msi/c").rglob("?"))) == 1 + 3 + 6
    assert len(list((observed.folder / "observation.zarr/lr_hsi/c").rglob("?"))) == 1 + 3 + 6


SIMULATE = """
import sys
from pathlib import Path
from pipeline.steps import simulate

folder = Path(sys.argv[1])
settings = simulate.Settings.model_validate_json((folder / "settings.json").read_text())
simulate.run(
    reference=folder / "reference.json", settings=settings, seed=3, out=folder / "observation.json"
)
"""


@pytest.mark.long
def test_killed_simulation_keeps_its_tiles(observed: Run, tmp_path: Path) -> None:
    for name in ("reference.json", "reference.zarr"):
        (tmp_path / name).symlink_to(observed.folder / name)
    (tmp_path / "settings.json").write_text(simulate_settings(observed.experiment).model_dump_json())
    command = [sys.executable, "-c", SIMULATE, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(TINY.parents[2] / "src")}
    journal, ledger = tmp_path / "observation.journal", tmp_path / "observation.json"
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None and not (journal.exists() and "\n" in journal.read_text()):
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not ledger.exists()
    store, units = tmp_path / "observation.zarr", journal_lines(journal)
    finished = [store / shard for unit in units for shard in unit["shards"]]
    assert len(finished) in range(4, 24, 4)  # four rasters, six tiles
    before = [path.stat().st_ino for path in finished]
    subprocess.run(command, env=environment, check=True)
    assert [path.stat().st_ino for path in finished] == before
    assert ledger.read_bytes() == observed.observation.read_bytes()


def test_estimates_of_a_large_scene_come_from_the_store(observed: Run, tmp_path: Path) -> None:
    out = tmp_path / "estimate.json"
    estimate.run(observation=observed.observation, settings=Estimation(noise="estimated"), out=out)
    pair = observation_from(read_store(observed.observation))
    pixels = matched_pixels(completed(pair, learn_completion(pair)))
    np.testing.assert_allclose(read_store(out)["sigma_hsi"], estimate_hsi_noise(pixels), rtol=1e-9)


def test_missing_values_are_counted_and_their_models_kept(
    observed: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "estimate.json"
    with caplog.at_level("INFO"):
        estimate.run(observation=observed.observation, settings=Estimation(), out=out)
    said = read_store(out).attrs["missing"]
    assert said.startswith("missing: 0.")
    assert said in caplog.text
    scene = read_completed_scene(observed.observation, out)
    pair = scene.crop(scene.whole)
    measured = ~np.isnan(observation_from(read_store(observed.observation)).lr_hsi)
    assert pair.gaps is not None
    np.testing.assert_array_equal(pair.gaps.known_hsi, measured)
    assert not np.isnan(pair.lr_hsi[:, measured.any(axis=0)]).any()


def test_given_values_are_passed_on(prepared: Run) -> None:
    truth = observation_from(read_store(prepared.observation))
    seen = read_scene(prepared.observation, prepared.estimate)
    for name in ("spectral_response", "sigma_hsi", "sigma_msi", "lr_hsi", "hr_msi"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(truth, name))


def test_estimates_replace_the_truth(tiny: Experiment, tmp_path: Path) -> None:
    source = tiny.scenes["synthetic"].source
    assert isinstance(source, SyntheticSource)
    larger = SceneConfig(source=source.model_copy(update={"height": 64, "width": 64}))
    run = Run(tmp_path, tiny.model_copy(update={"scenes": {"larger": larger}})).prepare()
    settings = Estimation(spectral_response="estimated", noise="estimated")
    out = tmp_path / "estimated/estimate.json"
    estimate.run(observation=run.observation, settings=settings, out=out)
    truth = observation_from(read_store(run.observation))
    seen = read_scene(run.observation, out)
    assert not np.array_equal(seen.spectral_response, truth.spectral_response)
    np.testing.assert_allclose(seen.spectral_response.sum(axis=1), 1, atol=1e-6)
    assert 0.5 < seen.sigma_hsi.mean() / truth.sigma_hsi.mean() < 2
    gain = np.asarray(read_store(out)["gain"])[:, None, None]  # R sums to one, the gain takes up the rest
    np.testing.assert_allclose(gain, 1, atol=0.05)
    np.testing.assert_allclose(gain * seen.hr_msi[:, :, :], truth.hr_msi, rtol=1e-5)


def test_fingerprint_covers_settings_seed_and_inputs_but_not_the_list_of_seeds(
    prepared: Run, tiny: Experiment, tmp_path: Path
) -> None:
    inputs = (prepared.observation, prepared.estimate)
    base = fingerprint(GaussianSubspaceSettings(d=4), 0, *inputs)
    assert base == fingerprint(GaussianSubspaceSettings(d=4, seeds=[0, 1]), 0, *inputs)
    other = Run(tmp_path, tiny).prepare(seed=1)
    estimated = tmp_path / "estimated/estimate.json"
    estimate.run(observation=prepared.observation, settings=Estimation(noise="estimated"), out=estimated)
    others = [
        fingerprint(GaussianSubspaceSettings(d=5), 0, *inputs),
        fingerprint(GaussianSubspaceSettings(d=4), 1, *inputs),
        fingerprint(GaussianSubspaceSettings(d=4), 0, other.observation, prepared.estimate),
        fingerprint(GaussianSubspaceSettings(d=4), 0, prepared.observation, estimated),
    ]
    assert len({base, *others}) == 5


def test_fitted_method_of_other_settings_is_refused(prepared: Run, tmp_path: Path) -> None:
    fitted = prepared.train(GaussianSubspaceSettings(d=4))
    with pytest.raises(InputError, match="was fitted with other code, settings or another observation"):
        prepared.fuse(GaussianSubspaceSettings(d=3))
    with pytest.raises(InputError, match="was fitted with other code, settings"):
        prepared.fuse(GaussianSubspaceSettings(d=4), seed=1)
    damaged = tmp_path / "fitted.safetensors"
    damaged.write_bytes(fitted.read_bytes()[:-10])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        read_fitted(damaged, "")
    with pytest.raises(InputError, match="no such file"):
        read_fitted(tmp_path / "none.safetensors", "")
    write_arrays(damaged, {}, {"made by": "another program"})
    with pytest.raises(InputError, match="was changed since `train` wrote it"):
        read_fitted(damaged, "")


def test_tampered_observation_is_refused_and_nothing_is_written(prepared: Run, tmp_path: Path) -> None:
    for name in ("observation", "estimate"):
        shutil.copy(prepared.folder / f"{name}.json", tmp_path)
        shutil.copytree(prepared.folder / f"{name}.zarr", tmp_path / f"{name}.zarr")
    changed = Run(tmp_path, prepared.experiment)
    shard = next(path for path in (tmp_path / "observation.zarr/lr_hsi/c").rglob("*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-1] + b"!")
    with pytest.raises(InputError, match="was changed since the store was written"):
        changed.train(GaussianSubspaceSettings())
    assert not (tmp_path / "gaussian_subspace").exists()


def test_file_source_is_recorded_and_cropped(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).random((12, 14, 5), dtype=np.float32)
    path = tmp_path / "scene.npz"
    np.savez(path, cube=cube)
    source = FileSource(kind="file", path=str(path), variable="cube", axes="y,x,band")
    record = tmp_path / "source.json"
    download.run(settings=SceneConfig(source=source), out=record)
    content = read_json(record)
    assert content["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert content["bytes"] == path.stat().st_size
    settings = SceneConfig(source=source, crop=Crop(height=8, width=8, at=(1, 2)))
    crop.run(source=record, settings=settings, out=tmp_path / "reference.json")
    stored = read_store(tmp_path / "reference.json")["reference"]
    np.testing.assert_array_equal(stored, cube[1:9, 2:10].transpose(2, 0, 1))
    np.savez(path, cube=cube + 1)
    with pytest.raises(InputError, match="sha256"):
        crop.run(source=record, settings=settings, out=tmp_path / "other.json")
    assert not list(tmp_path.glob("*other*"))


def test_crop_of_a_raster_keeps_its_place_and_its_gaps(tmp_path: Path) -> None:
    cube = np.random.default_rng(0).random((3, 90, 80), dtype=np.float32)
    cube[1, 20, 30], cube[:, 21, 31] = -1, -1
    path = tmp_path / "scene.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=90, width=80, dtype="float32", nodata=-1,
        crs="EPSG:32633", transform=rasterio.Affine(10, 0, 366_000, 0, -10, 5_800_000),
    ) as file:  # fmt: skip
        file.write(cube)
    source = FileSource(kind="file", path=str(path))
    download.run(settings=SceneConfig(source=source), out=tmp_path / "source.json")
    settings = SceneConfig(source=source, crop=Crop(height=70, width=66, at=(13, 9)))
    crop.run(source=tmp_path / "source.json", settings=settings, out=tmp_path / "reference.json")
    stored = read_store(tmp_path / "reference.json")
    wanted = np.where(cube == -1, np.nan, cube)[:, 13:83, 9:75]
    np.testing.assert_array_equal(stored["reference"], wanted)
    np.testing.assert_array_equal(stored["mask"], np.isfinite(wanted).any(axis=0))
    assert stored["mask"].values.sum() == 70 * 66 - 1
    assert stored.rio.crs.to_epsg() == 32633
    assert stored.rio.transform() == rasterio.Affine(10, 0, 366_090, 0, -10, 5_799_870)


def test_crop_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    source = SyntheticSource(kind="synthetic", height=20, width=30, bands=4)
    download.run(settings=SceneConfig(source=source), out=tmp_path / "source.json")
    settings = SceneConfig(source=source, crop=Crop(height=8, width=8, at=(13, 0)))
    with pytest.raises(InputError, match="last possible corner is row 12, column 22"):
        crop.run(source=tmp_path / "source.json", settings=settings, out=tmp_path / "reference.json")
    assert not list(tmp_path.glob("*reference*"))


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file of the reference and its ledger."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in [folder / "reference.json", *(folder / "reference.zarr").rglob("*")]
        if path.is_file()
    }


@pytest.mark.long
def test_killed_crop_goes_on_where_it_was(tmp_path: Path) -> None:
    y, x, band = np.ogrid[:1600, :1500, :20]
    cube = ((31 * y + 17 * x + 7 * band) % 251).astype(np.uint8)
    np.save(tmp_path / "scene.npy", cube)
    source = FileSource(kind="file", path=str(tmp_path / "scene.npy"), scale=256)
    settings = SceneConfig(source=source, crop=Crop(height=1500, width=1480, at=(37, 11)))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        download.run(settings=SceneConfig(source=source), out=folder / "source.json")
    lines = """
        import sys
        from pathlib import Path
        from pipeline.config.scenes import Scene
        from pipeline.steps import crop
        folder, settings = Path(sys.argv[1]), Scene.model_validate_json(sys.argv[2])
        crop.run(source=folder / "source.json", settings=settings, out=folder / "reference.json")
    """
    program = [sys.executable, "-c", dedent(lines), str(killed), settings.model_dump_json()]
    journal = killed / "reference.journal"
    environment = os.environ | {"PYTHONPATH": str(Path(crop.__file__).parents[2])}
    process = subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()

    finished = {key for line in journal_lines(journal) for key in line["shards"]}
    assert 8 <= len(finished) < 18  # of 9 windows of cube and mask
    assert not (killed / "reference.json").exists()
    before = {key: (killed / "reference.zarr" / key).stat() for key in finished}
    crop.run(source=killed / "source.json", settings=settings, out=killed / "reference.json")
    for key, stat in before.items():
        after = (killed / "reference.zarr" / key).stat()
        assert (after.st_ino, after.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)

    crop.run(source=whole / "source.json", settings=settings, out=whole / "reference.json")
    assert content_of(killed) == content_of(whole)
    stored = read_store(whole / "reference.json")["reference"].values
    assert (stored == cube[37:1537, 11:1491].transpose(2, 0, 1) / np.float32(256)).all()


def test_synthetic_source_is_its_parameters(tmp_path: Path) -> None:
    source = SyntheticSource(kind="synthetic", height=8, width=8, bands=4)
    download.run(settings=SceneConfig(source=source), out=tmp_path / "source.json")
    assert read_record(tmp_path / "source.json") == json.loads(source.model_dump_json())


def test_folder_is_not_a_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a known product nor GeoTIFF tiles"):
        download.run(
            settings=SceneConfig(source=FileSource(kind="file", path=str(tmp_path))),
            out=tmp_path / "source.json",
        )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a server on this machine that offers one file."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "scene.bin").write_bytes(b"a scene")
    (folder / "page.mat").write_text("<!DOCTYPE html><title>Moved</title>")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_missing_file_is_fetched_and_verified(server: str, tmp_path: Path) -> None:
    digest = sha256(b"a scene").hexdigest()
    path = tmp_path / "data/scene.bin"
    source = FileSource(kind="file", path=str(path), url=f"{server}/scene.bin", sha256=digest)
    download.run(settings=SceneConfig(source=source), out=tmp_path / "source.json")
    assert path.read_bytes() == b"a scene"
    assert read_json(tmp_path / "source.json")["sha256"] == digest


@pytest.mark.parametrize(("name", "digest"), [("scene.bin", "0" * 64), ("none.bin", None)])
def test_failed_fetch_leaves_nothing(server: str, tmp_path: Path, name: str, digest: str | None) -> None:
    path = tmp_path / "data/scene.bin"
    source = FileSource(kind="file", path=str(path), url=f"{server}/{name}", sha256=digest)
    with pytest.raises(InputError, match=r"could not be fetched|has sha256") as caught:
        download.run(settings=SceneConfig(source=source), out=tmp_path / "source.json")
    assert "\n" not in str(caught.value)
    assert not path.exists()
    assert not (tmp_path / "source.json").exists()


def test_fetched_web_page_is_not_kept(server: str, tmp_path: Path) -> None:
    path = tmp_path / "data/page.mat"
    source = FileSource(kind="file", path=str(path), url=f"{server}/page.mat")
    with pytest.raises(
        InputError,
        match=r"answered by a web page, not data; fetch it by other means and put it at .*page\.mat",
    ):
        download.run(settings=SceneConfig(source=source), out=tmp_path / "source.json")
    assert not path.exists()


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fitted.safetensors"
    write_fitted(path, {"basis": np.ones((2, 3))}, {"fingerprint": "f"})
    assert read_fitted(path, "f")["basis"].sum() == 6
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="was changed since `train` wrote it"):
        read_fitted(path, "f")


def test_local_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.bin"
    path.write_bytes(b"another scene")
    source = FileSource(kind="file", path=str(path), sha256="0" * 64)
    with pytest.raises(InputError, match="but the configuration asks for 000"):
        download.run(settings=SceneConfig(source=source), out=tmp_path / "source.json")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_loss_and_time_left(terminal: bool) -> None:
    console = Console(record=True, force_terminal=terminal, width=100, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with ProgressReport(console) as progress:
        for done in range(1, 11):
            progress("spatial", done, 10, 0.25)
    text = console.export_text()
    assert "spatial" in text
    assert "loss 0.25" in text
    assert "10/10" in text
