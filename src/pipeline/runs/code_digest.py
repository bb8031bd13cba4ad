"""The source files on which a step's result depends, found by following imports.

Rules have a digest of them as a parameter, so that a change of the code reruns the steps it can matter to
and no others. Nothing is imported here; data files beside the code are not found.

>>> [path.name for path in source_files("pipeline.core.sensing.noise", Path(__file__).parents[2])]
['noise.py']
"""

from __future__ import annotations

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path

# settings are parameters of the rules already; the packages and the registry lead to every method;
# the others carry results without deciding them
NOT_FOLLOWED = {
    "pipeline",
    "pipeline.config.experiment",
    "pipeline.store.files",
    "pipeline.store.shards",
    "pipeline.store.store",
    "pipeline.store.verified",
    "pipeline.errors",
    "pipeline.methods",
    "pipeline.config.exports",
    "pipeline.runs.provenance",
    "pipeline.config.responses",
    "pipeline.config.scenes",
    "pipeline.settings",
    "pipeline.settings.strict",
    "pipeline.runs.workers",
    "pipeline.runs.progress",
    "pipeline.runs.timing",
}


def source_files(module: str, root: Path = Path("src")) -> list[Path]:
    """Files of a module and of all that it imports from this package, sorted.

    Parameters
    ----------
    module : str
        Such as `pipeline.steps.crop`.
    root : Path
        Folder that holds the package; the files are given below it.
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and _followed(name):
            found.add(name)
            waiting += _imports(_file(name, root), root)
    return sorted(_file(name, root) for name in found)


def _followed(module: str) -> bool:
    """Tell whether a module's code counts; models of settings do not, for their values are parameters."""
    is_settings = module.startswith("pipeline.methods.") and module.endswith(".settings")
    return module not in NOT_FOLLOWED and not is_settings


@cache
def code_digest(*modules: str, files: tuple[str, ...] = ()) -> str:
    """SHA-256 over the code of modules and of all that they import; comments do not count.

    Parameters
    ----------
    *modules : str
        Such as `pipeline.steps.crop`.
    files : tuple of str
        Data files of the package, such as `report/template.html`, that count as they are.
    """
    root = Path(__file__).parents[2]
    digest = sha256()
    for path in sorted({path for module in modules for path in source_files(module, root)}):
        digest.update(f"{path.relative_to(root).as_posix()}:{_code(path)}".encode())
    for name in files:
        digest.update(name.encode() + (root / "pipeline" / name).read_bytes())
    return digest.hexdigest()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _code(path: Path) -> str:
    return ast.dump(_tree(path))


@cache
def _imports(path: Path, root: Path) -> list[str]:
    """Modules of this package that a file imports."""
    names: list[str] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("pipeline.") and _file(name, root).is_file()]


def _file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
