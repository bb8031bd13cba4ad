"""The three lists of requirements agree, and the code imports nothing that they do not name."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
CONDA_NAMES = {"torch": "pytorch"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(r.name): r for r in map(Requirement, filter(None, lines))}


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_environment_is_in_step_with_pyproject(path: Path) -> None:
    wanted = {CONDA_NAMES.get(r.name, r.name): r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    wanted["python"] = SpecifierSet(PROJECT["requires-python"])
    environment = yaml.safe_load(path.read_text())
    entries = [entry.partition(" ") for entry in environment["dependencies"] if entry != "pip"]
    assert {name: SpecifierSet(bounds) for name, _, bounds in entries} == wanted
    assert environment["channels"] == ["conda-forge", "bioconda", "nodefaults"]


@pytest.mark.parametrize("extra", ["dependencies", *EXTRAS])
def test_every_requirement_is_pinned_within_its_bounds(extra: str) -> None:
    for requirement in map(Requirement, EXTRAS.get(extra, PROJECT["dependencies"])):
        (pin,) = pins()[canonicalize_name(requirement.name)].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{pin.version} is outside {requirement}"


def test_everything_that_is_installed_is_pinned() -> None:
    pinned = pins()
    waiting = [Requirement(line) for line in [*PROJECT["dependencies"], *EXTRAS["test"]]]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ["", *requirement.extras]:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            assert name in pinned, f"constraints.txt lacks {name}"
            try:
                needed = [Requirement(line) for line in requires(name) or []]
            except PackageNotFoundError:
                pytest.fail(f"{name} is required but not installed")
            waiting += [r for r in needed if r.marker is None or r.marker.evaluate({"extra": extra})]
    assert len(seen) > 60


def test_every_import_is_a_declared_requirement() -> None:
    lines = [*PROJECT["dependencies"], *EXTRAS["tables"]]  # the latter are imported where installed
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    owners = packages_distributions()
    imported = {
        name.split(".")[0]
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in imported_names(node)
    }
    for module in sorted(imported - set(sys.stdlib_module_names) - {"pipeline"}):
        assert declared & set(map(canonicalize_name, owners[module])), f"{module} is not in pyproject.toml"


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
