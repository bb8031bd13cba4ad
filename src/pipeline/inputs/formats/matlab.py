"""Variables of MATLAB files, of version 5 and 7.3, and numeric fields of structs.

Nothing is ever unpickled: objects and cells are left out.
"""

from __future__ import annotations

import os
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy  # loads `scipy.io` when it is first used
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.array_file import BANDS_LAST, ArrayFile
from pipeline.inputs.formats.damage import MOST_UNCHECKED, VALUES_PER_BYTE, readable, refuse_expansion
from pipeline.inputs.formats.hdf5 import Dataset, open_hdf5, plain

MATLAB_NUMERIC = {"double", "single", "logical"} | {f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)}
COMPRESSED, PIECE = 15, 2**20  # type of a MATLAB element; bytes that are decoded at a time


def open_matlab(path: Path, start: bytes) -> ArrayFile:
    """List the variables of a MATLAB v5 file, and the numeric fields of its structs.

    Parameters
    ----------
    path : Path
        The file.
    start : bytes
        Its first bytes.

    Raises
    ------
    InputError
        The file is none of MATLAB v5, or damaged.
    """
    if len(start) < 128 or start[126:128] not in (b"IM", b"MI"):
        raise InputError(f"{path}: not a MATLAB v5 file (it begins with {start[:20]!r})")
    shapes, other = {}, {}
    with readable(path):
        for name, shape, kind in scipy.io.whosmat(path):
            if kind in MATLAB_NUMERIC:
                shapes[name] = tuple(shape)
            else:
                other[name] = kind
        fields = _fields(path, [name for name, kind in other.items() if kind == "struct"])
    shapes |= {name: array.shape for name, array in fields.items()}

    def read(name: str) -> NDArray[Any]:
        if name in fields:
            return fields[name]
        refuse_expansion(path, prod(shapes[name]))
        array: NDArray[Any] = scipy.io.loadmat(path, variable_names=[name])[name]
        return array

    return ArrayFile(path, shapes, other, read, order=BANDS_LAST)


def _fields(path: Path, structs: list[str]) -> dict[str, NDArray[Any]]:
    """Return the numeric fields of structs as `struct.field`."""
    if structs:
        refuse_expansion(path, _decoded_bytes(path))
    content = scipy.io.loadmat(path, variable_names=structs) if structs else {}
    fields = {}
    for name in structs:
        array = content[name]
        for field in array.dtype.names or ():
            value = array[field].ravel()[0] if array.size == 1 else None
            if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.ndim > 1:
                fields[f"{name}.{field}"] = value
    return fields


def _decoded_bytes(path: Path) -> int:
    """Return the bytes that the compressed elements of a MATLAB v5 file decode to, none of which are kept."""
    total, most = 0, VALUES_PER_BYTE * path.stat().st_size + MOST_UNCHECKED  # beyond it is refused anyway
    with path.open("rb") as stream:
        order = "<" if stream.read(128)[126:128] == b"IM" else ">"
        while len(tag := stream.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            if kind != COMPRESSED:
                stream.seek(size, os.SEEK_CUR)
                continue
            decoder, rest = zlib.decompressobj(), stream.read(size)
            while rest and not decoder.eof and total <= most:
                total += len(decoder.decompress(rest, PIECE))
                rest = decoder.unconsumed_tail
    return total


def open_matlab_hdf5(path: Path) -> ArrayFile:
    """List the variables of a MATLAB v7.3 file, with MATLAB's axes, which are stored last to first.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        The file is damaged.
    """
    file = open_hdf5(path)
    shapes, other = {}, {}
    with readable(path):
        for name, item in _matlab_items(file):
            kind = plain(item.attrs.get("MATLAB_class", "double"))
            shape = getattr(item, "shape", None)  # a struct is a group
            if kind not in MATLAB_NUMERIC or shape is None or item.attrs.get("MATLAB_empty", 0):
                other[name] = f"empty {kind}" if kind in MATLAB_NUMERIC else kind
            elif item.dtype.kind not in "biuf":
                other[name] = f"complex {kind}" if item.dtype.names == ("real", "imag") else str(item.dtype)
            else:
                shapes[name] = shape[::-1]

    def read(name: str) -> Dataset:
        return Dataset(path, file[name.replace(".", "/")], transposed=True)

    return ArrayFile(path, shapes, other, read, order=BANDS_LAST)


def _matlab_items(file: h5py.File) -> list[tuple[str, Any]]:
    """Return variables and, as `struct.field`, fields of structs; `#refs#` holds what cells refer to."""
    items = []
    for name, item in file.items():
        if name.startswith("#"):
            continue
        items.append((name, item))
        if isinstance(item, h5py.Group):
            items += [
                (f"{name}.{field}", part) for field, part in item.items() if isinstance(part, h5py.Dataset)
            ]
    return items
