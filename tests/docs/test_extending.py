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
HEADINGS = [
    "What it assumes",
    "When to use it",
    "Settings that matter",
    "Cost",
    "Differences from the paper",
]
USE_METRIC = """
import numpy as np, pipeline
from pipeline.report.numbers.columns import QUALITY, SUMMARY_COLUMNS
print(pipeline.evaluate(np.zeros((2, 8, 8)), np.full((2, 8, 8), 0.25), ratio=4)["mae"])
print(SUMMARY_COLUMNS.index("mae") < SUMMARY_COLUMNS.index("device"), QUALITY[-1].hint)
"""


USE_METHOD = """
import sys
import numpy as np, pipeline
from pipeline.config.experiment import json_schema, parse_experiment
truth = np.load("truth.npy")
pair = pipeline.simulate(
    truth,
    spectral_response=np.kron(np.eye(3), np.full((1, 4), 0.25)),
    spatial_response=pipeline.SpatialResponse.bicubic(ratio=4),
)
known = dict(spectral_response=pair.spectral_response, spatial_response=pair.spatial_response)
def psnr(method, **settings):
    cube = pipeline.fuse(pair.lr_hsi, pair.hr_msi, method=method, **known, **settings).cube
    return pipeline.evaluate(truth, cube, ratio=4)["psnr"]
print("injection" in pipeline.methods(), "torch" in sys.modules, "InjectionSettings" in json_schema())
print(psnr("injection") > psnr("injection", strength=0.0), psnr("injection", strength=0.0) == psnr("bicubic"))
scene = {"source": {"kind": "synthetic", "height": 8, "width": 8, "bands": 4}}
response = {
    "spatial": {"kind": "bicubic", "ratio": 4},
    "spectral": {"kind": "gaussian", "centres": [500, 600], "fwhm": 80},
}
content = {"experiment": "e", "scenes": {"s": scene}, "responses": {"r": response}}
content["methods"] = {"injection": {"strength": 0.5}}
print(parse_experiment(content, "e.yaml").methods["injection"])
"""


def code_of(title: str, language: str = "python") -> list[str]:
    """The blocks of code in the section of the page under a heading."""
    section = GUIDE.split(f"## {title}\n")[1].split("\n## Add a ")[0]  # an example has headings of its own
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_a_method_is_one_folder(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "src/pipeline/methods/injection"
    folder.mkdir()
    blocks = [*code_of("Add a method"), *code_of("Add a method", "markdown")]
    for name, block in zip(("__init__.py", "settings.py", "method.py", "README.md"), blocks, strict=True):
        (folder / name).write_text(block)
    assert re.findall(r"^## (.+)$", blocks[-1], re.MULTILINE) == HEADINGS
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=48, width=48, bands=12))
    np.save(tmp_path / "truth.npy", scene.data)
    assert used(tmp_path, USE_METHOD) == [
        "True False True",
        "True True",
        "method='injection' seeds=None strength=0.5",
    ]


def used(folder: Path, code: str) -> list[str]:
    """The lines that code prints with the copy of the package in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_metric_is_one_entry(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (block,) = code_of("Add a metric")
    with (tmp_path / "src/pipeline/core/quality/metrics.py").open("a") as file:
        file.write(f"\n\n{block}")
    hint = "mean over bands and pixels of |X - Z|; lower is better"
    assert used(tmp_path, USE_METRIC) == ["0.25", f"True {hint}"]


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
