"""`pipeline verify` on a finished experiment: what is changed, lost or exchanged is named and withdrawn."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from command import call, refusal
from pipeline.commands import verify
from pipeline.config.experiment import Experiment
from pipeline.runs import adoption
from pipeline.runs.paths import ExperimentFolder, experiment_at
from pipeline.runs.step_settings import step_settings
from pipeline.store.files import read_record, write_record
from whole_experiment import run_all

RUN = "field/msi/seed0/first"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, ExperimentFolder]:
    return run_all(tmp_path_factory.mktemp("results") / "small")


@pytest.fixture
def folder(finished: tuple[Experiment, ExperimentFolder], tmp_path: Path) -> Path:
    """A copy of the results, which a test may damage."""
    shutil.copytree(finished[1].path, tmp_path / "small")
    return tmp_path / "small"


def test_a_finished_experiment_is_whole(folder: Path) -> None:
    checked, faults = verify.run([folder], withdraw=True)
    assert faults == []
    assert checked > 60
    files = read_record(folder / "report.json")["made_from"]
    assert {f"{RUN}/{name}" for name in ("fitted.safetensors", "tiles/1-of-1.json", "train.timing.json")} <= {
        *files
    }
    assert {"field/source.json", "field/crop.timing.json", f"{RUN}/metrics.json"} <= {*files}


def test_the_report_says_what_became_of_the_products(folder: Path) -> None:
    assert "cubes as float32; no value was clipped" in (folder / "report.html").read_text()


def digit(path: Path) -> None:
    """Change one digit."""
    text = path.read_text()
    at = next(
        re.finditer(r"\d\.\d", text) if re.search(r"\d\.\d", text) else re.finditer(r"\d", text)
    ).start()
    path.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_a_key(path: Path) -> None:
    content = json.loads(path.read_text())
    del content[min(content)]
    path.write_text(json.dumps(content))


def of_another_type(path: Path) -> None:
    """Lists in place of all objects, and a digest that fits."""
    write_record(path, {key: [1] for key in read_record(path)})


def nested(path: Path) -> None:
    path.write_text("[" * 100_000)


def not_a_number(path: Path) -> None:
    path.write_text('{"files": NaN}')


RECORDS = (
    "product.json",
    "metrics.json",
    "tiles/1-of-1.json",
    "train.timing.json",
    "tiles/1-of-1.timing.json",
)


@pytest.mark.parametrize("harm", [digit, cut, without_a_key, nested, not_a_number])
@pytest.mark.parametrize("name", [*(f"{RUN}/{name}" for name in RECORDS), "field/source.json", "report.json"])
def test_a_changed_record_is_named_once_and_withdrawn(
    folder: Path, name: str, harm: Callable[[Path], None]
) -> None:
    harm(folder / name)
    (fault,) = verify.run([folder], withdraw=True)[1]
    assert fault.startswith(f"{folder / name}: ")
    assert not (folder / name).exists()


def test_damage_does_not_hide_other_damage(folder: Path) -> None:
    of_another_type(folder / RUN / "product.json")
    shard = folder / "field/msi/seed0/bicubic/fused.zarr/fused/c/0/0/0"
    shard.write_bytes(b"")
    digit(folder / "report.html")
    digit(folder / "summary.csv")
    (folder / RUN / "fitted.safetensors").unlink()
    (folder / RUN / "tiles/1-of-1.json").unlink()
    result = call("verify", folder)
    assert result.exit_code == 1
    *lines, total = result.output.splitlines()
    assert sorted(line.removeprefix(f"{folder}/") for line in lines) == [
        "field/msi/seed0/bicubic/fused.zarr: array fused, shard 0/0/0 was changed since the store was "
        "written",
        f"{RUN}/fitted.safetensors: is missing, but report.json was made from it",
        f"{RUN}/product.json: does not have the content that the pipeline writes",
        f"{RUN}/tiles/1-of-1.json: is missing, but report.json was made from it",
        "report.html: was changed",
        "summary.csv: was changed",
    ]
    assert total.endswith("6 damaged")
    gone = ("report.json", f"{RUN}/product.json", f"{RUN}/fused.json", "field/msi/seed0/bicubic/fused.json")
    assert not any((folder / name).exists() for name in gone)


def test_metrics_that_were_exchanged_are_made_again(folder: Path) -> None:
    path = folder / RUN / "metrics.json"
    content = read_record(path)
    content["metrics"]["psnr"] += 60
    write_record(path, content)
    faults = verify.run([folder], withdraw=True)[1]
    assert faults == [f"{path}: is not the file that report.json was made from"]
    assert not path.exists()
    assert not (folder / "report.json").exists()


def test_a_changed_table_is_not_printed(folder: Path) -> None:
    assert "bicubic" in call("summary", folder).output
    digit(folder / "summary.csv")
    assert refusal("summary", folder).startswith(
        f"{folder / 'summary.csv'}: was changed since it was written"
    )


def test_settings_nested_without_end_are_one_line(tmp_path: Path) -> None:
    line = refusal("crop", "--source", "x", "--settings", "[" * 100_000, "--out", tmp_path / "reference.json")
    assert line.startswith("--settings: not valid JSON")


def test_a_pipe_in_the_place_of_a_file_is_named(folder: Path) -> None:
    names = ("product.json", "fitted.safetensors", "tiles/1-of-1.journal")
    for name in names:
        (folder / RUN / name).unlink()
        os.mkfifo(folder / RUN / name)
    faults = verify.run([folder], withdraw=False)[1]
    assert {f"{folder / RUN / name}: is not a file" for name in names} <= {*faults}


def test_lines_of_journals_are_looked_at(folder: Path) -> None:
    journal = folder / "field/reference.journal"
    whole = journal.read_text()
    journal.write_text(whole + '{"unit": "torn')  # as a kill leaves it
    assert verify.run([folder], withdraw=True)[1] == []
    digit(journal)
    assert verify.run([folder], withdraw=True)[1] == [f"{journal}: line 1 was changed since it was written"]
    assert journal.read_text() == ""


def copy_store(source: Path, target: Path) -> None:
    """Put a store and its ledger in the place of another."""
    shutil.rmtree(target.with_suffix(".zarr"))
    shutil.copytree(source.with_suffix(".zarr"), target.with_suffix(".zarr"))
    shutil.copy(source, target)


def settings_of(experiment: Experiment, step: str, label: str = "") -> str:
    return step_settings(experiment, step, scene="field", response="msi", label=label)


def test_a_store_of_another_label_is_neither_scored_nor_overlooked(
    finished: tuple[Experiment, ExperimentFolder], folder: Path
) -> None:
    images = experiment_at(folder).scene("field").images("msi", 0)
    mine, other = images.run("first"), images.run("bicubic")
    copy_store(other.fused.ledger, mine.fused.ledger)
    arguments = ("--observation", images.observation.ledger, "--reference", images.scene.reference.ledger)
    scored = (*arguments, "--settings", settings_of(finished[0], "evaluate", "first"), "--out", mine.metrics)
    line = refusal("evaluate", *scored, "--fused", mine.fused.ledger)
    assert line.startswith(
        f"{mine.fused.ledger.absolute()}: was made with other settings than those given"
    ) or (line.startswith(f"{mine.fused.ledger}: was made with other settings than those given"))
    faults = verify.run([folder], withdraw=True)[1]
    assert f"{mine.fused.ledger}: was made from another fitted.safetensors than {mine.fitted}" in faults
    assert not mine.fused.ledger.exists()
    assert not mine.manifest(1, 1).exists()


def test_metrics_of_another_label_are_not_reported(
    finished: tuple[Experiment, ExperimentFolder], folder: Path
) -> None:
    images = experiment_at(folder).scene("field").images("msi", 0)
    shutil.copy(images.run("bicubic").metrics, images.run("first").metrics)
    arguments = ("--results", folder, "--settings", settings_of(finished[0], "report"))
    outputs = ("--out", folder / "report.html", "--summary", folder / "summary.csv")
    line = refusal("report", *arguments, *outputs)
    assert "first/metrics.json: are the metrics of label 'bicubic', not of 'first'; delete it" in line


def test_observations_and_estimates_of_other_noise_are_refused(
    finished: tuple[Experiment, ExperimentFolder], folder: Path
) -> None:
    images = experiment_at(folder).scene("field").images("msi", 0)
    estimate = images.estimate.ledger
    simulated = ("--reference", images.scene.reference.ledger, "--seed", "1")
    options = ("--settings", settings_of(finished[0], "simulate"), "--out", images.observation.ledger)
    assert call("simulate", *simulated, *options).exit_code == 0
    both = ("--observation", images.observation.ledger, "--estimate", estimate)
    options = (
        "--settings",
        settings_of(finished[0], "train", "first"),
        "--out",
        folder / "x/fitted.safetensors",
    )
    line = refusal("train", *both, "--seed", "0", *options)
    assert line == (
        f"{estimate}: was made from another observation.json than {images.observation.ledger}; delete it and "
        "run the workflow again"
    )


def test_copied_results_are_recognised_by_their_ledgers(
    finished: tuple[Experiment, ExperimentFolder], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `cp -r` leaves them: in any order of time, without Snakemake's notes."""
    monkeypatch.chdir(folder.parent)
    experiment, copied = finished[0], experiment_at(folder)

    def times() -> set[int]:
        for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
            os.utime(path, (number, number))
        adoption.adopt(experiment, copied)
        tracked = [*folder.rglob("*.json"), *folder.rglob("*.safetensors"), copied.report, copied.summary]
        ours = [path for path in tracked if ".train-" not in str(path) and "product/" not in str(path)]
        return {path.stat().st_mtime_ns for path in ours if path.name != "zarr.json" or path.parent.suffix}

    assert len(times()) == 1
    other = Experiment.model_validate(experiment.model_dump() | {"noise": {"snr_db": 20}})
    source = copied.scene("field").source
    os.utime(source, (1, 1))
    adoption.adopt(other, copied)
    assert source.stat().st_mtime > max(
        path.stat().st_mtime for path in folder.rglob("*.json") if path != source
    )
    digit(folder / RUN / "metrics.json")
    assert len(times()) > 1
    (folder.parent / ".snakemake").mkdir()
    (folder.parent / ".snakemake/metadata.db").touch()  # Snakemake has notes of its own
    os.utime(source, (1, 1))
    adoption.adopt(experiment, copied)
    assert source.stat().st_mtime == 1
