"""Files that are missing, web pages or damaged, refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InputError

WEB_PAGE = (b"<!doc", b"<html", b"<?xml", b"<head")


def first_bytes(path: Path, count: int = 128) -> bytes:
    """Return the beginning of a file.

    Parameters
    ----------
    path : Path
        File to read.
    count : int
        Largest number of bytes to return.

    Raises
    ------
    InputError
        The file is missing or unreadable, or it is a web page under the name of a data file.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(count)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower() in WEB_PAGE:
        raise InputError(
            f"{path}: is a web page, not data; the download was answered by HTML, fetch the file again"
        )
    return start


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises at a damaged file into one line.

    Parameters
    ----------
    path : Path
        File that is read inside the block.

    Raises
    ------
    InputError
        The block raised any exception.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: damaged or not readable ({reason[:120]})") from error
