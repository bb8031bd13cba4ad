"""A copy of the repository's workflow in a folder of its own, for tests that start Snakemake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TINY = "config/test/tiny.yaml"
TILED = "config/test/tiled.yaml"


class Workflow:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("workflow", "profiles", "config", "envs", "src"):
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        shutil.copy(ROOT / "Snakefile", folder)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which the tools of this interpreter and the code of the copy come first."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "PYTHONPATH": str(self.folder / "src")}

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake."""
        return subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def pipeline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command `pipeline` of the copy."""
        return subprocess.run(
            ["pipeline", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, config: str = TINY, *arguments: str) -> str:
        done = self.call("--cores", "2", "--configfile", config, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, config: str = TINY) -> dict[str, int]:
        """Jobs that the next run would start, by rule."""
        text = self.run(config, "--dry-run", "--quiet", "rules")
        lines = [line.split() for line in text.splitlines()]
        return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}

    def changed(self, name: str, **methods: Any) -> str:
        """The tiny experiment with other settings of some methods."""
        content = yaml.safe_load((ROOT / TINY).read_text())
        content["methods"] |= methods
        (self.folder / name).write_text(yaml.safe_dump(content))
        return name

    def digest(self, ledger: Path) -> str:
        return str(json.loads((self.folder / ledger).read_text())["digest"])
