"""The example configurations on a copy of the repository alone, their scenes from a mirror on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from loopback import good, serving
from mirror import layout
from pipeline.config.experiment import load_experiment
from workflow_copy import Workflow

FILES = {
    "jasper_ridge": {"/jasper_ridge/jasperRidge2_R198.mat"},
    "berlin": {
        f"/berlin/{image}.{suffix}"
        for image in ("enmap_30m", "hymap_3.6m", "enmap_30m_small", "hymap_9m")
        for suffix in ("bsq", "hdr")
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_an_example_runs_from_a_mirror_to_its_report(
    name: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the methods that do not train, under the first noise seed."""
    workflow = Workflow(tmp_path)
    path = tmp_path / f"config/{name}.yaml"
    experiment = load_experiment(path)
    kept = [label for label, settings in experiment.methods.items() if not settings.trains]
    content = yaml.safe_load(path.read_text())
    content["methods"] = {label: content["methods"][label] for label in kept}
    if (
        name == "berlin"
    ):  # the deviation of its 300,000 pixels takes eight CPU minutes, and is no example's point
        content["methods"]["graph_subspace"] |= {"draws": 0}
    content["noise"] = (content.get("noise") or {}) | {"seeds": [0]}
    path.write_text(yaml.safe_dump(content))
    monkeypatch.delenv("PIPELINE_DATA", raising=False)
    with serving() as server:
        for place, file in layout(shared_data).items():
            server.offer(f"/{place}", good(file.read_bytes()))
        monkeypatch.setenv("PIPELINE_MIRROR", server.address)
        done = workflow.call("--cores", "2", "--config", f"experiment={name}")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert {address for address, _ in server.asked} == FILES[name]
    results = tmp_path / "results" / name
    assert (results / "report.html").stat().st_size > 100_000
    summary = workflow.pipeline("summary", str(results)).stdout
    assert all(label in summary for label in kept)
