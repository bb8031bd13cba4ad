"""The workflow on a real Slurm of one node, with its profile: placement, cancelled jobs, a drained node.

`make test-cluster` starts that Slurm, see `slurm.sh`; elsewhere these tests are skipped. With `-s` they
print the table of jobs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from pipeline.store.shards import journal_lines

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CLUSTER_NAME = "pipeline-test"  # as slurm.sh names it: a node of a real cluster must not be drained
RUN = Path("results/cluster/synthetic/four_bands/seed0")
PRODUCTS = [str(RUN / label / "fused.json") for label in ("gaussian_subspace", "args_diff")]
TILED = RUN / "gaussian_subspace"
BATCHES = 9
AGAIN = range(1, 5)
"""Batches that are made once more, under disturbances."""
SLURM_OPTIONS = (
    *("--workflow-profile", "profiles/slurm", "--latency-wait", "10"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
    *("--groups", "crop=scene", "simulate=scene", "estimate=scene"),
)
MINUTES = 15  # for a busy machine; an idle one takes two for the longest wait

pytestmark = pytest.mark.cluster
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A line of Slurm's table of jobs."""

    number: int
    what: str
    partition: str
    gpus: int
    memory: str
    limit: str
    state: str
    start: str
    end: str


class Folder:
    """A working folder of the repository's workflow."""

    def __init__(self, path: Path, **tiling: int) -> None:
        self.path = path
        for name in ("Snakefile", "workflow", "profiles", "envs", "src"):
            (path / name).symlink_to(ROOT / name)
        content = yaml.safe_load((HERE / "experiment.yaml").read_text())
        content["tiling"] |= tiling
        (path / "experiment.yaml").write_text(yaml.safe_dump(content))

    def snakemake(self, *arguments: str, log: str = "run.log") -> subprocess.Popen[bytes]:
        """Start a run towards the products, in this interpreter's environment."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = [sys.executable, "-m", "snakemake", *arguments, "--configfile", "experiment.yaml", "--"]
        with (self.path / log).open("w") as output:
            return subprocess.Popen(
                [*command, *PRODUCTS],
                cwd=self.path,
                env=os.environ | {"PATH": path, "PYTHONPATH": str(self.path / "src")},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def digests(self) -> list[str]:
        """The digests of all files of the products."""
        return [json.loads((self.path / ledger).read_text())["digest"] for ledger in PRODUCTS]

    def jobs(self, rule: str = "") -> list[Job]:
        """What Slurm knows of this folder's jobs, in the order of their submission."""
        found = []
        for line in slurm("scontrol", "show", "job", "--detail", "--oneliner").splitlines():
            fields = dict(re.findall(r"(\S+?)=(\S*)", line))
            if fields.get("WorkDir") == str(self.path) and fields["Comment"].startswith(f"rule_{rule}"):
                found.append(job_from(fields))
        return found

    def journals(self) -> dict[Path, list[str]]:
        """The finished tiles of each batch."""
        return {path: finished_tiles(path) for path in (self.path / TILED / "tiles").glob("*.journal")}

    def shard_times(self) -> dict[Path, int]:
        """When each shard of the finished tiles was written; others may be just under way."""
        journals = (self.path / TILED / "tiles").glob("*.journal")
        shards = [self.path / TILED / "fused.zarr" / shard for path in journals for shard in shards_of(path)]
        return {path: path.stat().st_mtime_ns for path in shards}

    def forget_batches(self, numbers: Iterable[int]) -> None:
        """Delete all that some batches of the tiled product have written, and the product's ledger."""
        for number in numbers:
            journal = self.path / TILED / f"tiles/{number}-of-{BATCHES}.journal"
            for shard in shards_of(journal):
                (self.path / TILED / "fused.zarr" / shard).unlink()
            for path in journal.parent.glob(f"{number}-of-*"):
                path.unlink()
        (self.path / TILED / "fused.json").unlink()


def job_from(fields: dict[str, str]) -> Job:
    """A job from the fields that `scontrol` shows."""
    gpus = re.fullmatch(r"gpu:(\d+)", fields.get("JOB_GRES", ""))  # a waiting job has none
    memory = re.search(r"mem=([^,]+)", fields["TRES"])
    return Job(
        number=int(fields["JobId"]),
        what=re.sub(r"(^rule_|wildcards_cluster_synthetic_?)", "", fields["Comment"]),
        partition=fields["Partition"],
        gpus=int(gpus[1]) if gpus else 0,
        memory=memory[1] if memory else "",
        limit=fields["TimeLimit"],
        state=fields["JobState"],
        start=fields["StartTime"],
        end=fields["EndTime"],
    )


def finished_tiles(journal: Path) -> list[str]:
    """The tiles that a journal records."""
    return [line["unit"] for line in journal_lines(journal)]


def shards_of(journal: Path) -> list[str]:
    """The shards of the tiles that a journal records."""
    return [shard for line in journal_lines(journal) for shard in line["shards"]]


def slurm(*command: str) -> str:
    """The output of a Slurm command."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_for(what: str, look: Callable[[], T | None], pause: float = 0.5) -> T:
    """Look until there is something."""
    end = time.monotonic() + 60 * MINUTES
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(pause)
    pytest.fail(f"no {what} within {MINUTES} minutes")


@contextmanager
def run(folder: Folder, *options: str) -> Iterator[None]:
    """A run that ends well, or is ended with the test."""
    process = folder.snakemake(*options)
    try:
        yield
        assert process.wait(60 * MINUTES) == 0, (folder.path / "run.log").read_text()
    finally:
        process.kill()


@contextmanager
def drained(node: str) -> Iterator[None]:
    """The node takes no new job meanwhile."""
    slurm("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test")
    try:
        yield
    finally:
        slurm("scontrol", "update", f"NodeName={node}", "State=RESUME")


def show(title: str, jobs: list[Job]) -> None:
    """Print a table of jobs."""
    print(f"\n{title}")
    for job in jobs:
        times = f"{job.start[-8:]} {job.end[-8:]}"
        print(
            f"{job.number:4} {job.partition} gpu={job.gpus} {job.memory:>6} {job.limit} "
            f"{job.state:10} {times}  {job.what}"
        )


@pytest.fixture(scope="module")
def node() -> str:
    """The name of the node of the test's own Slurm."""
    if not shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip("Slurm is not installed; `make test-cluster` installs and starts it")
    asked = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False)
    if not re.search(rf"ClusterName\s*= {CLUSTER_NAME}\n", asked.stdout):
        pytest.skip("the Slurm of these tests does not run; `make test-cluster` starts it")
    return slurm("sinfo", "--noheader", "--partition", "cpu", "--format", "%n").strip()


@pytest.fixture(scope="module")
def local(node: str, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The products made without Slurm, in fewer batches."""
    folder = Folder(tmp_path_factory.mktemp("local"), max_jobs=2)
    with run(folder, "--cores", "2"):
        pass
    return folder


@pytest.fixture(scope="module")
def unbroken(node: str, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The products made on Slurm."""
    folder = Folder(tmp_path_factory.mktemp("unbroken"))
    with run(folder, *SLURM_OPTIONS):
        pass
    show("unbroken run", folder.jobs())
    return folder


@dataclass(frozen=True)
class Broken:
    """A run during which a batch was cancelled, the node drained and a second run tried."""

    folder: Folder
    batch: str
    journal: Path
    kept: list[str]
    written: dict[Path, int]
    waiting: str
    refused: bool


@pytest.fixture(scope="module")
def broken(node: str, unbroken: Folder, tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """Some batches of the tiled product made once more, all else being there, under every disturbance.

    A batch is held between two tiles and cancelled, and the node drained, so that Snakemake submits the
    batch anew and Slurm lets it wait. Meanwhile a second run is started. Then the node is resumed.
    """
    folder = Folder(tmp_path_factory.mktemp("broken"))
    for name in ("results", ".snakemake"):
        shutil.copytree(unbroken.path / name, folder.path / name)
    folder.forget_batches(AGAIN)

    with run(folder, *SLURM_OPTIONS):
        journal = wait_for("batch between two tiles", lambda: held_batch(folder), pause=0.01)
        kept, written = finished_tiles(journal), folder.shard_times()
        batch = f"fuse_four_bands_0_gaussian_subspace_{journal.stem.replace('-of-', '_')}"
        (running,) = [job for job in folder.jobs("fuse") if job.what == batch]
        with drained(node):
            slurm("scancel", str(running.number))
            again = wait_for("second submission", lambda: pending(folder, batch))
            waiting = slurm("squeue", "--noheader", "--jobs", str(again.number), "--format", "%r")
            second = folder.snakemake(*SLURM_OPTIONS, log="second.log")
            refused = second.wait(60 * MINUTES) != 0
    show("broken run", folder.jobs())
    return Broken(folder, batch, journal, kept, written, waiting, refused)


def held_batch(folder: Folder) -> Path | None:
    """Stop a process that has fused some tiles of its batch but not all, and return its journal."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text().split("\0")
            if "fuse" not in words or (process / "cwd").resolve() != folder.path:
                continue
            manifest = folder.path / words[words.index("--out") + 1]
            journal = manifest.with_suffix(".journal")
            if TILED.name not in manifest.parts or not journal.exists():
                continue
            os.kill(int(process.name), signal.SIGSTOP)
            if finished_tiles(journal) and not manifest.exists():
                return journal
            os.kill(int(process.name), signal.SIGCONT)
        except (OSError, ValueError):  # it has just ended
            continue
    return None


def pending(folder: Folder, what: str) -> Job | None:
    """The waiting job of that name."""
    return next((job for job in folder.jobs() if (job.what, job.state) == (what, "PENDING")), None)


def test_eight_batches_and_more_run_at_once(unbroken: Folder) -> None:
    jobs = unbroken.jobs("fuse")
    at_once = [sum(other.start <= job.start < other.end for other in jobs) for job in jobs]
    assert len(jobs) == BATCHES + 1
    assert max(at_once) >= 8


def test_jobs_with_a_gpu_and_only_they_are_on_its_partition(unbroken: Folder) -> None:
    placed = Counter((job.what.split("_")[0], job.partition, job.gpus) for job in unbroken.jobs())
    assert placed["train", "gpu", 1] == placed["fuse", "gpu", 1] == 1
    assert placed["train", "cpu", 0] == 1
    assert placed["fuse", "cpu", 0] == BATCHES
    assert placed["mosaic", "cpu", 0] == 2
    assert not {(partition, gpus) for _, partition, gpus in placed} - {("gpu", 1), ("cpu", 0)}


def test_jobs_ask_for_what_profile_and_experiment_say(unbroken: Folder) -> None:
    asked = {(job.what.split("_")[0], job.memory, job.limit) for job in unbroken.jobs()}
    assert {("fuse", "3000M", "00:11:00"), ("train", "4000M", "12:00:00")} < asked


def test_products_equal_those_of_a_local_run(local: Folder, unbroken: Folder) -> None:
    assert unbroken.digests() == local.digests()


def test_cancelled_batch_is_submitted_again_with_more_memory(broken: Broken) -> None:
    first, second = (job for job in broken.folder.jobs("fuse") if job.what == broken.batch)
    assert (first.state, second.state) == ("CANCELLED", "COMPLETED")
    assert (first.memory, second.memory) == ("3000M", "6000M")
    assert len(broken.folder.jobs("fuse")) == len(AGAIN) + 1


def test_drained_node_lets_jobs_wait(broken: Broken) -> None:
    assert "DRAINED" in broken.waiting or "ReqNodeNotAvail" in broken.waiting


def test_finished_tiles_are_not_fused_again(broken: Broken) -> None:
    journals = broken.folder.journals()
    assert 0 < len(broken.kept) < len(journals[broken.journal])
    assert journals[broken.journal][: len(broken.kept)] == broken.kept
    tiles = Counter(tile for journal in journals.values() for tile in journal)
    assert len(tiles) == 64
    assert set(tiles.values()) == {1}
    times = broken.folder.shard_times()
    again = [path for path, time in broken.written.items() if times[path] != time]
    assert len(again) <= 1  # the process may have been stopped between a shard and its record
    assert len(broken.written) - len(again) >= len(broken.kept)


def test_product_of_the_broken_run_is_the_same(local: Folder, broken: Broken) -> None:
    assert broken.folder.digests() == local.digests()


def test_second_run_in_one_folder_is_refused(broken: Broken) -> None:
    assert broken.refused
    assert "Directory cannot be locked" in (broken.folder.path / "second.log").read_text()
