"""What `docs/scaling/cluster.md` says of commands and resources, held against the profile; needs no Slurm."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/scaling/cluster.md").read_text()
DRY_RUNS = re.findall(r"^    (pipeline check .*|snakemake .*--dry-run.*)$", GUIDE, re.MULTILINE)


@pytest.fixture(scope="module")
def profile() -> dict[str, Any]:
    content = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("command", DRY_RUNS)
def test_dry_runs_of_the_guide_work(command: str, tmp_path: Path) -> None:
    for name in ("Snakefile", "workflow", "profiles", "config", "envs", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        command.split(), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--dry-run" not in command or "mosaic" in done.stdout + done.stderr


def test_guide_has_dry_runs() -> None:
    assert len(DRY_RUNS) == 2


def test_profile_speaks_of_rules_that_exist(profile: dict[str, Any]) -> None:
    rules = {path.stem for path in (ROOT / "workflow/rules").glob("*.smk")}
    assert set(profile["set-resources"]) <= rules


def test_memory_in_the_guide_is_that_of_the_profile(profile: dict[str, Any]) -> None:
    rows = re.findall(r"^\| `?(\w+)`? \| (\d+) MB", GUIDE, re.MULTILINE)
    stated = {step: f"{memory} * attempt" for step, memory in rows}
    asked = {rule: given["mem_mb"] for rule, given in profile["set-resources"].items()}
    assert stated == asked | {"others": profile["default-resources"]["mem_mb"]}


def test_partitions_have_one_with_gpus_and_one_without() -> None:
    content = yaml.safe_load((ROOT / "profiles/slurm/partitions.yaml").read_text())
    assert {bool(limits.get("max_gpu")) for limits in content["partitions"].values()} == {True, False}
