"""A change of the code reruns the steps whose results it can alter, and no others."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from pipeline.methods import methods
from pipeline.runs.code_digest import NOT_FOLLOWED, ROOT, _code, code_digest, source_files

STEPS = sorted(path.stem for path in (ROOT / "pipeline/steps").glob("*.py") if path.stem != "__init__")


@cache
def names(module: str) -> set[str]:
    return {path.relative_to(ROOT / "pipeline").as_posix() for path in source_files(module, ROOT)}


def test_imports_are_followed_through_packages() -> None:
    found = names("pipeline.methods.args_diff")
    assert {"methods/args_diff/__init__.py", "methods/args_diff/networks.py"} <= found
    assert "core/sensing/spatial.py" in found
    assert {"inputs/file_scene.py", "inputs/missions/enmap.py"} <= names("pipeline.steps.crop")
    assert "core/quality/ssim.py" in names("pipeline.steps.evaluate")


@pytest.mark.parametrize("method", methods())
def test_a_method_does_not_depend_on_another(method: str) -> None:
    others = {f"methods/{name}" for name in methods()} - {f"methods/{method}"}
    for module in (f"pipeline.methods.{method}", "pipeline.steps.train", "pipeline.steps.fuse"):
        assert not [file for file in names(module) if any(file.startswith(f"{other}/") for other in others)]


@pytest.mark.parametrize("step", ["train", "fuse", "estimate"])
def test_no_step_before_evaluate_depends_on_the_metrics(step: str) -> None:
    assert not {"core/quality/metrics.py", "core/quality/reliability.py"} & names(f"pipeline.steps.{step}")


def test_excluded_modules_exist() -> None:
    for module in NOT_FOLLOWED:
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize(
    ("helper", "must", "must_not"),
    [
        ("errors.py", {"crop", "fuse", "report"}, set()),
        ("settings/validation.py", {"crop"}, set()),
        ("core/sensing/spatial.py", {"simulate", "align", "estimate", "train", "fuse", "evaluate"}, set()),
        ("core/quality/ssim.py", {"evaluate"}, {"simulate", "estimate", "train", "fuse"}),
        ("methods/base.py", {"train", "fuse"}, {"crop", "simulate"}),
        ("store/shards.py", {"crop", "simulate", "fuse", "mosaic"}, set()),
        ("config/responses.py", {"simulate"}, {"mosaic"}),
        ("inputs/missions/enmap.py", {"crop", "align"}, {"train", "fuse", "evaluate"}),
        ("core/sensing/sensors/multispectral.json", {"crop", "simulate", "align"}, {"train", "fuse"}),
        ("export/cog.py", {"export"}, {"fuse", "evaluate", "report"}),
        ("report/drawing/figures.py", {"report"}, {"fuse", "evaluate", "export"}),
        ("report/template.html", {"report"}, {"fuse", "evaluate", "export"}),
        ("runs/tiles.py", {"fuse", "mosaic"}, {"crop", "simulate", "train"}),
    ],
)
def test_steps_depend_on_their_helpers(helper: str, must: set[str], must_not: set[str]) -> None:
    dependent = {step for step in STEPS if helper in names(f"pipeline.steps.{step}")}
    assert must <= dependent
    assert not must_not & dependent


def test_changed_files_change_the_digests_of_what_depends_on_them_alone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("methods/hysure/method.py", "report/template.html"):
        with (tmp_path / "pipeline" / file).open("a") as changed:
            changed.write("\nCHANGED = True\n")
    modules = [*(f"pipeline.methods.{name}" for name in methods()), "pipeline.steps.report"]
    assert [m for m in modules if code_digest(m, root=tmp_path) != code_digest(m)] == [
        "pipeline.methods.hysure",
        "pipeline.steps.report",
    ]


def test_comments_and_docstrings_do_not_count_as_code(tmp_path: Path) -> None:
    bare, commented, documented, other = (tmp_path / f"{name}.py" for name in "abcd")
    bare.write_text("def f():\n    return 1\n")
    commented.write_text("# why\ndef f():\n    return 1  # because\n")
    documented.write_text('"""Module."""\n\n\ndef f():\n    """Return one."""\n    return 1\n')
    other.write_text("def f():\n    return 2\n")
    assert _code(bare) == _code(commented) == _code(documented) != _code(other)


def test_a_package_that_discovers_its_modules_leads_to_all_of_them(tmp_path: Path) -> None:
    package = tmp_path / "pipeline" / "readers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import pkgutil\nnames = list(pkgutil.iter_modules(__path__))\n")
    (package / "tiff.py").write_text("x = 1\n")
    found = [path.name for path in source_files("pipeline.readers", tmp_path)]
    assert found == ["__init__.py", "tiff.py"]
