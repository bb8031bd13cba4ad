"""Real Snakemake runs of the smallest experiment, in a copy of the repository's workflow."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.app import app
from workflow_copy import ROOT, TINY, Workflow

RUN = Path("results/tiny/synthetic/four_bands/seed0")
ONE_METHOD = dict.fromkeys(("train", "plan", "fuse", "mosaic", "evaluate", "report", "all"), 1) | {"total": 7}

COUNT = """
rule count:
    default_target: True
    input: "results/tiny/summary.csv"
    output: "runs.txt"
    shell: "tail -n +2 {input} | wc -l > {output}"
"""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The tiny experiment after its first run."""
    workflow = Workflow(tmp_path_factory.mktemp("workflow"))
    workflow.run()
    return workflow


def test_run_leaves_metrics_report_and_timings(finished: Workflow) -> None:
    results = finished.folder / "results/tiny"
    assert (results / "report.html").stat().st_size > 10_000
    rows = (results / "summary.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows] == ["method", "bicubic", "gaussian_subspace", "args_diff"]
    assert not list((finished.folder / RUN).glob("*/checkpoint-*"))
    for step in ("train", "fuse", "evaluate"):
        timing = json.loads((finished.folder / RUN / "args_diff" / f"{step}.timing.json").read_text())
        assert timing["step"] == step
        assert timing["peak_mem_mb"] > 10


def test_second_run_does_nothing(finished: Workflow) -> None:
    assert "Nothing to be done" in finished.run()


def test_report_of_snakemake_has_the_results_with_captions(finished: Workflow) -> None:
    done = finished.call("--configfile", TINY, "--report", "report.zip")
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(finished.folder / "report.zip") as archive:
        names = archive.namelist()
        page = archive.read(next(name for name in names if name.count("/") == 1)).decode()
    assert {"report.html", "summary.csv"} <= {name.rpartition("/")[2] for name in names}
    assert "Quality of each run" in page
    assert "experiment <strong>tiny</strong>" in page


def test_module_of_another_workflow_gives_the_same_results_on_one_core(
    finished: Workflow, tmp_path: Path
) -> None:
    """Those of the fast methods, with the lines of docs/experiments.md and a rule of its own."""
    page = (ROOT / "docs/experiments.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?use rule.*?)```", page, re.DOTALL)
    (tmp_path / "Snakefile").write_text(lines + COUNT)
    content = yaml.safe_load((ROOT / TINY).read_text())
    del content["methods"]["args_diff"]
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump({"fusion": content}, sort_keys=False))
    files = ("--snakefile", str(tmp_path / "Snakefile"), "--configfile", str(tmp_path / "ours.yaml"))
    package = Workflow(tmp_path / "package")
    done = package.call("--directory", str(tmp_path), *files, "--cores", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule fusion_fuse" in done.stdout + done.stderr
    assert (tmp_path / "runs.txt").read_text().split() == ["2"]
    rows = (finished.folder / "results/tiny/summary.csv").read_text().splitlines(keepends=True)
    fast = tmp_path / "fast.csv"
    fast.write_text("".join(row for row in rows if ",args_diff," not in row))
    require_same(finished, fast, tmp_path / "results/tiny")


@pytest.mark.slow
def test_runs_of_all_other_methods_give_the_same_summary(finished: Workflow, tmp_path: Path) -> None:
    again = Workflow(tmp_path)
    finished.run("config/test/peers.yaml")
    again.run("config/test/peers.yaml", "--cores", "1")
    require_same(finished, *(path / "results/peers" for path in (finished.folder, tmp_path)))


def require_same(finished: Workflow, first: Path, second: Path) -> None:
    """Compare two summaries, or the folders that hold them."""
    done = finished.pipeline("compare", str(first), str(second))
    assert (done.returncode, done.stdout) == (0, "the same results\n"), done.stdout + done.stderr


def test_changed_setting_reruns_that_method_only(finished: Workflow) -> None:
    config = finished.changed("changed.yaml", gaussian_subspace={"d": 3})
    assert finished.planned(config) == ONE_METHOD


@pytest.mark.parametrize(("added", "reruns"), [("CHANGED = True\n", True), ("# a comment\n", False)])
def test_changed_code_reruns_its_step(finished: Workflow, added: str, reruns: bool) -> None:
    module = finished.folder / "src/pipeline/methods/bicubic/method.py"
    original = module.read_text()
    module.write_text(original + added)
    try:
        planned = finished.planned()
    finally:
        module.write_text(original)
    assert planned == (ONE_METHOD if reruns else {})


def test_deleted_store_comes_back_with_the_same_bytes(finished: Workflow) -> None:
    ledger = RUN / "bicubic/fused.json"
    before = finished.digest(ledger)
    shutil.rmtree(finished.folder / ledger.with_suffix(".zarr"))
    first = finished.call("--cores", "2", "--configfile", TINY)
    assert first.returncode != 0
    line = "shard fused/c/0/0/0 is missing since it was written, 2 in all; run the workflow again"
    assert line in first.stdout + first.stderr
    assert "fuse" in finished.run()
    assert finished.digest(ledger) == before
    assert "Nothing to be done" in finished.run()


def test_wrong_configuration_is_one_clear_line(finished: Workflow) -> None:
    config = finished.changed("wrong.yaml", args_diff={"budgett": "quick"})
    done = finished.call("--dry-run", "--configfile", config)
    assert done.returncode != 0
    *_, line = done.stderr.splitlines()
    assert line.startswith("configuration: methods.args_diff: unknown key 'budgett' (did you mean 'budget'?)")
    assert "Traceback" not in done.stderr + done.stdout


def test_failing_step_leaves_its_line_in_the_log(finished: Workflow) -> None:
    content = yaml.safe_load((ROOT / TINY).read_text())
    content["experiment"] = "missing"
    content["scenes"] = {"lost": {"source": {"kind": "file", "path": "nowhere.mat"}}}
    (finished.folder / "missing.yaml").write_text(yaml.safe_dump(content))
    done = finished.call("--cores", "1", "--configfile", "missing.yaml")
    assert done.returncode != 0
    assert "pipeline download: nowhere.mat: no such file" in done.stdout + done.stderr
    assert not (finished.folder / "results/missing/lost/source.json").exists()


@pytest.mark.parametrize("name", ["", "benchmark_paper", "berlin", "coverage"])
def test_simulated_and_real_pairs_have_a_plan(finished: Workflow, name: str) -> None:
    named = ("--config", f"experiment={name}") if name else ()
    done = finished.call("--dry-run", "--quiet", "rules", *named)
    assert done.returncode == 0, done.stderr
    assert "report" in done.stdout + done.stderr
    assert f"config/{name or 'demo'}.yaml" in done.stdout + done.stderr


def test_a_huge_scene_is_few_jobs(finished: Workflow) -> None:
    content = yaml.safe_load((ROOT / TINY).read_text())
    content["experiment"] = "huge"
    content["scenes"]["synthetic"]["source"] |= {"height": 100_000, "width": 100_000, "bands": 100}
    content["noise"]["seeds"] = [0, 1]
    (finished.folder / "huge.yaml").write_text(yaml.safe_dump(content))
    jobs = finished.planned("huge.yaml")
    assert jobs["fuse"] == 2 * (12 + 23 + 200)
    assert jobs["total"] < 2000

    # a plan's own number of jobs holds
    run = finished.folder / "results/huge/synthetic/four_bands/seed0/gaussian_subspace"
    settings = {
        "tiling": {},
        "method": content["methods"]["gaussian_subspace"] | {"method": "gaussian_subspace"},
    }
    size = {"height": 100_000, "width": 100_000, "bands": 100, "spatial": {"kind": "bicubic", "ratio": 4}}
    options = ["--settings", json.dumps(settings), "--size", json.dumps(size), "--batches", "150"]
    done = CliRunner().invoke(app, ["plan", *options, "--out", str(run / "plan.json")])
    assert done.output.startswith("38416 tiles of 512 x 512 pixels")
    assert finished.planned("huge.yaml")["fuse"] == jobs["fuse"] - 23 + 150
