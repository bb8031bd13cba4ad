"""The files that rerun a step are those that it imports, without those of other methods."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.methods import methods
from pipeline.runs.code_digest import NOT_FOLLOWED, _code, code_digest, source_files

ROOT = Path(__file__).resolve().parents[2] / "src"


def names(module: str) -> set[str]:
    return {path.relative_to(ROOT / "pipeline").as_posix() for path in source_files(module, ROOT)}


def test_imports_are_followed_through_packages() -> None:
    found = names("pipeline.methods.args_diff")
    assert {
        "methods/args_diff/__init__.py",
        "methods/args_diff/networks.py",
        "core/sensing/spatial.py",
    } <= found
    assert {"inputs/file_scene.py", "inputs/missions/enmap.py"} <= names("pipeline.steps.crop")
    assert "core/quality/ssim.py" in names("pipeline.steps.evaluate")


@pytest.mark.parametrize("method", methods())
def test_a_method_does_not_depend_on_another(method: str) -> None:
    others = {f"methods/{name}" for name in methods()} - {f"methods/{method}"}
    for module in (f"pipeline.methods.{method}", "pipeline.steps.train", "pipeline.steps.fuse"):
        assert not [file for file in names(module) if any(file.startswith(other) for other in others)]


@pytest.mark.parametrize("step", ["train", "fuse", "estimate"])
def test_no_step_before_evaluate_depends_on_the_metrics(step: str) -> None:
    assert not {"core/quality/metrics.py", "core/quality/reliability.py"} & names(f"pipeline.steps.{step}")


def test_excluded_modules_exist() -> None:
    for module in NOT_FOLLOWED:
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_a_comment_does_not_count_as_code(tmp_path: Path) -> None:
    bare, commented, other = (tmp_path / name for name in ("a.py", "b.py", "c.py"))
    bare.write_text("x = 1\n")
    commented.write_text("# why\nx = 1  # one\n")
    other.write_text("x = 2\n")
    assert _code(bare) == _code(commented) != _code(other)


def test_data_files_count_as_they_are() -> None:
    page = code_digest("pipeline.steps.report", files=("report/template.html",))
    assert page != code_digest("pipeline.steps.report") == code_digest("pipeline.steps.report", files=())
