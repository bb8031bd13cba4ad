"""`datasets.lock.json`: checksums of files whose publisher states none, recorded at the first download.

The lock file lies in the folder of the data sets. A file that changes later is refused until the user accepts
the change.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.errors import InputError
from pipeline.inputs.datasets.claim import claim
from pipeline.inputs.datasets.models import Content
from pipeline.store.files import canonical_json, read_json, sha256_of

NAME = "datasets.lock.json"
Entry = dict[str, str | int]

log = logging.getLogger(__name__)


def locked(folder: Path, path: Path, expected: Content) -> Content:
    """Return `expected`, with the recorded checksum where none is published.

    Parameters
    ----------
    folder : Path
        The folder of the data sets.
    path : Path
        The file, inside `folder`.
    expected : Content
        Published size and checksum.
    """
    if expected.sha256 or expected.md5:
        return expected
    entry = _entries(folder / NAME).get(_key(folder, path))
    return expected.model_copy(update=entry) if entry else expected


def record(folder: Path, path: Path, content: Path, expected: Content) -> None:
    """Record the checksum of a file, unless one is published.

    Parameters
    ----------
    folder : Path
        The folder of the data sets.
    path : Path
        The file's final path, inside `folder`.
    content : Path
        Path at which the file's content lies now.
    expected : Content
        Published size and checksum.
    """
    if expected.sha256 or expected.md5:
        return
    digest = sha256_of(content)
    entry: Entry = {"bytes": content.stat().st_size, "sha256": digest}
    try:
        with claim(folder / NAME) as file:
            entries = _entries(file.path) | {_key(folder, path): entry}
            file.part.write_text(canonical_json(entries))
            file.settle()
    except PermissionError:
        log.warning("%s: its sha256 %s cannot be recorded, %s is not writable", path, digest, folder)


def _entries(path: Path) -> dict[str, Entry]:
    """Read the lock file; refuse an entry that is no size and checksum."""
    entries = read_json(path) if path.exists() else {}
    for name, entry in entries.items():
        if not _is_entry(entry):
            raise InputError(
                f"{path}: the entry {name!r} is {str(entry)[:60]!r}, expected `bytes` and `sha256`; remove it"
            )
    return entries


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or set(entry) != {"bytes", "sha256"}:
        return False
    digest = entry["sha256"]
    return isinstance(entry["bytes"], int) and isinstance(digest, str) and len(digest) == 64


def _key(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
