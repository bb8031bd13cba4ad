"""The examples of `docs/extending.md`, added to a copy of the package and used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.config.scenes import SyntheticSource
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.runs.paths import experiment_at
from pipeline.store.files import read_json
from pipeline.store.schema import cube_dataset
from pipeline.store.store import write_store
from workflow_copy import Workflow

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/extending.md").read_text()
USE_METRIC = """
import numpy as np, pipeline
from pipeline.report.numbers.columns import QUALITY, SUMMARY_COLUMNS
print(pipeline.evaluate(np.zeros((2, 8, 8)), np.full((2, 8, 8), 0.25), ratio=4)["mae"])
print(SUMMARY_COLUMNS.index("mae") < SUMMARY_COLUMNS.index("device"), QUALITY[-1].hint)
"""


def code_of(title: str, language: str = "python") -> list[str]:
    """The blocks of code in the section of the page under a heading."""
    section = GUIDE.split(f"## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


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


@pytest.mark.long
def test_a_step_is_a_module_and_a_rule(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path)
    (module,) = code_of("Add a step")
    rule, include, target = code_of("Add a step", "snakemake")
    (tmp_path / "src/pipeline/steps/spectrum.py").write_text(module)
    (tmp_path / "workflow/rules/spectrum.smk").write_text(rule)
    text = (tmp_path / "Snakefile").read_text()
    after, last = 'include: "workflow/rules/mosaic.smk"\n', "        runs(RUN.fused.ledger),\n"
    (tmp_path / "Snakefile").write_text(text.replace(after, after + include).replace(last, last + target))
    assert workflow.planned()["spectrum"] == 3

    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=8, width=8, bands=4))
    run = experiment_at(tmp_path / "results/tiny").scene("synthetic").images("four_bands", 0).run("bicubic")
    write_store(run.fused.folder, cube_dataset(scene.data, scene), {})
    out = run.path / "spectrum.json"
    done = workflow.pipeline("spectrum", "--fused", str(run.fused.ledger), "--out", str(out))
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(read_json(out)["mean"], scene.data.mean(axis=(1, 2)), rtol=1e-6)
    shown = workflow.pipeline("--help").stdout
    assert "Write the mean spectrum of a fused cube." in shown
