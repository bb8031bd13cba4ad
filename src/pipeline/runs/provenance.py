"""Where a result comes from: code, packages, configuration and inputs.

Everything here is the same for equal runs: no time, no host, no absolute path. Measured seconds and memory
are in `runs.timing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from pydantic import BaseModel

from pipeline.errors import InputError
from pipeline.store.files import sha256_of

DISTRIBUTION = "hsi-fusion-pipeline"
SOURCES = Path(__file__).parents[1]
PACKAGES = ("numpy", "scipy", "torch", "zarr", "xarray", "rasterio", "pydantic")


def provenance(
    step: str,
    *,
    settings: BaseModel,
    inputs: Sequence[Path],
    seed: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Return the provenance of a step's result.

    Parameters
    ----------
    step : str
        Name of the step.
    settings : BaseModel
        The part of the configuration that the step uses.
    inputs : sequence of Path
        Files that were read; ledgers stand for their stores.
    seed : int, optional
        Seed of the step's random draws.
    device : str, optional
        Device on which it was computed.
    """
    content: dict[str, Any] = {
        "step": step,
        "configuration": configuration_hash(settings),
        "code": code_version(),
        "packages": package_versions(),
        "inputs": {path.name: sha256_of(path) for path in inputs},
    }
    extra = {"seed": seed, "device": device}
    return content | {key: value for key, value in extra.items() if value is not None}


def check_origin(
    ledger: Path,
    origin: Mapping[str, Any],
    *,
    inputs: Sequence[Path] = (),
    settings: BaseModel | None = None,
    seed: int | None = None,
) -> None:
    """Refuse a result of other inputs, settings or another seed than a step was given.

    What the provenance does not name is not compared.

    Parameters
    ----------
    ledger : Path
        The result's file, for messages.
    origin : mapping
        Its provenance.
    inputs : sequence of Path
        Files from which it should have been made; they are compared by their names.
    settings : BaseModel, optional
        Settings with which it should have been made.
    seed : int, optional
        Seed with which it should have been made.

    Raises
    ------
    InputError
        The result is of another run.
    """
    recorded = origin.get("inputs", {})
    others = [path for path in inputs if recorded.get(path.name, "") not in ("", sha256_of(path))]
    if others:
        fault = f"was made from another {others[0].name} than {others[0]}"
    elif settings is not None and origin.get("configuration", "") not in ("", configuration_hash(settings)):
        fault = "was made with other settings than those given"
    elif seed is not None and origin.get("seed", seed) != seed:
        fault = f"was made with seed {origin['seed']}, not {seed}"
    else:
        return
    raise InputError(f"{ledger}: {fault}; delete it and run the workflow again")


def configuration_hash(settings: BaseModel) -> str:
    """Return the SHA-256 of a configuration with its defaults filled in."""
    return sha256(settings.model_dump_json().encode()).hexdigest()


@cache
def code_version() -> str:
    """Return the package's version, if it is installed, and a digest of its source files."""
    digest = sha256()
    for path in sorted(SOURCES.rglob("*.py")):
        digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{_installed_version(DISTRIBUTION) or 'uninstalled'}+{digest.hexdigest()[:12]}"


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that compute or store.

    `pipeline.fuse` needs none of those that store.
    """
    versions = {name: _installed_version(name) for name in PACKAGES}
    return {"python": python_version()} | {name: text for name, text in versions.items() if text}


def _installed_version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
