"""Checks of a file against its catalogue entry: size, first bytes, shape and checksum.

Shapes are read from headers. The known trap is a web page under the name of a MATLAB file.
"""

from __future__ import annotations

import struct
from hashlib import file_digest
from pathlib import Path

import h5py

from pipeline.errors import InputError
from pipeline.inputs.datasets.models import Content
from pipeline.inputs.datasets.unpacking import archive_fault
from pipeline.inputs.formats.arrays import open_arrays
from pipeline.inputs.formats.damage import first_bytes
from pipeline.inputs.formats.raster import open_raster, raster_size

BEGINNINGS = {
    "matlab5": (b"MATLAB 5.0 MAT-file",),
    "matlab73": (b"MATLAB 7.3 MAT-file", b"\x89HDF"),
    "npy": (b"\x93NUMPY",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "envi_header": (b"ENVI",),
    "zip": (b"PK\x03\x04",),
}
"""First bytes of files by format; other formats are not checked."""
WEB_PAGE = "is a web page, not data"


def fault(path: Path, expected: Content) -> str | None:
    """Return the fault of an existing file in a few words, or None.

    Parameters
    ----------
    path : Path
        The file.
    expected : Content
        Expected size, format, shape and checksum.
    """
    if not path.is_file():
        return "is not a file"
    try:
        start = first_bytes(path)
    except InputError:
        return WEB_PAGE
    size = path.stat().st_size
    if size == 0:
        return "is empty"
    if expected.bytes not in (None, size):
        return f"has {size} bytes, expected {expected.bytes}"
    known = BEGINNINGS.get(expected.format, ())
    if known and not start.startswith(known):
        return f"begins with {start[:12]!r}, expected {known[0]!r}"
    # a server need not say how much it sends
    if expected.format == "matlab5" and _matlab5_end(path, size) > size:
        return f"is cut short at {size} bytes"
    return _wrong_shape(path, expected) or _wrong_digest(path, expected) or _unsound_archive(path, expected)


def _unsound_archive(path: Path, expected: Content) -> str | None:
    """Look for damage of an archive, thoroughly where no checksum excludes it."""
    if expected.format not in ("zip", "tar"):
        return None
    return archive_fault(path, thorough=not (expected.sha256 or expected.md5))


def _matlab5_end(path: Path, size: int) -> int:
    """Return where the last variable of a MATLAB v5 file ends, by the lengths in the file."""
    with path.open("rb") as file:
        order = ">" if file.read(128)[126:] == b"MI" else "<"
        end = 128
        while end < size:
            file.seek(end + 4)  # behind the element's type
            length = file.read(4)
            if len(length) < 4:
                return size + 1
            end += 8 + int(struct.unpack(f"{order}I", length)[0])
    return end


def _wrong_digest(path: Path, expected: Content) -> str | None:
    for algorithm in ("sha256", "md5"):
        digest = getattr(expected, algorithm)
        if digest is None:
            continue
        with path.open("rb") as stream:
            actual = file_digest(stream, algorithm).hexdigest()
        if actual != digest:
            return f"has {algorithm} {actual}, expected {digest}"
    return None


def _wrong_shape(path: Path, expected: Content) -> str | None:
    if expected.shape is None:
        return None
    try:
        actual = _shape(path, expected)
    except InputError as error:
        return "cannot be read: " + str(error).removeprefix(f"{path}: ")
    wanted = tuple(expected.shape)
    return None if actual == wanted else f"has shape {_by(actual)}, expected {_by(wanted)}"


def _shape(path: Path, expected: Content) -> tuple[int, ...]:
    """Return the shape of the image as the file stores it."""
    if expected.format == "matlab73":
        return _hdf5_shape(path, expected.variable or "")
    if expected.format in ("matlab5", "npy"):
        arrays = open_arrays(path)
        return arrays.shape_of(expected.variable or arrays.only(len(expected.shape or ())))
    height, width = raster_size(path)
    with open_raster(path) as raster:
        return raster.count, height, width


def _hdf5_shape(path: Path, name: str) -> tuple[int, ...]:
    try:
        with h5py.File(path, locking="best-effort") as file:
            if name not in file:
                raise InputError(f"{path}: no variable {name!r}; it holds {', '.join(file) or 'nothing'}")
            return tuple(file[name].shape)
    except OSError as error:
        raise InputError(f"{path}: damaged ({' '.join(str(error).split())[:120]})") from None


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
