"""Files that are missing, web pages or damaged, refused in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from pipeline.errors import InputError

VALUES_PER_BYTE = 100  # measured images have less than one; zeros in deflate have 130 or more
LARGEST_CHUNK = 256 * 2**20  # bytes
MOST_UNCHECKED = 2**26  # values that are read in any case
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
    refuse_special(path)
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


def refuse_special(path: Path) -> None:
    """Refuse a pipe, socket or device, which could be read for ever.

    Parameters
    ----------
    path : Path
        The file; it may be missing.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    except ValueError as error:  # a NUL character
        raise InputError(f"{str(path)!r}: is not a path ({error})") from None
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        raise InputError(f"{path}: is a pipe or a device, not a file; save its content to a file")


def refuse_expansion(path: Path, values: int) -> None:
    """Refuse a file that declares many more values than its bytes can hold.

    Parameters
    ----------
    path : Path
        The file, or the folder of a store.
    values : int
        Number of values that it declares.
    """
    if values <= MOST_UNCHECKED:
        return
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    if values > VALUES_PER_BYTE * size:
        raise InputError(
            f"{path}: declares {values} values in {size} bytes, more than {VALUES_PER_BYTE} in a byte; "
            "it is damaged, or no measured image"
        )


def refuse_large_chunk(path: Path, name: str, size: int) -> None:
    """Refuse an array whose values are stored in pieces too large to be read in part.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        The array.
    size : int
        Bytes that every read decodes at least.
    """
    if size > LARGEST_CHUNK:
        raise InputError(
            f"{path}: {name} is stored in pieces of {size} bytes, of which every read decodes at least one; "
            f"store it in pieces of {LARGEST_CHUNK} bytes at most (h5repack, nccopy or gdal_translate do)"
        )


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
