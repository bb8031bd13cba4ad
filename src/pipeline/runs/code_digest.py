"""Digest of the code on which a step's result depends, found by following imports.

Each rule has the digest of its step as a parameter, so that a change of the code reruns the steps
whose results it can alter, and no others. Comments, docstrings and layout do not count. The files are
read as text; nothing is imported.

>>> [path.name for path in source_files("pipeline.core.sensing.noise", ROOT)]
['noise.py']
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Folder that holds the package."""

DATA = {".csv", ".html", ".json", ".npz"}
"""Suffixes of data files that count with the modules in the same folder."""

NOT_FOLLOWED = {
    "pipeline",  # the public names, which lead everywhere
    "pipeline.config.experiment",  # passes to each rule, as parameters, the settings that it uses
    "pipeline.methods",  # the registry: a step names the method that it runs
}


def source_files(module: str, root: Path) -> list[Path]:
    """List the files of a module and of all modules and data on which it depends, sorted.

    A module depends on the modules of this package that it imports. A package that discovers its modules with
    `iter_modules` depends on all of them.

    Parameters
    ----------
    module : str
        Name of the module, such as `pipeline.steps.crop`.
    root : Path
        Folder that holds the package.

    Returns
    -------
    list of Path
        Files below `root`: the modules, and the data files in their folders.
    """
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in reached | NOT_FOLLOWED:
            reached.add(name)
            waiting += _leads_to(name, root)
    modules = {_file(name, root) for name in reached}
    data = {file for folder in {path.parent for path in modules} for file in _data_files(folder)}
    return sorted(modules | data)


@cache
def code_digest(*modules: str, root: Path = ROOT) -> str:
    """Compute the SHA-256 over the code of modules and of all modules on which they depend.

    Parameters
    ----------
    *modules : str
        Names of modules, such as `pipeline.steps.crop`.
    root : Path
        Folder that holds the package.
    """
    digest = sha256()
    for path in sorted({path for module in modules for path in source_files(module, root)}):
        content = _code(path) if path.suffix == ".py" else path.read_text()
        digest.update(f"{path.relative_to(root).as_posix()}:{content}".encode())
    return digest.hexdigest()


@cache
def _tree(path: Path) -> ast.Module:
    """Parse a file and leave out its docstrings."""
    tree: ast.Module = _WithoutDocstrings().visit(ast.parse(path.read_text()))
    return tree


@cache
def _code(path: Path) -> str:
    return ast.dump(_tree(path))


class _WithoutDocstrings(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Drop strings that stand alone as statements."""
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if alone else node


@cache
def _leads_to(module: str, root: Path) -> list[str]:
    """List the modules of this package that a module imports or discovers."""
    path = _file(module, root)
    names = list(_imports(path))
    if _discovers_modules(path):
        names += [f"{module}.{file.stem}" for file in path.parent.glob("*.py") if file.stem != "__init__"]
        names += [f"{module}.{file.parent.name}" for file in path.parent.glob("*/__init__.py")]
    return [name for name in names if _file(name, root).is_file()]


def _imports(path: Path) -> Iterator[str]:
    """Return names that may be modules of this package, from the import statements of a file."""
    for node in _walk(path):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipeline"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("pipeline"))


def _discovers_modules(path: Path) -> bool:
    nodes = (node for node in _walk(path) if isinstance(node, ast.Attribute | ast.Name))
    return any(
        (node.attr if isinstance(node, ast.Attribute) else node.id) == "iter_modules" for node in nodes
    )


def _walk(path: Path) -> Iterator[ast.AST]:
    return ast.walk(_tree(path))


@cache
def _data_files(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.suffix in DATA]


def _file(module: str, root: Path) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
