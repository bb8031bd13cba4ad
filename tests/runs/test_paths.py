"""The results tree: names of a run from the place of its files, and back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.runs.paths import experiment_at, experiment_folder, run_folder

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_leads_back_to_its_run(tmp_path: Path) -> None:
    run = experiment_at(tmp_path / "demo").scene("field").images("oli", 3).run("sharp")
    for path in (run.metrics, run.fused.ledger, run.fitted, run.timing("fuse")):
        assert run_folder(path) == run
    assert run_folder(run.metrics).experiment.report == tmp_path / "demo/report.html"


@pytest.mark.parametrize("path", ["fused.json", "/run/fused.json", "/a/scene/oli/seedx/sharp/fused.json"])
def test_a_file_outside_of_the_tree_is_refused(path: str) -> None:
    with pytest.raises(InputError, match=r"does not lie in the folder of a run, <scene>/<response>/seed<k>/"):
        run_folder(Path(path))


def test_finished_runs_of_a_method_are_listed(tmp_path: Path) -> None:
    folder = experiment_at(tmp_path)
    runs = [folder.scene(scene).images("oli", 0).run("sharp") for scene in ("a", "b")]
    for run in runs:
        run.path.mkdir(parents=True)
        run.timing("fuse").touch()
    (folder.scene("c").images("oli", 0).run("sharp").path).mkdir(parents=True)
    assert sorted(folder.runs("sharp"), key=lambda run: run.scene.name) == runs


def test_the_tree_is_spelled_once() -> None:
    places = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk"), *(ROOT / "src").rglob("*.py")]
    spelled = [path.name for path in places if re.search(r"/seed\{|seed\{seed\}", path.read_text())]
    assert spelled == ["paths.py"]
    pattern = experiment_folder("{experiment}").scene("{scene}").images("{response}", "{seed}").run("{label}")
    assert pattern.fused.metadata.as_posix() == (
        "results/{experiment}/{scene}/{response}/seed{seed}/{label}/fused.zarr/zarr.json"
    )
