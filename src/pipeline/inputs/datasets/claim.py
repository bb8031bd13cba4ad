"""A file of one's own beside the final one, which appears under its name at once or not at all.

`X.part.mat` is written while `X.mat` is not there yet, and is itself the lock (flock) between
processes that want the same file. It is removed at the end, unless it was renamed or is worth keeping.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.store.files import sync


class Claim:
    """A claimed file.

    Attributes
    ----------
    path : Path
        The final name.
    part : Path
        Where its content is written; it keeps the suffix, so that readers know it.
    keep : bool
        Leave a `part` with content behind, for a later claim to go on with.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = part_of(path)
        self.keep = False

    def settle(self) -> None:
        """Give `part` its final name."""
        sync(self.part)
        self.part.replace(self.path)
        sync(self.path.parent)


@contextmanager
def claim(path: Path) -> Iterator[Claim]:
    """Hold `path` for this process alone; wait until no other does."""
    claimed = Claim(path)
    handle = _locked(claimed.part)
    try:
        yield claimed
    finally:
        worth_keeping = claimed.keep and os.fstat(handle).st_size > 0
        if not worth_keeping and _is_open_file(handle, claimed.part):
            claimed.part.unlink()
        os.close(handle)  # and with it the lock


def part_of(path: Path) -> Path:
    """Name of the unfinished file.

    >>> part_of(Path("data/KSC.mat")).name
    'KSC.part.mat'
    """
    return path.with_name(f"{path.stem}.part{path.suffix}")


def _locked(part: Path) -> int:
    """Handle of the locked file, which nobody renamed or removed in the meantime."""
    while True:
        part.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_open_file(handle, part):
            return handle
        os.close(handle)


def _is_open_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
