"""Named numeric arrays of `.mat`, `.npz` and `.npy` files, listed before they are loaded.

Nothing is ever unpickled: object, cell and struct arrays are left out. MATLAB files are version 5
(saved with -v7 or -v6); version 7.3 is HDF5 and not read yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from pipeline.errors import InputError

MATLAB_NUMERIC = {"double", "single", "logical"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
SUFFIXES = (".mat", ".npz", ".npy")


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of one file.

    Attributes
    ----------
    path : Path
    shapes : dict
        Shape of every numeric array by name.
    other : dict
        Type of what is not a numeric array, by name.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    other: dict[str, str]
    read: Callable[[str], NDArray[Any]]

    def load(self, name: str) -> NDArray[Any]:
        """The array called `name`."""
        if name in self.other:
            raise InputError(
                f"{self.path}: variable {name!r} holds {self.other[name]} elements, which are not read; "
                f"numeric ones are {self.listing()}"
            )
        if name not in self.shapes:
            raise InputError(f"{self.path}: no variable {name!r}; it holds {self.listing()}")
        with _readable(self.path):
            return self.read(name)

    def only(self, rank: int) -> str:
        """Name of the only array with `rank` axes."""
        names = [name for name, shape in self.shapes.items() if len(shape) == rank]
        if len(names) != 1:
            how_many = "none of the arrays has" if not names else f"{len(names)} arrays have"
            raise InputError(
                f"{self.path}: {how_many} {rank} axes; name one by `variable` (and its `axes`); "
                f"the file holds {self.listing()}"
            )
        return names[0]

    def listing(self) -> str:
        """The arrays and their shapes, for messages."""
        shown = [f"{name} {'x'.join(map(str, shape))}" for name, shape in self.shapes.items()]
        return ", ".join(shown) or "no numeric array"


def open_arrays(path: Path) -> ArrayFile:
    """List a file's arrays.

    Raises
    ------
    InputError
        The file is missing or is not what its name says.
    """
    start = first_bytes(path)
    if path.suffix == ".mat":
        return _open_matlab(path, start)
    with _readable(path):
        archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        return _array_file(path, {"array": archive})
    arrays, other = {}, {}
    for name in archive.files:
        with _readable(path):
            try:
                arrays[name] = archive[name]
            except ValueError as error:
                if "allow_pickle" not in str(error):
                    raise
                other[name] = "Python object"
    return _array_file(path, arrays, other)


def first_bytes(path: Path, count: int = 128) -> bytes:
    """The beginning of a file that is there and is not a web page."""
    try:
        with path.open("rb") as stream:
            start = stream.read(count)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if start.lstrip(b"\xef\xbb\xbf \t\r\n")[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<head"):
        raise InputError(
            f"{path}: is a web page, not data; the download was answered by HTML, fetch the file again"
        )
    return start


def _open_matlab(path: Path, start: bytes) -> ArrayFile:
    if start.startswith(b"MATLAB 7.3") or start.startswith(b"\x89HDF"):
        raise InputError(f"{path}: MATLAB v7.3 (HDF5) is not supported yet; save it with -v7")
    if len(start) < 128 or start[126:128] not in (b"IM", b"MI"):
        raise InputError(f"{path}: not a MATLAB v5 file (it begins with {start[:20]!r})")
    shapes, other = {}, {}
    with _readable(path):
        for name, shape, kind in scipy.io.whosmat(path):
            if kind in MATLAB_NUMERIC:
                shapes[name] = tuple(shape)
            else:
                other[name] = kind

    def read(name: str) -> NDArray[Any]:
        array: NDArray[Any] = scipy.io.loadmat(path, variable_names=[name])[name]
        return array

    return ArrayFile(path, shapes, other, read)


def _array_file(
    path: Path, arrays: dict[str, NDArray[Any]], other: dict[str, str] | None = None
) -> ArrayFile:
    """Numeric arrays as they are; arrays of other types by the name of their type only."""
    numeric = {name: array for name, array in arrays.items() if array.dtype.kind in "biufc"}
    others = {name: str(array.dtype) for name, array in arrays.items() if name not in numeric}
    return ArrayFile(
        path, {n: a.shape for n, a in numeric.items()}, (other or {}) | others, lambda name: numeric[name]
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns whatever a damaged file makes a decoder raise into one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: damaged or not readable ({reason[:120]})") from error
