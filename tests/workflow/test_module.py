"""The workflow as a module of another one, with the lines of docs/experiments.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from workflow_copy import ROOT, TINY, Workflow

pytestmark = pytest.mark.long

RULE = """
rule count:
    default_target: True
    input: "results/one/summary.csv"
    output: "runs.txt"
    shell: "tail -n +2 {input} | wc -l > {output}"
"""


def test_another_workflow_uses_the_rules(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "package")
    content = yaml.safe_load((ROOT / TINY).read_text()) | {"experiment": "one", "methods": {"bicubic": {}}}
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump({"fusion": content}))
    page = (ROOT / "docs/experiments.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?use rule.*?)```", page, re.DOTALL)
    (tmp_path / "Snakefile").write_text(lines + RULE)
    files = ("--snakefile", str(tmp_path / "Snakefile"), "--configfile", str(tmp_path / "ours.yaml"))
    done = workflow.call("--directory", str(tmp_path), *files, "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule fusion_fuse" in done.stdout + done.stderr
    assert (tmp_path / "runs.txt").read_text().split() == ["1"]
