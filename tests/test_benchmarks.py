"""The benchmarks run, at sizes that say nothing, and the failure of a stage leaves the others as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import isfinite
from pathlib import Path

from bare import run_bare

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_gpu_benchmark_runs_on_a_bare_machine_without_a_gpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    run = run_bare(tmp_path, str(FOLDER / "gpu.py"), "--device", "cpu", "--small", "--out", str(out))
    assert run.returncode == 0, run.stderr
    content = json.loads(out.read_text())
    assert content["device"] == "cpu"
    assert {name: stage["error"] for name, stage in content["stages"].items() if stage["error"]} == {}
    figures = {
        f"{stage}: {figure['name']}": figure["value"]
        for stage, result in content["stages"].items()
        for figure in result["figures"]
    }
    assert all(isfinite(value) for value in figures.values())
    assert set(content["goals_on_h100"]) <= set(figures)
    assert figures["agreement: graph_subspace, repeated"] == 0
    assert figures["agreement: hysure, float32 from float64 on the CPU"] < 1e-5
    assert all(line in run.stdout for line in ("| tiles | learn and fuse |", "| card | matrix products"))


def test_cpu_benchmark_measures_beside_another_checkout(tmp_path: Path) -> None:
    out = tmp_path / "cpu.json"
    options = ["--only", "gaussian_subspace", "--size", "24", "24", "16", "--repeats", "1", "--threads", "1"]
    subprocess.run(
        [sys.executable, FOLDER / "cpu.py", *options, "--against", FOLDER.parent, "--out", out],
        env=os.environ | {"PYTHONPATH": str(FOLDER.parent / "src")},
        check=True,
    )
    costs = json.loads(out.read_text())["measurements"]["gaussian_subspace"]
    assert set(costs) == {"here", "against"}
    assert all(value > 0 for cost in costs.values() for value in cost.values())


STAGES = """
import json, os, time
from stages import Figure, Stage, run_stages, table

def well(options):
    yield Figure("number", options, "m")

def fails(options):
    yield Figure("before", 1.0, "s")
    raise ValueError("no such card")

def hangs(options):
    yield Figure("before", 1.0, "s")
    time.sleep(60)

def dies(options):
    os._exit(9)
    yield

if __name__ == "__main__":
    stages = {f.__name__: Stage(f, limit) for f, limit in ((fails, 9), (hangs, 0.2), (dies, 9), (well, 9))}
    outcomes = run_stages(stages, 2.5, 60)
    print(table(outcomes, {"well: number": 3}))
"""


def test_stages_survive_errors_hanging_and_death(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(STAGES)
    environment = os.environ | {"PYTHONPATH": str(FOLDER)}
    run = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.splitlines()[2:] == [
        "| fails | before | 1 | s |  |",
        "| fails | error: ValueError: no such card | | | |",
        "| hangs | before | 1 | s |  |",
        "| hangs | error: stopped after 0.2 s | | | |",
        "| dies | error: the process ended | | | |",
        "| well | number | 2.5 | m | 3 |",
    ]
