"""`pipeline verify`: read stores, fitted methods and products in full, and name every damaged part.

The ledger of a damaged store is removed, and with it the manifests of the batches whose tiles are damaged:
the next run of the workflow makes just these parts again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.errors import InputError
from pipeline.export.folder import folder_faults
from pipeline.runs.fitted_store import check_fitted
from pipeline.runs.paths import FITTED, PRODUCT, TILES
from pipeline.store.files import canonical_json, read_json
from pipeline.store.store import ledger_of, verify_store
from pipeline.store.verified import file_fault


def run(paths: Sequence[Path], *, withdraw: bool) -> tuple[int, list[str]]:
    """Verify stores, fitted methods, or all of these in folders.

    Parameters
    ----------
    paths : sequence of Path
        `X.zarr` or its ledger `X.json`, `*.safetensors`, or folders that hold such.
    withdraw : bool
        Whether the ledgers and manifests of damaged parts are removed.

    Returns
    -------
    checked : int
        Number of files that were read.
    faults : list of str
        One line for each file that is missing, changed or added.
    """
    checked, faults = 0, []
    for path in _expanded(paths):
        count, damaged = _verifier(path)(path)
        checked += count
        faults += damaged
        if damaged and withdraw:
            _withdraw(path)
    return checked, faults


def _verifier(path: Path) -> Callable[[Path], tuple[int, list[str]]]:
    if path.suffix == ".safetensors":
        return _verify_fitted
    return folder_faults if path.name == PRODUCT else _verify


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield ledgers of stores (existing or not) and of products, and fitted methods, in folders too."""
    for path in paths:
        if path.suffix == ".zarr":
            yield ledger_of(path)
        elif path.is_dir():
            contents = sorted(
                {*map(ledger_of, path.rglob("*.zarr")), *_fitted_in(path), *path.rglob(PRODUCT)}
            )
            if not contents:
                raise InputError(f"{path}: holds no store; run the workflow first")
            yield from contents
        else:
            yield path


def _fitted_in(folder: Path) -> Iterator[Path]:
    """Return the fitted methods in a folder, without the copies that `train` keeps for itself."""
    return (path for path in folder.rglob(FITTED) if not path.parent.name.startswith("."))


def _verify(ledger: Path) -> tuple[int, list[str]]:
    """Return the number of files of a store, and the faults of the store and of its ledger."""
    if not ledger.exists():
        return 0, [f"{ledger}: no such file; the store is not finished, or its ledger was lost"]
    try:
        count, faults = verify_store(ledger)
        if ledger.read_text() != canonical_json(read_json(ledger)):
            faults.append(f"{ledger}: the ledger was changed since the store was written")
    except InputError as error:
        return 1, [str(error)]
    return count, faults


def _verify_fitted(path: Path) -> tuple[int, list[str]]:
    try:
        check_fitted(path)
    except InputError as error:
        return 1, [str(error)]
    return 1, []


def _withdraw(path: Path) -> None:
    """Remove the ledger of a damaged store, and the manifests of damaged tiles.

    Maps of residuals are made with the metrics beside them, which are the output that a rule knows.
    """
    if path.stem == "residuals":
        path.with_name("metrics.json").unlink(missing_ok=True)
    if path.stem == "fused":
        for manifest in path.parent.glob(f"{TILES}/*-of-*[0-9].json"):  # not *.timing.json
            if _owns_damage(manifest, path.with_suffix(".zarr")):
                manifest.unlink()
    path.unlink(missing_ok=True)


def _owns_damage(manifest: Path, store: Path) -> bool:
    try:
        shards = read_json(manifest)["shards"]
    except (InputError, KeyError):
        return True
    return any(file_fault(store / key, digest) for key, digest in shards.items())
