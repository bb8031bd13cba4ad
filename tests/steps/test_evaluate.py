"""The step `evaluate`: its JSON against the functions it calls, and runs it must refuse."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.core.quality.metrics import evaluate, measure
from pipeline.core.quality.reliability import reliability
from pipeline.core.quality.residuals import residuals
from pipeline.core.scene import Scene
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.report.numbers.tables import summary_csv, summary_row
from pipeline.steps import evaluate as step
from pipeline.store.files import read_record, write_record
from pipeline.store.schema import cube_dataset, observation_dataset, reference_dataset
from pipeline.store.store import write_store

R = np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.2, 0.3, 0.2, 0.3]])
SETTINGS = GaussianSubspaceSettings(d=4, seeds=[3])


@dataclass(frozen=True)
class Run:
    """A finished run on disk and what it was made from."""

    scene: Scene
    cube: np.ndarray
    folder: Path

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the step."""
        seed_folder = self.folder / "fields/oli/seed3"
        return {
            "reference": self.folder / "fields/reference.json",
            "observation": seed_folder / "observation.json",
            "fused": seed_folder / "mine/fused.json",
            "settings": SETTINGS,
            "out": seed_folder / "mine/metrics.json",
        }

    def evaluated(self) -> dict[str, Any]:
        """Run the step and read what it wrote."""
        step.run(**self.arguments)
        return read_record(self.arguments["out"])


def write_timing(folder: Path, name: str, compute: float, io: float, peak: float, **more: Any) -> None:
    content = {"step": name, "seconds": {"compute": compute, "io": io}, "peak_mem_mb": peak}
    content |= {"device": "cpu", "precision": "float64", "parameters": 0} | more
    write_record(folder / f"{name}.timing.json", content)


@pytest.fixture
def finished(small_scene: Scene, tmp_path: Path) -> Run:
    observation = simulate(
        small_scene.data, spectral_response=R, spatial_response=SpatialResponse.bicubic(ratio=4), seed=3
    )
    noise = np.random.default_rng(0).normal(0, 0.02, small_scene.data.shape)
    run = Run(small_scene, (small_scene.data + noise).astype(np.float32), tmp_path)
    files = run.arguments
    write_store(files["reference"].with_suffix(".zarr"), reference_dataset(small_scene), {})
    write_store(files["observation"].with_suffix(".zarr"), observation_dataset(observation, small_scene), {})
    write_store(files["fused"].with_suffix(".zarr"), cube_dataset(run.cube, small_scene), {})
    label = files["out"].parent
    write_timing(label.parent, "estimate", 0.5, 0.25, 300.0)
    write_timing(label, "train", 100.0, 1.0, 900.5, device="GPU", precision="bfloat16", parameters=12)
    write_timing(label, "fuse", 20.0, 2.0, 700.0, device="GPU", precision="bfloat16", parameters=12)
    return run


def test_the_json_holds_the_scores_of_the_stored_cubes(finished: Run) -> None:
    content = finished.evaluated()
    observation = simulate(
        finished.scene.data, spectral_response=R, spatial_response=SpatialResponse.bicubic(ratio=4), seed=3
    )
    expected = evaluate(finished.scene.data, finished.cube, ratio=4)
    per_band = expected.pop("per_band")
    levels, _ = measure(residuals(finished.cube, observation))
    assert content["metrics"] == pytest.approx(expected | levels, nan_ok=False)
    assert content["metrics"]["pixels_skipped"] == 2
    assert content["per_band"].pop("wavelength") == finished.scene.wavelength.tolist()  # type: ignore[union-attr]
    assert content["per_band"] == {name: pytest.approx(values) for name, values in per_band.items()}


def test_the_json_says_which_run_it_is_and_what_it_cost(finished: Run) -> None:
    content = finished.evaluated()
    expected = {
        "scene": "fields",
        "response": "oli",
        "label": "mine",
        "method": "gaussian_subspace",
        "seed": 3,
        "learns_from": "pair",
        "trained_on": "the pair",
    }
    expected |= {"peak_mem_mb": 900.5, "device": "GPU", "precision": "bfloat16", "parameters": 12}
    assert {key: content[key] for key in expected} == expected
    assert content["seconds"] == {"estimate": 0.5, "train": 100.0, "fuse": 20.0, "io": 3.25}
    assert content["settings"] == SETTINGS.deciding()
    assert content["provenance"]["seed"] == 3
    assert content["provenance"]["inputs"] == {
        f"{name}.json": sha256(finished.arguments[name].read_bytes()).hexdigest()
        for name in ("reference", "observation", "fused")
    }
    timing = read_record(finished.arguments["out"].with_name("evaluate.timing.json"))
    assert timing["step"] == "evaluate"
    assert timing["seconds"]["compute"] > 0


def test_the_report_reads_it(finished: Run) -> None:
    content = finished.evaluated()
    (row,) = csv.DictReader(io.StringIO(summary_csv([summary_row(content, "fields")])))
    assert row["method"] == "mine"
    assert float(row["psnr"]) == content["metrics"]["psnr"]
    assert float(row["residual_msi"]) == content["metrics"]["residual_msi"]
    assert float(row["seconds_train"]) == 100


def test_a_deviation_is_judged(finished: Run) -> None:
    deviation = np.full_like(finished.cube, 0.02)
    dataset = cube_dataset(finished.cube, finished.scene, deviation)
    write_store(finished.arguments["fused"].with_suffix(".zarr"), dataset, {})
    content = finished.evaluated()
    expected = reliability(finished.scene.data, finished.cube, deviation)
    assert content["metrics"]["coverage_90"] == pytest.approx(expected.coverage_90)
    assert content["metrics"]["coverage_90"] == pytest.approx(0.9, abs=0.02)
    assert content["metrics"]["rank_correlation"] is None  # a constant
    assert content["per_band"]["coverage_90"] == pytest.approx(expected.band_coverage_90)
    assert content["uncertainty"]["coverage"] == pytest.approx(expected.curves()["coverage"])


def test_a_second_run_gives_the_same_bytes(finished: Run) -> None:
    finished.evaluated()
    first = finished.arguments["out"].read_bytes()
    finished.evaluated()
    assert finished.arguments["out"].read_bytes() == first


@pytest.mark.parametrize("options", [{"scheduler": "synchronous"}, {"workers": 1}, {"workers": 3}])
def test_the_bytes_do_not_depend_on_who_computes(finished: Run, options: dict[str, Any]) -> None:
    finished.evaluated()
    first = finished.arguments["out"].read_bytes()
    step.run(**finished.arguments, **options)
    assert finished.arguments["out"].read_bytes() == first


def test_progress_is_shown(finished: Run, capfd: pytest.CaptureFixture[str]) -> None:
    finished.evaluated()
    lines = capfd.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["totals 1/1", "windows 1/1", "residuals 1/1"]


def test_the_command_takes_a_scheduler(finished: Run) -> None:
    arguments = {**finished.arguments, "settings": SETTINGS.model_dump_json(), "workers": 1}
    command = ["evaluate", *(part for name, value in arguments.items() for part in (f"--{name}", str(value)))]
    refused = CliRunner().invoke(app, [*command, "--scheduler", "slurm"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith(
        "pipeline evaluate: --scheduler: 'slurm' is unknown; use threads, synchronous"
    )
    assert not finished.arguments["out"].exists()
    assert CliRunner().invoke(app, [*command, "--scheduler", "synchronous"]).exit_code == 0
    written = finished.arguments["out"].read_bytes()
    finished.evaluated()
    assert finished.arguments["out"].read_bytes() == written


def test_without_wavelengths(finished: Run) -> None:
    bare = Scene(finished.scene.data)
    write_store(finished.arguments["fused"].with_suffix(".zarr"), cube_dataset(finished.cube, bare), {})
    assert finished.evaluated()["per_band"]["wavelength"] is None


@pytest.mark.parametrize("name", ["reference", "observation", "fused"])
def test_missing_and_tampered_stores_are_refused(finished: Run, name: str) -> None:
    ledger = finished.arguments[name]
    inner = next(path for path in ledger.with_suffix(".zarr").rglob("c/0/0/0"))
    inner.write_bytes(inner.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{name}\.zarr: array \w+, shard 0/0/0 was changed"):
        step.run(**finished.arguments)
    ledger.unlink()
    with pytest.raises(InputError, match=rf"{name}\.json: no such file"):
        step.run(**finished.arguments)
    assert not finished.arguments["out"].exists()


def test_a_cube_of_another_size_is_refused(finished: Run) -> None:
    other = cube_dataset(finished.cube[:, :-4], finished.scene)
    write_store(finished.arguments["fused"].with_suffix(".zarr"), other, {})
    with pytest.raises(
        InputError, match=r"cube: shape \(6, 36, 72\) does not match the reference's \(6, 40, 72\)"
    ):
        step.run(**finished.arguments)
    assert not finished.arguments["out"].exists()


def test_timings_must_be_there_and_whole(finished: Run) -> None:
    timing = finished.arguments["out"].with_name("train.timing.json")
    timing.write_text(timing.read_text().replace("precision", "exactness"))
    with pytest.raises(InputError, match=r"train\.timing\.json: was changed since it was written; run"):
        step.run(**finished.arguments)
    write_timing(timing.parent, "train", 1.0, 1.0, 1.0, exactness=3)
    with pytest.raises(InputError, match=r"train\.timing\.json: not the timing of the step train; delete it"):
        step.run(**finished.arguments)
    timing.unlink()
    with pytest.raises(InputError, match=r"train\.timing\.json: no such file"):
        step.run(**finished.arguments)
    assert not finished.arguments["out"].exists()
