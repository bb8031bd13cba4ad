"""Where the workflow's own files are: in the package that a wheel installs, or in the clone."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from pipeline.errors import InputError

PACKAGE = Path(__file__).parents[1]


def workflow_folder() -> Path:
    """Return the folder of the `Snakefile`, `config/`, `envs/`, `profiles/` and `workflow/`.

    A wheel holds a copy of them; an editable installation reads the clone's.
    """
    folders = (PACKAGE / "workflow_files", PACKAGE.parents[1])
    for folder in folders:
        if (folder / "Snakefile").is_file():
            return folder
    raise InputError(f"no Snakefile in {' or '.join(map(str, folders))}; install the package again")


def configuration_file(name: str) -> Path:
    """Find the configuration of an experiment.

    Parameters
    ----------
    name : str
        A path ending in `.yaml` or `.yml`, or a name such as `demo` or `studies/rho`: `config/<name>.yaml`
        in the working directory, else the configuration that comes with the workflow.

    Raises
    ------
    InputError
        If there is no such file; the line names similar configurations.
    """
    if name.endswith((".yaml", ".yml")):
        if Path(name).is_file():
            return Path(name)
        raise InputError(f"{name}: no such file; give a configuration, or the name of one, such as demo")
    folders = (Path("config"), workflow_folder() / "config")
    for folder in folders:
        if (path := folder / f"{name}.yaml").is_file():
            return path
    known = sorted({_name(path, folder) for folder in folders for path in folder.rglob("*.yaml")})
    near = get_close_matches(name, known, n=3) or [key for key in known if "/" not in key]
    choice = ", ".join(near)
    raise InputError(f"{name}: no such configuration; give a path ending in .yaml, or one of {choice}")


def package_file(name: str) -> str:
    """Return a file of the package relative to the working directory, or absolute if it lies elsewhere.

    The path of a clone's file thus stays the same when the clone is moved, and no rule runs again.

    Parameters
    ----------
    name : str
        Path within the package.
    """
    path = PACKAGE / name
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
