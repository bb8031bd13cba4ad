"""The command line: one clear line for wrong input, a traceback for everything unforeseen."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from command import call, refusal
from pipeline.cli.steps import step_commands

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = "paper_size.yaml"  # no experiment of its own
CONFIGS = sorted(path for path in (ROOT / "config").rglob("*.yaml") if path.name != OVERLAY)
BICUBIC = '{"method": "bicubic"}'


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_check_accepts_the_configurations(path: Path) -> None:
    result = call("check", path)
    assert result.exit_code == 0, result.stderr
    assert "runs" in result.stdout


def test_check_counts_runs() -> None:
    assert call("check", ROOT / "config/demo.yaml").stdout.endswith("experiment demo, 4 runs\n")


def test_check_names_the_key(tmp_path: Path) -> None:
    text = (ROOT / "config/test/tiny.yaml").read_text().replace("gaussian_subspace: {d: 4}", "bicubik: {}")
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    message = refusal("check", path)
    assert message.startswith(f"{path}: methods.bicubik: ")
    assert "'gaussian_subspace'" in message


def test_stored_schema_is_in_step_with_the_models(tmp_path: Path) -> None:
    printed = call("schema")
    assert printed.stdout == (ROOT / "config/schema.json").read_text(), (
        "run `pipeline schema --out config/schema.json`"
    )
    call("schema", "--out", tmp_path / "schema.json")
    assert (tmp_path / "schema.json").read_text() == printed.stdout


def test_every_step_is_a_command_whose_options_are_described() -> None:
    commands = step_commands()
    assert {path.stem for path in (ROOT / "workflow/rules").glob("*.smk")} - {"common"} == set(commands)
    for name, command in commands.items():
        assert (command.help or "").endswith("."), name
        for parameter in command.get_params(typer.Context(command)):
            assert parameter.get_help_record(typer.Context(command))[1], f"{name} {parameter.name}"  # type: ignore[index]


@pytest.mark.parametrize("words", [["--help"], ["fuse", "--help"], ["fuse", "--seed", "-1"]], ids=" ".join)
def test_help_and_refused_options_load_no_step(words: list[str]) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from pipeline.cli.app import app;"
        f"assert CliRunner().invoke(app, {words}).output;"
        "assert not [name for name in sys.modules if name.startswith(('pipeline.steps.', 'torch', 'xarray'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    source = '{"source": {"kind": "file", "path": "nowhere.mat"}}'
    message = refusal("download", "--settings", source, "--out", tmp_path / "source.json")
    assert message.startswith("nowhere.mat: no such file")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("{", "--settings: not valid JSON"),
        ('{"method": "magic"}', "--settings: 'method' should be one of"),
        ('{"method": "bicubic", "d": 3}', "--settings: unknown key 'd'"),
    ],
)
def test_wrong_settings_are_one_line(settings: str, expected: str, tmp_path: Path) -> None:
    ledgers = ("--observation", tmp_path / "o.json", "--estimate", tmp_path / "e.json")
    out = tmp_path / "fitted.safetensors"
    message = refusal("train", *ledgers, "--settings", settings, "--seed", "0", "--out", out)
    assert message.startswith(expected)


def test_operating_system_errors_are_one_line(tmp_path: Path) -> None:
    message = refusal("schema", "--out", tmp_path / "none" / "schema.json")
    assert message == f"{tmp_path}/none/schema.json: No such file or directory"


def test_unforeseen_errors_keep_their_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.steps import download

    def broken(*_: object) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr(download, "describe", broken)
    source = '{"source": {"kind": "synthetic"}}'
    result = call("download", "--settings", source, "--out", tmp_path / "source.json")
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_summary_needs_results(tmp_path: Path) -> None:
    assert "summary.csv: no such file" in refusal("summary", tmp_path)


def test_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "check", "nowhere.yaml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "pipeline check: nowhere.yaml: no such file; configurations lie in config/\n"


def test_steps_by_hand_lead_from_scene_to_metrics(tmp_path: Path) -> None:
    def step(name: str, *files: Path, **options: object) -> Path:
        words = [*files] + [str(word) for key, value in options.items() for word in (f"--{key}", value)]
        result = call(name, *words)
        assert result.exit_code == 0, result.output
        return Path(str(options["out"]))

    scene = '{"source": {"kind": "synthetic", "height": 32, "width": 32, "bands": 8}}'
    spectral = {"kind": "gaussian", "centres": [700, 1600], "fwhm": 400}
    response = {"spatial": {"kind": "box", "ratio": 4}, "spectral": spectral}
    sensors = json.dumps({"response": response, "noise": {"snr_db": 30}})
    pair = tmp_path / "scene/response/seed0"
    run = pair / "bicubic"

    source = step("download", settings=scene, out=pair.parents[1] / "source.json")
    reference = step("crop", source=source, settings=scene, out=source.with_name("reference.json"))
    observation = step(
        "simulate", reference=reference, settings=sensors, seed=0, out=pair / "observation.json"
    )
    estimate = step("estimate", observation=observation, settings="{}", out=pair / "estimate.json")
    seen = {"observation": observation, "estimate": estimate}
    method = {"settings": BICUBIC, "seed": 0}
    fitted = step("train", **seen, **method, out=run / "fitted.safetensors")
    plan = json.dumps({"tiling": {"core": 16}, "method": json.loads(BICUBIC)})
    tiles = step("plan", observation=observation, settings=plan, batches=2, out=run / "plan.json")
    made = {**seen, "fitted": fitted, "plan": tiles, **method}
    parts = [step("fuse", **made, out=run / f"tiles/{n}-of-2.json") for n in (1, 2)]
    fused = step("mosaic", *parts, **made, out=run / "fused.json")
    metrics = step(
        "evaluate",
        reference=reference,
        observation=observation,
        fused=fused,
        settings=BICUBIC,
        out=run / "metrics.json",
    )
    content = json.loads(metrics.read_text())
    assert (content["scene"], content["response"], content["label"]) == ("scene", "response", "bicubic")
    assert content["metrics"]["psnr"] > 15


def test_example_of_a_configuration_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "config/README.md").read_text(), re.DOTALL)
    path = tmp_path / "example.yaml"
    path.write_text(example)
    assert call("check", path).stdout == f"{path}: experiment example, 9 runs\n"
