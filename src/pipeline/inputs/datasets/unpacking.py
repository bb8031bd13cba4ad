"""Members of zip and tar archives, written where the caller says and nowhere else.

No name inside an archive becomes a path here. An archive that holds an absolute name, a name that
climbs out of its folder, or a link is refused as a whole all the same.
"""

from __future__ import annotations

import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.errors import InputError

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    UnidentifiedImageError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,  # encrypted, or compressed in a way that Python does not know
)


class UnsafeError(Exception):
    """An archive holds what no archive of data needs."""


class Archive(Protocol):
    """What is read of an archive."""

    def members(self) -> list[str]:
        """Names of the files."""

    def open(self, name: str) -> IO[bytes]:
        """The content of a file."""


def archive_fault(path: Path, thorough: bool) -> str | None:
    """What is wrong with an archive, or None; `thorough` reads all of its content."""
    try:
        with _opened(path) as content:
            names = content.members()
            for name in names if thorough else ():
                with content.open(name) as stream:
                    while stream.read(2**20):
                        pass
    except InputError as error:
        return str(error).removeprefix(f"{path}: ").partition("; ")[0]
    return None


def unpack(archive: Path, member: str, target: Path, bands: int | None) -> None:
    """Write one member of an archive to `target`.

    Parameters
    ----------
    archive : Path
    member : str
        Name in the archive; with `{band}` the images of bands 1 to `bands`, stacked as NumPy's `.npy`.
    target : Path
    bands : int or None

    Raises
    ------
    InputError
        The archive is damaged, unsafe, or does not hold the member.
    """
    with _opened(archive) as content:
        known = set(content.members())
        stacked = "{band" in member
        wanted = [member.format(band=band + 1) for band in range(bands or 0)] if stacked else [member]
        for name in wanted:
            if name not in known:
                raise InputError(f"{archive}: holds no {name!r}, but {_some(sorted(known))}")
        if stacked:
            _stack(archive, content, wanted, target)
        else:
            with content.open(member) as source, target.open("r+b") as sink:
                shutil.copyfileobj(source, sink, 2**20)
                sink.truncate()


def _stack(archive: Path, content: Archive, names: list[str], target: Path) -> None:
    planes = []
    for name in names:
        with content.open(name) as stream, Image.open(stream) as picture:
            plane = np.asarray(picture)
        if plane.ndim != 2 or plane.dtype.kind not in "ui":
            raise InputError(
                f"{archive}: {name} has {plane.ndim} axes of {plane.dtype}, expected a grey image of integers"
            )
        planes.append(plane.astype(np.uint16))
    if len({plane.shape for plane in planes}) > 1:
        raise InputError(f"{archive}: the bands of {names[0]} differ in size")
    with target.open("r+b") as sink:
        np.save(sink, np.stack(planes))
        sink.truncate()


class _Zip:
    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def members(self) -> list[str]:
        for entry in self._file.infolist():
            _check_name(entry.orig_filename)
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise UnsafeError(f"it holds a link, {entry.filename!r}")
        return self._file.namelist()

    def open(self, name: str) -> IO[bytes]:
        return self._file.open(name)


class _Tar:
    def __init__(self, file: tarfile.TarFile) -> None:
        self._file = file

    def members(self) -> list[str]:
        entries = self._file.getmembers()
        for entry in entries:
            _check_name(entry.name)
            if not (entry.isfile() or entry.isdir()):
                raise UnsafeError(f"it holds a link or device, {entry.name!r}")
        return [entry.name for entry in entries if entry.isfile()]

    def open(self, name: str) -> IO[bytes]:
        stream = self._file.extractfile(name)
        assert stream is not None  # `members` lists files alone
        return stream


@contextmanager
def _opened(path: Path) -> Iterator[Archive]:
    """An archive, and whatever is wrong with it in one line."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zipped:
                yield _Zip(zipped)
        else:
            with tarfile.open(path) as tarred:
                yield _Tar(tarred)
    except UnsafeError as error:
        raise InputError(f"{path}: refused, {error}; fetch it from a source that you trust") from None
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: damaged ({reason}); delete it and fetch it again") from None


def _check_name(name: str) -> None:
    climbs = ".." in re.split(r"[/\\]", name)
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or name.startswith("\\")
    if climbs or absolute:
        raise UnsafeError(f"it holds a name that leaves its folder, {name!r}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
