"""Folders of products, each with a ledger beside it that lists its files.

`X/` is filled under a temporary name, synced and renamed. Then the ledger `X.json`, with size and SHA-256 of
every file, is written in the same way. The files' formats do not matter here. Stores are in `store.store`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.store.files import read_record, replaced_folder, sha256_of, sync, write_record
from pipeline.store.verified import file_fault


def write_folder(
    ledger: Path, fill: Callable[[Path], Mapping[str, Any]], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Fill the folder `X` of a ledger `X.json`; an earlier folder is replaced, and a failure leaves no files.

    Parameters
    ----------
    ledger : Path
        The ledger.
    fill : callable
        Writes files into an empty folder and returns what else the ledger shall hold.
    provenance : dict
        JSON-ready; nothing that differs between equal runs.

    Returns
    -------
    dict
        The ledger's content.
    """
    folder = ledger.with_suffix("")
    with replaced_folder(folder, ledger) as aside:
        aside.mkdir()
        extra = fill(aside)
        files = {path.name: _described(path) for path in sorted(aside.iterdir())}
        for path in [*sorted(aside.iterdir()), aside]:
            sync(path)
    content = {"folder": folder.name, "files": files, "provenance": dict(provenance), **extra}
    write_record(ledger, content)
    return content


def folder_faults(ledger: Path) -> tuple[int, list[str]]:
    """Compare a folder with its ledger.

    Files that the ledger does not name may lie in the folder, such as the statistics that QGIS writes.

    Parameters
    ----------
    ledger : Path
        `X.json`.

    Returns
    -------
    files : int
        Number of files in the ledger.
    faults : list of str
        One line for each file that is missing or changed.
    """
    files = {
        ledger.with_suffix("") / name: entry["sha256"] for name, entry in read_record(ledger)["files"].items()
    }
    faults = ((path, file_fault(path, digest)) for path, digest in sorted(files.items()))
    return len(files), [f"{path}: {fault}" for path, fault in faults if fault]


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
