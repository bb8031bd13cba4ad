"""A file that appears under its final name complete or not at all, written by one process at a time.

`X.part.mat` is written while `X.mat` is not there yet. The lock between processes that want the same file is
`.X.mat.lock` beside it (filelock: a killed process loses its lock); it is removed with the claim.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from pipeline.store.files import sync, unlink_links


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
    """Hold `path` for this process alone; wait until no other process holds it.

    Parameters
    ----------
    path : Path
        The final name; its folder is made.

    Raises
    ------
    PermissionError
        The folder is not writable.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock_file = path.with_name(f".{path.name}.lock")
    unlink_links(lock_file)
    lock = FileLock(lock_file)
    with lock:
        claimed = Claim(path)
        unlink_links(claimed.part)
        claimed.part.touch()
        try:
            yield claimed
        finally:
            if not (claimed.keep and _has_content(claimed.part)):
                claimed.part.unlink(missing_ok=True)
            # while it is held: a process that waits notices that the file is gone, and makes a new one
            Path(lock.lock_file).unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Return the name of the unfinished file.

    >>> part_of(Path("data/KSC.mat")).name
    'KSC.part.mat'
    """
    return path.with_name(f"{path.stem}.part{path.suffix}")


def _has_content(part: Path) -> bool:
    return part.exists() and part.stat().st_size > 0
