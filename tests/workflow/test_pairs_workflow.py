"""A pair, the same one Wald level down, and its products through Snakemake."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml

import pipeline
from page_parser import Page
from pipeline.methods import build
from pipeline.methods.bicubic.settings import BicubicSettings
from pipeline.runs.observation import read_scene
from pipeline.store.store import read_store
from real_pair import Truth, pair_of
from workflow_copy import Workflow

pytestmark = pytest.mark.long

RESULTS = Path("results/pair")
METHOD = "gaussian_subspace"


def write_experiment(folder: Path, name: str, **alignment: Any) -> str:
    """An experiment of the pair of files in a folder."""
    content = {
        "experiment": "pair",
        "scenes": {"town": {"pair": pair_of(Path("data"), alignment=alignment)}, "level": {"wald": "town"}},
        "products": {"formats": ["cog"]},
        "methods": {METHOD: {}},
    }
    (folder / name).write_text(yaml.safe_dump(content))
    return name


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The pair after its first run on two cores."""
    workflow = Workflow(tmp_path_factory.mktemp("workflow"))
    (workflow.folder / "data").mkdir()
    Truth(seed=1).write(workflow.folder / "data")
    workflow.run(write_experiment(workflow.folder, "pair.yaml"))
    return workflow


def test_a_pair_runs_to_report_and_products(finished: Workflow) -> None:
    results = finished.folder / RESULTS
    with (results / "summary.csv").open() as stream:
        rows = {row["scene"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"town", "level"}
    for scene, row in rows.items():
        assert row["method"] == METHOD
        assert (row["psnr"] == "") is (scene == "town")
        assert 0 < float(row["hqnr"]) < 1
    assert float(rows["level"]["psnr"]) > psnr_of_interpolation(results / "level") + 3
    for scene in ("town", "level"):
        with rasterio.open(results / scene / "measured/seed0" / METHOD / "product/cube.tif") as file:
            assert file.crs.to_epsg() == 32633
            assert file.res == ((10, 10) if scene == "town" else (40, 40))
    assert not (results / "town/reference.json").exists()
    assert (results / "level/reference.json").exists()


def psnr_of_interpolation(scene: Path) -> float:
    """PSNR of the interpolated LR-HSI of a pair one Wald level down."""
    pair = read_scene(scene / "measured/seed0/observation.json", scene / "measured/seed0/estimate.json")
    cube = build(BicubicSettings()).fit(pair).fuse()
    reference = np.asarray(read_store(scene / "reference.json")["reference"])
    return pipeline.evaluate(reference, cube, ratio=float(pair.spatial_response.ratio))["psnr"]


def test_the_page_shows_the_alignment(finished: Workflow) -> None:
    page = (finished.folder / RESULTS / "report.html").read_text()
    assert page.count(">Alignment</h3>") == 1
    assert len(Page(page).tables) > 2


def test_second_run_does_nothing(finished: Workflow) -> None:
    assert "Nothing to be done" in finished.run("pair.yaml")


def test_another_limit_of_the_shift_reruns_from_align(finished: Workflow) -> None:
    jobs = finished.planned(write_experiment(finished.folder, "changed.yaml", largest_shift=2.5))
    assert "download" not in jobs
    assert jobs["align"] == 1
    assert {rule for rule, count in jobs.items() if count == 2} >= {"train", "fuse", "evaluate", "export"}
    assert "Nothing to be done" in finished.run("pair.yaml")
