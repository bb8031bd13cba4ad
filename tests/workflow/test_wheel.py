"""The wheel in an environment of its own: the command, the API, and the workflow without a clone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from sysconfig import get_path

import pytest
import yaml

from workflow_copy import ROOT, TINY

pytestmark = pytest.mark.long

SOURCES = ("config", "envs", "profiles", "src", "workflow")
FILES = ("LICENSE", "MANIFEST.in", "README.md", "Snakefile", "pyproject.toml", "setup.py")
USE = """
import json, numpy, pipeline
from importlib.metadata import version
reference = numpy.random.default_rng(0).random((8, 16, 16), dtype=numpy.float32)
blur, bands = pipeline.SpatialResponse.bicubic(ratio=4), numpy.kron(numpy.eye(2), numpy.full(4, 0.25))
pair = pipeline.simulate(reference, spectral_response=bands, spatial_response=blur, snr_db=35, seed=0)
result = pipeline.fuse(
    pair.lr_hsi, pair.hr_msi, spectral_response=bands, spatial_response=blur, method="bicubic"
)
print(json.dumps([pipeline.__file__, version("hsi-fusion-pipeline"), result.cube.shape]))
"""


class Installed:
    """A virtual environment with the wheel, in which the requirements of this one can be imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "venv/bin"
        venv.create(folder / "venv")
        python = self.programs / "python"
        options = ("--no-deps", "--no-index", "--quiet")
        pip("--python", str(python), "install", *options, str(wheel_of(folder / "source")))
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        (site / "requirements.pth").write_text(get_path("purelib"))  # without its own .pth: no editable clone

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, which is not in `PATH`, in an empty folder."""
        place = self.folder / "empty"
        place.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=place,
            env=kept | {"PATH": os.defpath},
            capture_output=True,
            text=True,
            check=False,
        )


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def wheel_of(source: Path) -> Path:
    """Build the wheel from a copy of the repository, which stays clean."""
    for name in SOURCES:
        shutil.copytree(
            ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    for name in FILES:
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(source), str(source))
    (wheel,) = source.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


def write_experiment(installed: Installed, name: str, **changes: object) -> str:
    content = yaml.safe_load((ROOT / TINY).read_text()) | {"experiment": name, "methods": {"bicubic": {}}}
    path = installed.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    return str(path)


def test_api(installed: Installed) -> None:
    done = installed.call("python", "-c", USE)
    assert done.returncode == 0, done.stderr
    file, version, shape = json.loads(done.stdout)
    assert Path(file).is_relative_to(installed.folder / "venv")
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert shape == [8, 16, 16]


def test_run_ends_with_a_report(installed: Installed) -> None:
    done = installed.call("pipeline", "run", write_experiment(installed, "one"), "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    results = installed.folder / "empty/results/one"
    assert (results / "report.html").stat().st_size > 10_000
    assert done.stdout.endswith("Report: results/one/report.html\n")

    total = int(re.match(r"(\d+) steps, about ", done.stderr)[1])
    finished = re.findall(r"^\[(\d+)/(\d+)\] (.*): .+; (?:about .+ left|done)$", done.stderr, re.MULTILINE)
    assert [(int(count), int(of)) for count, of, _ in finished] == [(n + 1, total) for n in range(total)]
    assert "train bicubic on synthetic (seed 0)" in {step for *_, step in finished}
    others = [line for line in done.stderr.splitlines()[1:] if not line.startswith(("[", " "))]
    assert [line.partition(":")[0] for line in others] == ["Snakemake's log"]


def test_failing_step_is_named_with_its_reason(installed: Installed) -> None:
    scene = {"lost": {"source": {"kind": "file", "path": "nowhere.mat"}}}
    done = installed.call("pipeline", "run", write_experiment(installed, "missing", scenes=scene))
    assert done.returncode == 1
    (failed,) = (line for line in done.stderr.splitlines() if line.startswith("Failed"))
    assert failed.startswith("Failed to find the files of lost: pipeline download: nowhere.mat: no such file")
    (log,) = (line for line in done.stderr.splitlines() if line.startswith("Snakemake's log: "))
    assert "nowhere.mat" in Path(log.partition(": ")[2]).read_text()


def test_names_of_configurations_and_options_of_snakemake(installed: Installed) -> None:
    planned = installed.call("pipeline", "run", "demo", "--directory", "away", "--", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "args_diff" in planned.stdout + planned.stderr
    assert not (installed.folder / "empty/away/results").exists()
    for words, message in (
        (
            ["demmo"],
            "pipeline run: demmo: no such configuration; give a path ending in .yaml, or one of demo",
        ),
        (["demo", "--", "--cors"], "pipeline run: options of Snakemake: "),
    ):
        refused = installed.call("pipeline", "run", *words)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert line.startswith(message)
