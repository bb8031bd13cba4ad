"""The array of a `.mat`, `.npz`, `.npy` or HDF5 file as an image in the order (band, y, x).

Which array, and what its axes are, comes from the configuration; what it leaves out is guessed
where only one answer fits. Bytes are read in `arrays`, and wavelengths in `bands`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.arrays import ArrayFile, open_arrays
from pipeline.inputs.formats.bands import Bands, configured_bands, configured_sensor, per_band
from pipeline.inputs.formats.hdf5 import Dataset


class ArrayImage:
    """An array as a `StoredImage`; its one copy in memory, if any, is in its own type and order.

    An array in an HDF5 file is read window by window.

    Parameters
    ----------
    path : Path
    source : FileSource

    Raises
    ------
    InputError
        The array cannot be read or is not what the configuration says.
    """

    bad_bands: tuple[int, ...] = ()
    crs: str | None = None
    transform: Transform | None = None
    units: str | None = None
    _values: NDArray[Any] | Dataset

    def __init__(self, path: Path, source: FileSource) -> None:
        file = open_arrays(path)
        name = _name(file, source)
        values = file.open(name)
        if values.dtype.kind == "c":
            raise InputError(f"{path}: variable {name!r} is complex; a scene is real")
        wavelength, fwhm, self.detector = _described_bands(file, source)
        what, self._axes = _axes(file, source, wavelength)
        self._values = values
        self.shape = _shape(what, values.shape, self._axes, source.shape)
        self.storage = self._stored_together()
        self.wavelength, self.fwhm = per_band(path, self.shape[0], wavelength, fwhm, tuple(source.bad_bands))

    def read(self, window: Window, bands: list[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values of some bands of a window; an array declares nothing missing."""
        rows, columns = window.slices
        if "band" not in self._axes:
            values = self._values[rows, columns][None]
        elif len(self._axes) == 3:
            part: dict[str, Any] = {"band": bands, "y": rows, "x": columns}
            read = self._values[tuple(part[axis] for axis in self._axes)]
            values = read.transpose([self._axes.index(axis) for axis in ("band", "y", "x")])
        else:
            values = self._of_pixels(window, bands)
        return values, np.zeros(values.shape, bool)

    def _of_pixels(self, window: Window, bands: list[int]) -> NDArray[Any]:
        """A window of an array with one axis of pixels, in row-major (`yx`) or column-major order."""
        (order,) = set(self._axes) - {"band"}
        row_major = order == "yx"
        across = self.shape[2] if row_major else self.shape[1]
        along, side = window.slices if row_major else window.slices[::-1]
        pixels = slice(along.start * across, along.stop * across)
        by_band = self._axes[0] == "band"
        read = self._values[bands, pixels] if by_band else self._values[pixels, bands].T
        values = read.reshape(len(bands), -1, across)[:, :, side]
        return values if row_major else values.transpose(0, 2, 1)

    def _stored_together(self) -> tuple[int, int]:
        """Rows and columns that are best read together."""
        _, height, width = self.shape
        if isinstance(self._values, np.ndarray) or "yx" in self._axes:
            return 1, width
        if "xy" in self._axes:
            return height, 1
        together = dict(zip(self._axes, self._values.together, strict=True))
        return together["y"], together["x"]


def array_size(path: Path, source: FileSource) -> tuple[int, int] | None:
    """Height and width of a file's array, from its headers."""
    file = open_arrays(path)
    _, axes = _axes(file, source, _described_bands(file, source)[0])
    shape = file.shape_of(_name(file, source))
    if len(axes) != len(shape):
        return None
    return (shape[axes.index("y")], shape[axes.index("x")]) if "y" in axes else source.shape


def _name(file: ArrayFile, source: FileSource) -> str:
    return source.variable or file.only(len(source.axes.split(",")) if source.axes else 3)


def _axes(file: ArrayFile, source: FileSource, wavelength: Bands) -> tuple[str, list[str]]:
    """What the array is, for messages, and its axes."""
    name = _name(file, source)
    shape = file.shape_of(name)
    what = f"{file.path}: variable {name!r} of shape {'x'.join(map(str, shape))}"
    return what, source.axes.split(",") if source.axes else _guessed_axes(what, shape, wavelength)


def _described_bands(file: ArrayFile, source: FileSource) -> tuple[Bands, Bands, NDArray[np.str_] | None]:
    """Configured centres, widths and detectors of just the bands that the array holds."""
    wavelength, fwhm = configured_bands(file.path, source, file)
    sensor = configured_sensor(source, file)
    detector = None if sensor is None else sensor.detector
    if source.band_numbers is not None:
        kept = _band_numbers(file, source.band_numbers, wavelength)
        wavelength = None if wavelength is None else wavelength[kept]
        detector = None if detector is None else detector[kept]
        fwhm = fwhm[kept] if fwhm is not None and fwhm.size > kept.size else fwhm
    return wavelength, fwhm, detector


def _shape(
    what: str, stored: tuple[int, ...], axes: list[str], shape: tuple[int, int] | None
) -> tuple[int, int, int]:
    """Bands, height and width of an array with these axes."""
    if len(stored) != len(axes) or 0 in stored:
        raise InputError(
            f"{what} does not fit axes {','.join(axes)}, which need {len(axes)} axes with content"
        )
    length = dict(zip(axes, stored, strict=True))
    if "y" in axes:
        return length.get("band", 1), length["y"], length["x"]
    if shape is None:
        raise InputError(f"{what} has one pixel axis; give `shape: [height, width]`")
    (pixels,) = set(axes) - {"band"}
    if length[pixels] != shape[0] * shape[1]:
        raise InputError(
            f"{what} has {length[pixels]} pixels along {pixels}, but shape {list(shape)} has "
            f"{shape[0] * shape[1]}; correct `axes` or `shape`"
        )
    return length["band"], *shape


def _guessed_axes(what: str, shape: tuple[int, ...], wavelength: Bands) -> list[str]:
    """MATLAB's y,x,band; or band,y,x where the number of wavelengths says so."""
    if len(shape) != 3:
        raise InputError(f"{what} has {len(shape)} axes, a scene has 3; give `axes` and `shape`")
    if wavelength is None or shape[2] == wavelength.size:
        return ["y", "x", "band"]
    if shape[0] == wavelength.size and shape[1] != wavelength.size:
        return ["band", "y", "x"]
    raise InputError(f"{what} has no band axis at its end for {wavelength.size} wavelengths; give `axes`")


def _band_numbers(file: ArrayFile, name: str, wavelength: Bands) -> NDArray[np.intp]:
    """0-based positions of the kept bands among those that the wavelengths describe."""
    numbers = file.load(name).ravel()
    most = np.inf if wavelength is None else wavelength.size
    if numbers.size == 0:
        raise InputError(f"{file.path}: band_numbers {name!r} is empty; expected the kept bands' numbers")
    if (numbers != np.round(numbers)).any() or numbers.min() < 1 or numbers.max() > most:
        raise InputError(
            f"{file.path}: band_numbers {name!r} holds {numbers.min():g} to {numbers.max():g}; "
            f"expected whole numbers from 1 to {most}, the number of `wavelengths`"
        )
    return np.asarray(numbers - 1, np.intp)
