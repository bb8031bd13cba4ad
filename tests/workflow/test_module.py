"""The workflow as a module of another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from workflow_copy import ROOT, TINY, Workflow

pytestmark = pytest.mark.long

SNAKEFILE = """
module fusion:
    snakefile: "fusion/Snakefile"
    config: {config}

use rule * from fusion as fusion_*

rule count:
    default_target: True
    input: "results/one/summary.csv"
    output: "runs.txt"
    shell: "tail -n +2 {{input}} | wc -l > {{output}}"
"""


def test_another_workflow_uses_the_rules(tmp_path: Path) -> None:
    workflow = Workflow(tmp_path / "fusion")
    content = yaml.safe_load((ROOT / TINY).read_text()) | {"experiment": "one", "methods": {"bicubic": {}}}
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(config=json.dumps(content)))
    done = workflow.call(
        "--directory", str(tmp_path), "--snakefile", str(tmp_path / "Snakefile"), "--cores", "2"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule fusion_fuse" in done.stdout + done.stderr
    assert (tmp_path / "runs.txt").read_text().split() == ["1"]
