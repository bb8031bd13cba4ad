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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import InputError

LARGEST_EXPANSION = 100  # images of measured values are not compressed further

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
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


def unpack(
    archive: Path, member: str, target: Path, bands: int | None, size: tuple[int, int] | None = None
) -> None:
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
    size : (int, int), optional
        Height and width that the stacked images must have.

    Raises
    ------
    InputError
        The archive is damaged, does not hold the member, or unpacks to many times its size.
    """
    stacked = "{band" in member
    wanted = [member.format(band=band + 1) for band in range(bands or 0)] if stacked else [member]
    with _members(archive) as members:
        for name in wanted:
            if name not in members:
                raise InputError(f"{archive}: holds no {name!r}, but {_some(sorted(members))}")
        if stacked:
            _stack(archive, {name: members[name] for name in wanted}, target, size)
        else:
            with members[member]() as source, target.open("r+b") as sink:
                shutil.copyfileobj(source, sink, 2**20)
                sink.truncate()


def _stack(archive: Path, members: Members, target: Path, size: tuple[int, int] | None) -> None:
    planes = []
    for name, open_member in members.items():
        plane = _grey_image(archive, name, open_member, size)
        planes.append(plane)
        size = plane.shape[0], plane.shape[1]  # nothing larger is decoded
    with target.open("r+b") as sink:
        np.save(sink, np.stack(planes))
        sink.truncate()


def _grey_image(
    archive: Path, name: str, open_member: Callable[[], IO[bytes]], size: tuple[int, int] | None
) -> NDArray[np.uint16]:
    """Decode a PNG of one band, once its header says that it is one of the expected size."""
    with open_member() as stream:
        try:
            with Image.open(stream, formats=("PNG",)) as picture:
                shape = picture.size[::-1]
                plane = np.asarray(picture) if size in (None, shape) else None
        except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InputError(f"{archive}: {name} is no PNG that can be read ({reason})") from None
    if plane is None:
        raise InputError(
            f"{archive}: {name} has {_by(shape)} pixels, expected {_by(size or ())}, as all bands have"
        )
    if plane.ndim != 2 or plane.dtype.kind not in "ui":
        raise InputError(
            f"{archive}: {name} has {plane.ndim} axes of {plane.dtype}, expected a grey image of integers"
        )
    return plane.astype(np.uint16)


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


@contextmanager
def _members(path: Path) -> Iterator[Members]:
    """Open an archive; whatever is wrong with it becomes one line."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as zipped:
                _check_expansion(path, sum(item.file_size for item in zipped.infolist()))
                yield {item.filename: partial(zipped.open, item) for item in zipped.infolist()}
        else:
            with tarfile.open(path) as tarred:
                yield {item.name: partial(_tar_stream, tarred, item) for item in _files(path, tarred)}
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path}: damaged ({reason}); delete it and fetch it again") from None


def _files(path: Path, tarred: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the files of a tar archive; it is decompressed no further than it should be large."""
    unpacked = 0
    for item in tarred:
        unpacked += item.size
        _check_expansion(path, unpacked)
        if item.isfile():
            yield item


def _check_expansion(path: Path, unpacked: int) -> None:
    size = path.stat().st_size
    if unpacked > LARGEST_EXPANSION * max(size, 2**20):
        raise InputError(
            f"{path}: unpacks to {unpacked} bytes or more, over {LARGEST_EXPANSION} times its {size} bytes; "
            "it is no archive of images, fetch it again"
        )


def _tar_stream(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", archive.extractfile(member))  # None only if the member is not a file


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
