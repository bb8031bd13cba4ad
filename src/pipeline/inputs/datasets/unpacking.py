"""Members of zip and tar archives, written where the caller says.

No name inside an archive becomes a path, and links and devices count as no members, so that an archive can
write nothing elsewhere.
"""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, cast

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
Members = Mapping[str, Callable[[], IO[bytes]]]
"""Functions that open the files of an archive, by name."""


def archive_fault(path: Path, thorough: bool) -> str | None:
    """Return the fault of an archive in a few words, or None.

    Parameters
    ----------
    path : Path
        The archive.
    thorough : bool
        Read all of its content, and not only the list of its members.
    """
    try:
        with _members(path) as members:
            for open_member in members.values() if thorough else ():
                with open_member() as stream:
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
        The archive.
    member : str
        Name in the archive; with `{band}` the images of bands 1 to `bands`, stacked as NumPy's `.npy`.
    target : Path
        An existing file, whose content is replaced.
    bands : int or None
        Number of bands.

    Raises
    ------
    InputError
        The archive is damaged, or does not hold the member.
    """
    stacked = "{band" in member
    wanted = [member.format(band=band + 1) for band in range(bands or 0)] if stacked else [member]
    with _members(archive) as members:
        for name in wanted:
            if name not in members:
                raise InputError(f"{archive}: holds no {name!r}, but {_some(sorted(members))}")
        if stacked:
            _stack(archive, {name: members[name] for name in wanted}, target)
        else:
            with members[member]() as source, target.open("r+b") as sink:
                shutil.copyfileobj(source, sink, 2**20)
                sink.truncate()


def _stack(archive: Path, members: Members, target: Path) -> None:
    planes = []
    for name, open_member in members.items():
        with open_member() as stream, Image.open(stream) as picture:
            plane = np.asarray(picture)
        if plane.ndim != 2 or plane.dtype.kind not in "ui":
            raise InputError(
                f"{archive}: {name} has {plane.ndim} axes of {plane.dtype}, expected a grey image of integers"
            )
        planes.append(plane.astype(np.uint16))
    if len({plane.shape for plane in planes}) > 1:
        raise InputError(f"{archive}: the bands of {next(iter(members))} differ in size")
    with target.open("r+b") as sink:
        np.save(sink, np.stack(planes))
        sink.truncate()


@contextmanager
def _members(path: Path) -> Iterator[Members]:
    """Open an archive; whatever is wrong with it becomes one line."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zipped:
                yield {item.filename: partial(zipped.open, item) for item in zipped.infolist()}
        else:
            with tarfile.open(path) as tarred:
                yield {item.name: partial(_tar_stream, tarred, item) for item in tarred if item.isfile()}
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: damaged ({reason}); delete it and fetch it again") from None


def _tar_stream(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", archive.extractfile(member))  # None only if the member is not a file


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
