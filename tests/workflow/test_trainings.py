"""Supervised methods in the workflow: which jobs may open a reference, and what a training is shared by."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from pipeline.methods.checkpoint import read_arrays
from workflow_copy import Workflow

BUDGET = {"width": 32, "multipliers": [1], "attention": [], "iterations": 4, "batch": 2, "crop": 16}
SCENE = {"kind": "synthetic", "height": 128, "width": 32, "bands": 8, "wavelength_range": [400, 1000]}
TRAINED = {"method": "ddpm_fus", "budget": BUDGET, "steps": 2, "device": "cpu"}
EXPERIMENT = {
    "experiment": "trainings",
    "scenes": {"learned": {"source": SCENE | {"seed": 1}}, "fused": {"source": SCENE | {"seed": 2}}},
    "responses": {
        "four": {
            "spatial": {"kind": "bicubic", "ratio": 4},
            "spectral": {"kind": "gaussian", "centres": [480, 560, 660, 830], "fwhm": 80},
        }
    },
    "noise": {"seeds": [0, 1]},
    "methods": {
        "others": TRAINED | {"training": {"scenes": ["learned"]}},
        "region": TRAINED | {"training": {"region": {"height": 32, "width": 32}}, "seeds": [0]},
        "below": TRAINED | {"training": "wald", "seeds": [0]},
    },
}
RESULTS = Path("results/trainings")
FUSED = RESULTS / "fused/four"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("trainings"))
    (workflow.folder / "trainings.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    return workflow


@pytest.fixture(scope="module")
def planned(workflow: Workflow) -> dict[str, str]:
    """The inputs of each training, by seed and label, before the first run."""
    text = workflow.run("trainings.yaml", "--dry-run")
    blocks = re.findall(r"rule train:\n    input: (.*)\n    output: \S*/seed(\d)/(\w+)/", text)
    return {f"{seed}/{label}": inputs for inputs, seed, label in blocks}


@pytest.fixture(scope="module")
def finished(workflow: Workflow, planned: dict[str, str]) -> Workflow:
    workflow.run("trainings.yaml")
    return workflow


def test_only_trainings_on_references_have_them_as_inputs(planned: dict[str, str]) -> None:
    references = {job: re.findall(r"\w+/reference\.json", inputs) for job, inputs in planned.items()}
    assert references == {
        "0/others": ["learned/reference.json"],
        "1/others": [],
        "0/region": ["fused/reference.json"],
        "0/below": [],
    }
    assert "seed0/others/fitted.safetensors" in planned["1/others"]


def test_one_training_serves_both_seeds(finished: Workflow) -> None:
    first, second = (
        read_arrays(finished.folder / FUSED / f"seed{seed}/others/fitted.safetensors")[0] for seed in (0, 1)
    )
    weights = [key for key in first if key.startswith("network.")]
    assert weights
    assert all(bool((first[key] == second[key]).all()) for key in weights)
    assert "Nothing to be done" in finished.run("trainings.yaml")


def test_metrics_and_tables_say_what_was_learned_from(finished: Workflow) -> None:
    with (finished.folder / RESULTS / "summary.csv").open(newline="") as stream:
        rows = {(row["method"], row["seed"]): row for row in csv.DictReader(stream)}
    assert {key: row["learns_from"] for key, row in rows.items()} == {
        ("others", "0"): "references",
        ("others", "1"): "references",
        ("region", "0"): "references",
        ("below", "0"): "pair",
    }
    assert rows["others", "1"]["trained_on"] == "references of learned"
    assert rows["region", "0"]["trained_on"] == "reference of rows 0 to 31, columns 0 to 31"
    page = (finished.folder / RESULTS / "report.html").read_text()
    for text in ("Trained on references", "Pair alone", "learned: no method fuses these scenes"):
        assert text in page
    assert page.count("others is trained on references of learned") >= 4  # tables, pictures, maps, curves
    assert "Not scored" in page
    table = finished.pipeline("summary", str(RESULTS)).stdout
    assert table.index("Pair alone:") < table.index("below") < table.index("Trained on references:")


def test_a_training_on_the_pair_opens_no_reference(finished: Workflow) -> None:
    """It gives the same file after all references are gone."""
    folder = finished.folder / FUSED / "seed0"
    fitted = folder / "below/fitted.safetensors"
    before = fitted.read_bytes()
    for reference in (finished.folder / RESULTS).glob("*/reference.*"):
        shutil.rmtree(reference) if reference.is_dir() else reference.unlink()
    for kept in [fitted, *(folder / "below").glob(".train-*")]:
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
    done = finished.pipeline(
        "train", "--observation", str(FUSED / "seed0/observation.json"),
        "--estimate", str(FUSED / "seed0/estimate.json"),
        "--settings", json.dumps(EXPERIMENT["methods"]["below"]), "--seed", "0",  # type: ignore[index]
        "--out", str(FUSED / "seed0/below/fitted.safetensors"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert fitted.read_bytes() == before
