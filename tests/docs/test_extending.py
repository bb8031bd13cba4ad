"""The examples of `docs/extending.md`, added to a copy of the package and used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/extending.md").read_text()
USE_METRIC = """
import numpy as np, pipeline
from pipeline.report.numbers.columns import QUALITY, SUMMARY_COLUMNS
print(pipeline.evaluate(np.zeros((2, 8, 8)), np.full((2, 8, 8), 0.25), ratio=4)["mae"])
print(SUMMARY_COLUMNS.index("mae") < SUMMARY_COLUMNS.index("device"), QUALITY[-1].hint)
"""


def code_of(title: str) -> list[str]:
    """The blocks of Python in the section of the page under a heading."""
    section = GUIDE.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_a_metric_is_one_entry(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (block,) = code_of("Add a metric")
    with (tmp_path / "src/pipeline/core/quality/metrics.py").open("a") as file:
        file.write(f"\n\n{block}")
    done = subprocess.run(
        [sys.executable, "-c", USE_METRIC],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hint = "mean over bands and pixels of |X - Z|; lower is better"
    assert done.stdout.splitlines() == ["0.25", f"True {hint}"]
