"""Runs that are killed at random, disks that are full, folders and inputs that are gone.

Real Snakemake runs, real signals and real file systems; minutes long, so behind the marker `faults`.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from pipeline.store.shards import journal_lines
from workflow_copy import TILED, Workflow

KILLS = 20
RESULTS = Path("results/tiled")
RUN = Path("synthetic/four_bands/seed0")
ARGUMENTS = ("--cores", "2", "--configfile", TILED, "--quiet", "all")

pytestmark = pytest.mark.faults


def products(workflow: Workflow) -> dict[str, bytes]:
    """Every store, ledger and fitted method of a finished run."""
    results = workflow.folder / RESULTS
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(results).parts)
        ledger = path.suffix == ".json" and path.with_suffix(".zarr").is_dir()
        stored = ".zarr/" in name or path.suffix == ".safetensors" or ledger
        if path.is_file() and stored and not hidden:
            found[name] = path.read_bytes()
    return found


def finished_files(workflow: Workflow) -> dict[Path, int]:
    """Outputs of finished jobs and recorded shards, with their times of change."""
    root, results = workflow.folder, workflow.folder / RESULTS
    incomplete = {
        base64.b64decode(path.name).decode()
        for path in (root / ".snakemake/incomplete").rglob("*")
        if path.is_file()
    }
    files = [
        path
        for pattern in ("*.json", "fitted.safetensors")
        for path in results.rglob(pattern)
        if path.name != "zarr.json"
        and path.relative_to(root).as_posix() not in incomplete
        and not any(part.startswith(".") for part in path.relative_to(results).parts)
    ]
    for journal in results.rglob("*.journal"):
        here = (
            journal.parent.parent / "fused.zarr"
            if journal.parent.name == "tiles"
            else journal.with_suffix(".zarr")
        )
        files += [here / key for line in journal_lines(journal) for key in line["shards"]]
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    workflow = Workflow(tmp_path_factory.mktemp("unbroken"))
    workflow.run(TILED)
    return workflow


def test_killed_at_random_moments(unbroken: Workflow, tmp_path: Path) -> None:
    expected = products(unbroken)
    assert len([name for name in expected if "/fused/c/" in name]) == 2 * 30
    draw = random.Random(11)
    kills = rounds = 0
    while kills < KILLS:
        rounds += 1
        broken = Workflow(tmp_path / f"round{rounds}")
        kept: dict[Path, int] = {}
        done = False
        while not done:
            process = broken.start(*ARGUMENTS)
            if kills < KILLS:
                deadline = monotonic() + draw.uniform(1, 20)
                while monotonic() < deadline and process.poll() is None:
                    sleep(0.05)
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    kills += 1
                    kept |= finished_files(broken)
                    unlocked = broken.call("--unlock", "--configfile", TILED)
                    assert unlocked.returncode == 0, unlocked.stderr
                    continue
            output, _ = process.communicate()
            assert process.returncode == 0, output
            done = True
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        assert products(broken) == expected
        for journal in (broken.folder / RESULTS).rglob("*.journal"):
            assert set(Counter(line["unit"] for line in journal_lines(journal)).values()) == {1}
        assert not list((broken.folder / RESULTS).rglob("*.partial"))
    print(f"\n{kills} kills over {rounds} runs, {len(expected)} files compared")


def test_a_second_run_on_the_same_folder_stops(unbroken: Workflow, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "twice")
    first = workflow.start(*ARGUMENTS)
    locks = workflow.folder / ".snakemake/locks"
    while not (locks.is_dir() and any(locks.iterdir())):
        assert first.poll() is None
        sleep(0.05)
    second = workflow.call("--cores", "1", "--configfile", TILED)
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stdout + second.stderr
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert products(workflow) == products(unbroken)


def test_a_flipped_byte_is_repaired_by_the_workflow(unbroken: Workflow, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "flipped")
    shutil.copytree(unbroken.folder, workflow.folder, dirs_exist_ok=True)
    expected = products(workflow)
    folder = workflow.folder / RESULTS
    tile = folder / RUN / "args_diff/fused.zarr/fused/c/0/2/3"
    seen = folder / RUN / "observation.zarr/hr_msi/c/0/0/0"
    times = {
        path: path.stat().st_mtime_ns for path in folder.rglob("fused.zarr/fused/c/*/*/*") if path != tile
    }
    for path in (tile, seen):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    first = workflow.pipeline("verify", str(RESULTS))
    assert first.returncode == 1
    assert "args_diff/fused.zarr: array fused, shard 0/2/3 was changed" in first.stdout
    assert "observation.zarr: array hr_msi, shard 0/0/0 was changed" in first.stdout
    assert first.stdout.endswith(" 2 damaged\n")
    workflow.run(TILED)
    assert products(workflow) == expected
    assert {path: path.stat().st_mtime_ns for path in times} == times
    second = workflow.pipeline("verify", str(RESULTS))
    assert second.stdout.endswith(" 0 damaged\n")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def lines_of_steps(output: str) -> list[str]:
    """What steps say, without Snakemake's copies of their commands."""
    return sorted({line.strip() for line in output.splitlines() if re.match(r"\s*pipeline \w+: ", line)})


def on_disk(workflow: Workflow, disk: Path) -> None:
    (workflow.folder / "results").symlink_to(disk)


def test_a_full_disk_is_one_line(unbroken: Workflow, small_disk: Path, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "full")
    on_disk(workflow, small_disk)
    output, _ = (process := workflow.start(*ARGUMENTS[:-2], "--keep-going")).communicate()
    assert process.returncode != 0
    assert any("No space left on device" in line for line in lines_of_steps(output)), output
    assert "Traceback" not in output
    remount(small_disk, "size=1g")
    workflow.run(TILED)
    assert products(workflow) == products(unbroken)


def test_a_read_only_results_folder_is_one_line(unbroken: Workflow, small_disk: Path, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "ro")
    remount(small_disk, "size=1g")
    on_disk(workflow, small_disk)
    until = workflow.call("--cores", "1", "--configfile", TILED, "--until", "simulate")
    assert until.returncode == 0, until.stderr
    remount(small_disk, "ro")
    output, _ = (process := workflow.start(*ARGUMENTS[:-2])).communicate()
    assert process.returncode != 0
    assert "Read-only file system" in output
    assert "Traceback" not in output
    remount(small_disk, "rw")
    unlocked = workflow.call("--unlock", "--configfile", TILED)
    assert unlocked.returncode == 0
    workflow.run(TILED)
    assert products(workflow) == products(unbroken)


def test_a_lost_input_is_one_line(unbroken: Workflow, tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "lost")
    shutil.copytree(unbroken.folder, workflow.folder, dirs_exist_ok=True)
    folder = workflow.folder / RESULTS / RUN
    (folder / "observation.zarr/lr_hsi/c/0/0/0").unlink()
    shutil.rmtree(folder / "gaussian_subspace/tiles")  # all that comes after the plan is made again
    shutil.rmtree(folder / "gaussian_subspace/fused.zarr")
    (folder / "gaussian_subspace/metrics.json").unlink()
    done = workflow.call("--cores", "1", "--configfile", TILED)
    assert done.returncode != 0
    (line,) = lines_of_steps(done.stdout + done.stderr)
    assert line.startswith("pipeline fuse: ")
    assert "array lr_hsi, shard 0/0/0 is missing since the store was written; run `pipeline verify" in line
    workflow.pipeline("verify", str(RESULTS))
    workflow.run(TILED)
    assert products(workflow) == products(unbroken)
    assert json.loads((folder / "gaussian_subspace/metrics.json").read_text())["metrics"]["psnr"] > 20
