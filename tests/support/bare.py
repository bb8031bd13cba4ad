"""A machine with PyTorch and the numerical packages alone, on which `pipeline.fuse` has to run.

The interpreter starts without `site-packages`. Its path has the package's sources and a folder with links to
the distributions below and to what they require, so that every other package is missing as it would be
there: its modules cannot be imported, and it has no version.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

SOURCES = Path(__file__).parents[2] / "src"
DISTRIBUTIONS = ("torch", "numpy", "scipy", "pydantic", "safetensors")


def run_bare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a script and its arguments, or with `-c` and code, on a bare machine."""
    packages = folder / "packages"
    packages.mkdir()
    for name in sorted(_required(DISTRIBUTIONS)):
        installed = distribution(name)
        for part in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            (packages / part).symlink_to(Path(str(installed.locate_file(part))))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(packages), str(SOURCES)])}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _required(names: tuple[str, ...]) -> set[str]:
    """Return distributions and all installed ones that they require."""
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        try:
            lines = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        reached.add(name)
        requirements = map(Requirement, lines)
        waiting += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return reached
