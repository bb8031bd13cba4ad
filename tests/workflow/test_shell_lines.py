"""Configured text and the shell: nothing that a configuration holds is run as a command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.config.experiment import json_schema, parse_experiment
from pipeline.errors import InputError
from workflow_copy import ROOT

RULES = sorted(ROOT.joinpath("workflow/rules").glob("*.smk"))
HOSTILE = "x $(touch HIT) `touch HIT`; touch HIT & 'a' \"b\" | {input} {c} {0} } <d> > HIT # é"
"""A legal name of a file, and any other text."""

FREE = {
    *("FileSource.path", "FileSource.url", "FileSource.variable", "FileSource.wavelengths"),
    *("FileSource.fwhm", "FileSource.band_numbers", "FileSource.bands", "FileSource.drop_bands"),
    "FileSource.crs",
    *("DatasetSource.image", "DatasetSource.folder"),
    *("TableResponse.path", "TableResponse.bands", "MatrixResponse.path", "MatrixResponse.variable"),
    *(
        "SensorResponse.bands",
        "SpatialConfig.ratio",
        "Pair.ratio",
    ),  # the last three are checked by validators
    *("Products.datetime", "PlrdiffSettings.checkpoint", "ScenesTraining.scenes"),
    *("Sweep.title", "Sweep.note", "Sweep.over", "Cost.title", "Cost.note"),
    *("Trajectory.title", "Trajectory.note", "Trajectory.methods"),
}
"""Texts of a configuration without a pattern; all of them are hostile in the test below."""


def texts(schema: Any) -> Iterator[dict[str, Any]]:
    """All parts of a JSON schema that are texts of any length and content, or of a pattern."""
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not {"enum", "const"} & schema.keys():
            yield schema
        for value in schema.values():
            yield from texts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from texts(value)


def test_texts_of_a_configuration_are_of_a_pattern_or_known_to_be_free() -> None:
    schema = json.loads(json_schema())
    models = {"Experiment": schema, **schema["$defs"]}
    free = set()
    for model, described in models.items():
        for key, part in described.get("properties", {}).items():
            for text in texts(part):
                if "pattern" not in text:
                    free.add(f"{model}.{key}")
                else:
                    assert not re.search(text["pattern"], HOSTILE), (model, key)
                    assert not re.search(text["pattern"], "tcp://$(touch HIT):1"), (model, key)
        for pattern in described.get("patternProperties", {}):
            assert not re.search(pattern, HOSTILE), (model, pattern)
    assert free == FREE


@pytest.mark.parametrize("host", ["$(touch HIT)", "`touch HIT`", "a;touch HIT;", "a b", "a'b", "a{b}"])
def test_a_scheduler_is_an_address(host: str) -> None:
    with pytest.raises(InputError, match=r"compute\.scheduler"):
        parse_experiment(hostile_experiment() | {"compute": {"scheduler": f"tcp://{host}:1"}}, "a.yaml")


def test_every_value_in_a_shell_line_is_quoted() -> None:
    assert len(RULES) == 17
    for path in RULES:
        _, _, line = path.read_text().partition("    shell:\n")
        fields = re.findall(r"\{(.*?)\}", line)
        assert fields or path.name == "common.smk"
        assert [field for field in fields if not field.endswith(":q") and field != "threads"] == []


def hostile_experiment() -> dict[str, Any]:
    """An experiment with hostile text wherever text is free."""
    source = {"kind": "file", "path": f"data {HOSTILE}/{HOSTILE}.npy", "url": f"http://x/{HOSTILE}"}
    source |= dict.fromkeys(("variable", "wavelengths", "fwhm", "band_numbers"), HOSTILE)
    table = {"kind": "table", "path": f"{HOSTILE}.csv", "bands": [HOSTILE]}
    product = {"kind": "file", "path": f"{HOSTILE}.tif", "bands": [HOSTILE], "drop_bands": [HOSTILE]}
    product["crs"] = HOSTILE
    dataset = {"kind": "dataset", "name": "cave", "image": HOSTILE, "folder": HOSTILE}
    title = {"title": HOSTILE, "note": HOSTILE}
    matrix = {"kind": "matrix", "path": f"{HOSTILE}.mat", "variable": HOSTILE}
    spatial = {"kind": "bicubic", "ratio": "4"}
    return {
        "experiment": "hostile",
        "scenes": {
            "simulated": {"source": source},
            "real": {"pair": {"hsi": product, "msi": dataset, "ratio": "3", "spectral": table}},
        },
        "responses": {"a": {"spatial": spatial, "spectral": matrix}},
        "studies": {
            "cost": {"kind": "cost", **title},
            "path": {"kind": "trajectory", "methods": ["mine"], "times": [5, 0], **title},
            "width": {
                "kind": "sweep",
                "method": {"method": "gaussian_subspace"},
                "over": {"d": [3]},
                **title,
            },
        },
        "products": {"datetime": "2013-07-19T10:30:00Z"},
        "methods": {
            "bicubic": {},
            "mine": {"method": "args_diff", "d": 4, "steps": 5},
            "plrdiff": {"checkpoint": HOSTILE},
        },
    }


RECORD = "#!{python}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"


def test_hostile_text_passes_through_the_shell_unchanged(tmp_path: Path) -> None:
    """Snakemake's own shell lines run with a `pipeline` that only prints its arguments."""
    content = hostile_experiment()
    (tmp_path / "hostile.yaml").write_text(yaml.safe_dump(content))
    for text in (content["scenes"]["simulated"]["source"]["path"], f"{HOSTILE}.tif", f"{HOSTILE}.csv"):
        file = tmp_path / text
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"")
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run"]
    options = ["--printshellcmds", "--configfile", "hostile.yaml"]
    done = subprocess.run([*snakemake, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = re.findall(r"^Shell command: (pipeline .*)$", done.stdout + done.stderr, re.MULTILINE)
    steps = {line.split()[1] for line in lines}
    assert steps == {path.stem for path in RULES} - {"common", "clip", "wald", "degrade"}
    recorder = tmp_path / "bin/pipeline"
    recorder.parent.mkdir()
    recorder.write_text(RECORD.format(python=sys.executable))
    recorder.chmod(0o755)
    before = set(tmp_path.rglob("*"))
    for line in lines:
        unlogged = re.sub(r" (2>|> \S+ 2>&1).*$", "", line)
        ran = subprocess.run(
            ["bash", "-c", unlogged],
            cwd=tmp_path,
            env={"PATH": f"{recorder.parent}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        step, *arguments = json.loads(ran.stdout)
        settings = arguments[arguments.index("--settings") + 1]
        if step in ("download", "align", "simulate", "report"):
            assert HOSTILE in json.dumps(json.loads(settings), ensure_ascii=False).replace('\\"', '"')
    assert set(tmp_path.rglob("*")) == before
