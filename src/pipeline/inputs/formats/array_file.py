"""The named arrays of a file, listed before they are loaded, whatever the format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.band_coordinates import CENTRE_NAME, WIDTH_NAME
from pipeline.inputs.formats.damage import readable
from pipeline.inputs.formats.dimensions import role_of_name
from pipeline.inputs.formats.hdf5 import Dataset
from pipeline.inputs.formats.image import natural
from pipeline.inputs.formats.labels import Coordinate, Labels
from pipeline.inputs.formats.zarr_store import ZarrArray

BANDS_FIRST, BANDS_LAST = ("band", "y", "x"), ("y", "x", "band")
Array = NDArray[Any] | Dataset | ZarrArray


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of one file.

    Attributes
    ----------
    path : Path
        The file.
    shapes : dict
        Shape of every numeric array by name.
    other : dict
        Type of every other entry by name.
    read : callable
        Returns the array of a name, to be indexed.
    labels_of : callable
        Returns the labels of the array of a name.
    order : (str, str, str)
        Axes of an image whose file does not say them.
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    other: dict[str, str]
    read: Callable[[str], Array]
    labels_of: Callable[[str], Labels] | None = None
    order: tuple[str, str, str] = BANDS_FIRST

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array.

        Parameters
        ----------
        name : str
            Name of the array.

        Raises
        ------
        InputError
            It is not there, or not numeric.
        """
        if name in self.other:
            raise InputError(
                f"{self.path}: variable {name!r} holds {self.other[name]} elements, which are not read; "
                f"numeric ones are {self.listing()}"
            )
        if name not in self.shapes:
            raise InputError(f"{self.path}: no variable {name!r}; it holds {self.listing()}")
        return self.shapes[name]

    def named(self, name: str) -> str:
        """Return an array's name; a field of a struct may be written as `struct/field`, too."""
        field = name.replace("/", ".")
        return field if name not in self.shapes and field in self.shapes else name

    def open(self, name: str) -> Array:
        """Return the array called `name`, to be indexed; it is not read yet where the format allows it."""
        self.shape_of(name)
        with readable(self.path):
            return self.read(name)

    def load(self, name: str) -> NDArray[Any]:
        """Read the array called `name` into memory."""
        return self.open(name)[...]

    def labels(self, name: str) -> Labels:
        """Return what the file says about an array, at least its arrays of wavelengths and widths.

        Parameters
        ----------
        name : str
            Name of the array.
        """
        if self.labels_of is not None:
            return self.labels_of(name)
        beside = [
            Coordinate(_last(other), None, self.load(other).ravel())
            for other, shape in self.shapes.items()
            if sum(side > 1 for side in shape) == 1 and is_spectral(_last(other))
        ]
        return Labels((None,) * len(self.shapes[name]), tuple(beside))

    def only(self, rank: int) -> str:
        """Return the name of the only array with `rank` axes, or with as many longer than 1.

        Raises
        ------
        InputError
            There is no such array, or several.
        """
        names = [name for name, shape in self.shapes.items() if len(shape) == rank]
        names = names or [name for name, shape in self.shapes.items() if _long(shape) == rank]
        return self._only(names, f"{rank} axes")

    def image(self) -> str:
        """Return the name of the only array that may be an image: of three axes, else of two.

        Axes of length 1 do not count where there are more than three, and arrays that another names as its
        ancillary variables, bounds or coordinates are left out.

        Raises
        ------
        InputError
            There is no such array, or several.
        """
        names = [name for name, shape in self.shapes.items() if len(shape) == 3 or _long(shape) == 3]
        if not names:
            flat = [name for name, shape in self.shapes.items() if _long(shape) == 2 and len(shape) >= 2]
            names = flat if len(flat) == 1 else []
            many = [name for name, shape in self.shapes.items() if _long(shape) > 3]
            names = many if not names and len(many) == 1 else names  # whose axes are named in the error
        if len(names) > 1 and self.labels_of is not None:
            ancillary = {word for name in names for word in _referred(self.labels_of(name))}
            names = [name for name in names if _last(name) not in ancillary]
        return self._only(names, "3 axes")

    def band_variables(self) -> list[str]:
        """Return the arrays that are one band each, where a file keeps its bands apart; else none.

        They have named dimensions of rows and of columns, the same for all, and no other array has more.
        Flags and arrays that others refer to are no bands.
        """
        if self.labels_of is None or any(_long(shape) > 2 for shape in self.shapes.values()):
            return []
        labels = {name: self.labels_of(name) for name, shape in self.shapes.items() if _long(shape) == 2}
        referred = {word for known in labels.values() for word in _referred(known)}
        grids: dict[Any, list[str]] = {}
        for name, known in labels.items():
            meaning = {role_of_name(dim) for dim in known.dims if dim}
            flags = {"flag_values", "flag_masks", "flag_meanings"} & set(known.attributes)
            itself = role_of_name(_last(name)) in ("x", "y")  # longitude and latitude of each pixel
            if {"x", "y"} <= meaning and not flags and not itself and _last(name) not in referred:
                grids.setdefault((known.dims, self.shapes[name]), []).append(name)
        names = max(grids.values(), key=len, default=[])
        return sorted(names, key=natural) if len(grids) == 1 and len(names) > 1 else []

    def _only(self, names: list[str], what: str) -> str:
        if len(names) != 1:
            how_many = "none of the arrays has" if not names else f"{len(names)} arrays have"
            raise InputError(
                f"{self.path}: {how_many} {what}; name one by `variable` (and its `axes`); "
                f"the file holds {self.listing()}"
            )
        return names[0]

    def listing(self) -> str:
        """Return the arrays and their shapes, for messages."""
        shown = [f"{name} {'x'.join(map(str, shape))}" for name, shape in self.shapes.items()]
        more = f" and {len(shown) - 40} more" if len(shown) > 40 else ""
        return (", ".join(shown[:40]) + more) or "no numeric array"


def _last(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[2]


def _long(shape: tuple[int, ...]) -> int:
    """Return the number of axes that are longer than 1."""
    return sum(side > 1 for side in shape)


def is_spectral(name: str) -> bool:
    """Return whether an array of some name holds wavelengths or widths of bands."""
    return bool(CENTRE_NAME.fullmatch(name) or WIDTH_NAME.fullmatch(name))


def _referred(labels: Labels) -> list[str]:
    """Return names of the arrays that an array only refers to."""
    keys = ("ancillary_variables", "bounds", "coordinates", "cell_measures")
    return [word for key in keys for word in str(labels.attributes.get(key, "")).split()]


def numeric(
    headers: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]],
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Return the shapes of numeric arrays, and the type names of all other arrays.

    Parameters
    ----------
    headers : mapping
        Shape and type of each array by its name.
    """
    shapes = {name: shape for name, (shape, dtype) in headers.items() if dtype.kind in "biufc"}
    other = {
        name: "Python object" if dtype.hasobject else str(dtype)
        for name, (_, dtype) in headers.items()
        if name not in shapes
    }
    return shapes, other
