"""`datasets.lock.json`: the first checksum of every file whose publisher states none.

One file in the folder of the data sets. A later change of a file is refused until it is accepted.
"""

from __future__ import annotations

import logging
from pathlib import Path

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
        A file below it.
    expected : Content
        What the file must be.
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
        The file's final name below it.
    content : Path
        Where its content lies now.
    expected : Content
        What it must be.
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
    return read_json(path) if path.exists() else {}


def _key(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
