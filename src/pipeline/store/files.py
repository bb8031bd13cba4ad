"""Small files that hold their old or their new content, whenever a writer is killed.

They are written aside, synced and renamed; JSON has one canonical form. A record is JSON that holds a
digest of itself. Stores are in `store.store`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import ENOLCK, ENOSYS, EOPNOTSUPP
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import InputError

DIGEST = "digest"


def canonical_json(content: Any) -> str:
    """Return JSON with sorted keys in one way of writing: equal content gives equal bytes."""
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def json_digest(content: Any) -> str:
    """Return the SHA-256 of canonical JSON."""
    return sha256(canonical_json(content).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write canonical JSON atomically."""
    write_text(path, canonical_json(content))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: aside, synced, renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    unlink_links(aside)
    try:
        with named(path):
            aside.write_bytes(content)
            sync(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync(path.parent)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Let errors of the file system that name no file, such as a full disk, name this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def unlink_links(path: Path) -> None:
    """Remove a symbolic or hard link in the place of a file to be written; its target stays as it is."""
    if is_link(path):
        path.unlink()


def is_link(path: Path) -> bool:
    """Return whether a file has another name, or is the symbolic link to one."""
    return path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Parameters
    ----------
    path : Path
        A file that a step of the workflow writes.

    Raises
    ------
    InputError
        The file is missing or holds something else.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a file; remove it and run the step that writes it")
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the step that writes it has not finished") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):  # text that is no Unicode or no JSON, or lists in lists without end
        raise InputError(f"{path}: not valid JSON; delete it and run the step that writes it") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a JSON object")
    return content


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with a digest of itself, atomically.

    Parameters
    ----------
    path : Path
        The file.
    content : mapping
        JSON-ready content without the key `digest`.
    """
    write_json(path, {**content, DIGEST: json_digest(content)})


def read_record(path: Path) -> dict[str, Any]:
    """Read what `write_record` wrote, without the digest.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        The file is missing, or was changed in any byte.
    """
    content = read_json(path)
    text = path.read_text()
    digest = content.pop(DIGEST, None)
    try:
        whole = digest == json_digest(content) and text == canonical_json({**content, DIGEST: digest})
    except (TypeError, ValueError):  # NaN, which JSON does not have
        whole = False
    if not whole:
        fault = "was changed since it was written" if digest else "is of an earlier version, or was changed"
        raise InputError(
            f"{path}: {fault}; run `pipeline verify {path}` and then the workflow again to repair it"
        )
    return content


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replaced_folder(folder: Path, ledger: Path) -> Iterator[Path]:
    """Yield a path at which to make a folder, which takes another folder's place if the block ends well.

    Nothing is left of a failure. The ledger is withdrawn before the old folder is, so that an interruption
    leaves a folder without one; the caller writes the new ledger.

    Parameters
    ----------
    folder : Path
        The folder to make or to replace.
    ledger : Path
        Ledger of the old folder.
    """
    aside = folder.with_name(f".{folder.name}.partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):  # another process that makes the same folder waits, and then makes it again
        unlink_links(aside)
        shutil.rmtree(aside, ignore_errors=True)  # left by a killed run
        try:
            with named(folder):
                yield aside
            ledger.unlink(missing_ok=True)
            sync(folder.parent)
            unlink_links(folder)
            if folder.exists():
                shutil.rmtree(folder)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone, where the file system has locks."""
    path = folder.with_name(f".{folder.name}.lock")
    unlink_links(path)
    lock = FileLock(path)
    try:
        lock.acquire()
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (ENOSYS, ENOLCK, EOPNOTSUPP):
            raise
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: a process that waits makes a new one
        lock.release()
