"""`pipeline verify`: read results in full, and name everything that is damaged, missing or of another run.

Stores, products, fitted methods, records and journals are compared with their digests, and with the inputs
that their provenance names; a finished experiment also with the list of what its report was made from. The
ledger of whatever is damaged is removed, and with it what belongs to it: the next run of the workflow makes
just these parts again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.export.folder import folder_faults
from pipeline.runs.finished import missing_or_exchanged, report_faults
from pipeline.runs.fitted_store import check_fitted
from pipeline.runs.paths import FITTED, JOURNAL, METRICS, PRODUCT, REPORT, SOURCE, TILES, TIMING
from pipeline.runs.provenance import check_origin
from pipeline.store.files import canonical_json, read_json, read_record
from pipeline.store.shards import journal_faults, mend_journal
from pipeline.store.store import ledger_of, verify_store
from pipeline.store.verified import file_fault

STORES = {
    f"{name}.json" for name in ("reference", "observation", "estimate", "plan", "fused", "residuals", "trace")
}
OWN_INPUTS = {"crop", "clip", "simulate", "align", "estimate", "plan", "fuse", "trace", "evaluate", "export"}
"""Steps whose inputs lie in the folders above; others take those of another scene."""

MANIFEST = re.compile(r"\d+-of-\d+\.json")
OUTPUTS = {
    "download": SOURCE,
    **dict.fromkeys(("crop", "clip", "wald"), "reference.json"),
    **dict.fromkeys(("simulate", "align", "degrade"), "observation.json"),
    "estimate": "estimate.json",
    "train": FITTED,
    "fuse": "fused.json",
    "evaluate": METRICS,
}
"""What a step writes beside its timing, by which the workflow decides whether it runs again."""


def run(paths: Sequence[Path], *, withdraw: bool) -> tuple[int, list[str]]:
    """Verify stores, products, fitted methods and records, or all of these in folders.

    Parameters
    ----------
    paths : sequence of Path
        `X.zarr` or its ledger `X.json`, other files of the results, or folders that hold such.
    withdraw : bool
        Whether the ledgers and manifests of damaged parts are removed.

    Returns
    -------
    checked : int
        Number of files that were read.
    faults : list of str
        One line for each file that is missing, changed, added or of another run.
    """
    checked, faults, damaged = 0, [], set()
    known = list(dict.fromkeys(_expanded(paths)))
    for path in known:
        count, own = _own_faults(path)
        checked += count
        faults += own
        if own:
            damaged.add(path)
    for path in known:
        for affected, fault in (
            _relations(path, damaged) if path not in damaged or path.name == REPORT else ()
        ):
            faults.append(fault)
            damaged |= {affected, path}
    for path in damaged if withdraw else ():
        _withdraw(path)
    return checked, faults


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield ledgers of stores (existing or not) and all other files that can be verified, in folders too."""
    for path in paths:
        if path.suffix == ".zarr":
            yield ledger_of(path)
        elif path.is_dir():
            contents = sorted(set(_in_folder(path)))
            if not contents:
                raise InputError(f"{path}: holds no store; run the workflow first")
            yield from contents
        else:
            yield path


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield what can be verified in a folder, without the copies that `train` keeps for itself."""
    for base, folders, files in os.walk(folder):
        here = Path(base)
        stores = [name for name in folders if name.endswith(".zarr") and not name.startswith(".")]
        yield from (ledger_of(here / name) for name in stores)
        if Path(REPORT).with_suffix(".html").name in files:
            yield here / REPORT
        of_run = "fused.zarr" in stores or PRODUCT in files
        product = Path(PRODUCT).stem
        if of_run and product in folders:
            yield here / PRODUCT
        skipped = {*stores, *([product] if of_run else [])}
        folders[:] = [name for name in folders if name not in skipped and not name.startswith(".")]
        yield from (here / name for name in files if _is_known(here / name))


def _is_known(path: Path) -> bool:
    """Return whether a file is one of the results, by its name."""
    fixed = {*STORES, FITTED, PRODUCT, REPORT, SOURCE, METRICS}
    return path.name in fixed or path.name.endswith((TIMING, JOURNAL)) or _is_manifest(path)


def _is_manifest(path: Path) -> bool:
    return path.parent.name == TILES and MANIFEST.fullmatch(path.name) is not None


def _verifier(path: Path) -> Callable[[Path], tuple[int, list[str]]]:
    """Return the function that compares a file with its digest, and all files that it vouches for."""
    by_name = {PRODUCT: folder_faults, REPORT: report_faults, SOURCE: _verify_record, METRICS: _verify_record}
    if path.name in by_name:
        return by_name[path.name]
    if path.suffix == ".safetensors":
        return _verify_fitted
    if path.suffix == JOURNAL:
        return _verify_journal
    return _verify_record if path.name.endswith(TIMING) or _is_manifest(path) else _verify_store


def _own_faults(path: Path) -> tuple[int, list[str]]:
    """Return the number of files behind a ledger or a record, and their faults; nothing stops here."""
    if path.exists() and not path.is_file():
        return 1, [f"{path}: is not a file"]
    try:
        return _verifier(path)(path)
    except InputError as error:
        return 1, [str(error).partition("; ")[0]]  # without the advice to verify
    except OSError as error:
        return 1, [f"{path}: cannot be read ({error.strerror})"]
    except (LookupError, TypeError, AttributeError, ValueError):  # written by another program
        return 1, [f"{path}: does not have the content that the pipeline writes"]


def _verify_store(ledger: Path) -> tuple[int, list[str]]:
    """Return the number of files of a store, and the faults of the store and of its ledger."""
    if not ledger.exists():
        return 0, [f"{ledger}: no such file; the store is not finished, or its ledger was lost"]
    count, faults = verify_store(ledger)
    if ledger.read_text() != canonical_json(read_json(ledger)):
        faults.append(f"{ledger}: the ledger was changed since the store was written")
    return count, faults


def _verify_fitted(path: Path) -> tuple[int, list[str]]:
    check_fitted(path)
    return 1, []


def _verify_record(path: Path) -> tuple[int, list[str]]:
    read_record(path)
    return 1, []


def _verify_journal(path: Path) -> tuple[int, list[str]]:
    return 1, journal_faults(path)


def _relations(path: Path, damaged: set[Path]) -> list[tuple[Path, str]]:
    """Return the faults of a sound file beside others: what has to be made again, and a line each."""
    try:
        if path.name != REPORT:
            return _of_other_inputs(path, damaged)
        missing, exchanged = missing_or_exchanged(path, damaged)
    except InputError:  # named already
        return []
    except (LookupError, TypeError, AttributeError, OSError):
        return [(path, f"{path}: does not have the content that the pipeline writes")]
    return [
        *((file, f"{file}: is missing, but {path.name} was made from it") for file in missing),
        *((file, f"{file}: is not the file that {path.name} was made from") for file in exchanged),
    ]


def _of_other_inputs(path: Path, damaged: set[Path]) -> list[tuple[Path, str]]:
    """Compare the inputs that the provenance names with the files of these names in the folders above."""
    origin = _provenance(path)
    if origin.get("step") not in OWN_INPUTS:
        return []
    folders = [path.parent, *path.parents[1:4]]
    places = {
        name: next((folder / name for folder in folders if (folder / name).is_file()), None)
        for name in origin.get("inputs", {})
    }
    present = [place for place in places.values() if place not in (None, path) and place not in damaged]
    try:
        check_origin(path, origin, inputs=[place for place in present if place is not None])
    except InputError as error:
        return [(path, str(error).partition("; ")[0])]
    return []


def _provenance(path: Path) -> dict[str, Any]:
    """Return the provenance of a store, a product or metrics; nothing for other files."""
    if path.name in (PRODUCT, METRICS):
        return dict(read_record(path)["provenance"])
    metadata = path.with_suffix(".zarr") / "zarr.json"
    if path.suffix != ".json" or not metadata.is_file():
        return {}
    return dict(read_json(metadata).get("attributes", {}).get("provenance", {}))


def _withdraw(path: Path) -> None:
    """Remove a damaged ledger or record, and what has to be made again with it.

    Maps of residuals are made with the metrics beside them, and timings with the results of their steps,
    which are the outputs that the workflow asks for.
    """
    if path.suffix == JOURNAL:
        mend_journal(path)
        return
    if path.stem == "residuals":
        path.with_name(METRICS).unlink(missing_ok=True)
    if path.stem == "fused":
        for manifest in path.parent.glob(f"{TILES}/*-of-*[0-9].json"):  # not *.timing.json
            if _owns_damage(manifest, path.with_suffix(".zarr")):
                manifest.unlink()
    if path.parent.name == TILES and (_is_manifest(path) or path.name.endswith(TIMING)):
        path.with_name(path.name.replace(TIMING, ".json")).unlink(missing_ok=True)
        path.parent.with_name("fused.json").unlink(missing_ok=True)
    elif path.name.endswith(TIMING):
        path.with_name(OUTPUTS.get(path.name.removesuffix(TIMING), path.name)).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _owns_damage(manifest: Path, store: Path) -> bool:
    try:
        shards = read_record(manifest)["shards"]
    except (InputError, KeyError):
        return True
    return any(file_fault(store / key, digest) for key, digest in shards.items())
