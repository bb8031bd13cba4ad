"""Arrays of `.mat`, `.npz`, `.npy` and HDF5 files as images in the order (band, y, x).

The configuration names the array and its axes; missing settings are inferred where only one value fits.
Bytes are read in `arrays`, and wavelengths in `bands`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.arrays import ArrayFile, open_arrays
from pipeline.inputs.formats.bands import Bands, configured_bands, configured_sensor, per_band
from pipeline.inputs.formats.hdf5 import Dataset
from pipeline.inputs.formats.image import Block, StoredImage


class ArrayPixels:
    """Pixels of an array with given axes; an array declares no value missing.

    Parameters
    ----------
    array : array or Dataset
        Array of values; a dataset of an HDF5 file is read window by window.
    axes : list of str
        Its axes: `band`, `y` and `x`, or `band` and an axis of pixels in row-major (`yx`) or column-major
        (`xy`) order.
    size : (int, int)
        Height and width of the image.
    """

    def __init__(self, array: NDArray[Any] | Dataset, axes: list[str], size: tuple[int, int]) -> None:
        self._array, self._axes, self._size = array, axes, size

    @property
    def storage(self) -> tuple[int, int]:
        """Rows and columns that are best read together."""
        height, width = self._size
        if isinstance(self._array, np.ndarray) or "yx" in self._axes:
            return 1, width
        if "xy" in self._axes:
            return height, 1
        together = dict(zip(self._axes, self._array.together, strict=True))
        return together["y"], together["x"]

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return some bands of a window, none of whose values is missing."""
        rows, columns = window.slices
        if "band" not in self._axes:
            values = self._array[rows, columns][None]
        elif len(self._axes) == 3:
            part: dict[str, Any] = {"band": bands, "y": rows, "x": columns}
            read = self._array[tuple(part[axis] for axis in self._axes)]
            values = read.transpose([self._axes.index(axis) for axis in ("band", "y", "x")])
        else:
            values = self._of_pixels(window, bands)
        return values, np.zeros(values.shape, bool)

    def _of_pixels(self, window: Window, bands: list[int]) -> NDArray[Any]:
        """Return a window of an array with one axis of pixels."""
        (order,) = set(self._axes) - {"band"}
        row_major = order == "yx"
        across = self._size[1] if row_major else self._size[0]
        along, side = window.slices if row_major else window.slices[::-1]
        pixels = slice(along.start * across, along.stop * across)
        by_band = self._axes[0] == "band"
        read = self._array[bands, pixels] if by_band else self._array[pixels, bands].T
        values = read.reshape(len(bands), -1, across)[:, :, side]
        return values if row_major else values.transpose(0, 2, 1)


def array_image(path: Path, source: FileSource) -> StoredImage:
    """Open an array as an image; its copy in memory, if there is one, keeps its own type and order.

    Parameters
    ----------
    path : Path
        A `.mat`, `.npz`, `.npy` or HDF5 file.
    source : FileSource
        Names the array, its axes and its bands.

    Raises
    ------
    InputError
        The array cannot be read or contradicts the configuration.
    """
    return image_of(open_arrays(path), source)[0]


def image_of(file: ArrayFile, source: FileSource) -> tuple[StoredImage, NDArray[Any] | Dataset]:
    """Return the image of a file's array, and the array itself; see `array_image`."""
    name = _name(file, source)
    array = file.open(name)
    if array.dtype.kind == "c":
        raise InputError(f"{file.path}: variable {name!r} is complex; a scene is real")
    wavelength, fwhm, detector = _described_bands(file, source)
    label, axes = _axes(file, source, wavelength)
    shape = _shape(label, array.shape, axes, source.shape)
    wavelength, fwhm = per_band(file.path, shape[0], wavelength, fwhm, tuple(source.bad_bands))
    pixels = ArrayPixels(array, axes, shape[1:])
    image = StoredImage(
        name=str(file.path),
        shape=shape,
        storage=pixels.storage,
        pixels=pixels,
        wavelength=wavelength,
        fwhm=fwhm,
        detector=detector,
    )
    return image, array


def array_size(path: Path, source: FileSource) -> tuple[int, int] | None:
    """Return height and width of a file's array from its headers, or None where they do not say.

    Parameters
    ----------
    path : Path
        The file.
    source : FileSource
        Names the array and its axes.

    Raises
    ------
    InputError
        The file has no such array, or its axes cannot be guessed.
    """
    file = open_arrays(path)
    _, axes = _axes(file, source, _described_bands(file, source)[0])
    shape = file.shape_of(_name(file, source))
    if len(axes) != len(shape):
        return None
    return (shape[axes.index("y")], shape[axes.index("x")]) if "y" in axes else source.shape


def _name(file: ArrayFile, source: FileSource) -> str:
    return source.variable or file.only(len(source.axes.split(",")) if source.axes else 3)


def _axes(file: ArrayFile, source: FileSource, wavelength: Bands) -> tuple[str, list[str]]:
    """Return a description of the array for messages, and its axes."""
    name = _name(file, source)
    shape = file.shape_of(name)
    label = f"{file.path}: variable {name!r} of shape {'x'.join(map(str, shape))}"
    return label, source.axes.split(",") if source.axes else _guessed_axes(label, shape, wavelength)


def _described_bands(file: ArrayFile, source: FileSource) -> tuple[Bands, Bands, NDArray[np.str_] | None]:
    """Return configured centres, widths and detectors of just the bands that the array holds."""
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
    label: str, stored: tuple[int, ...], axes: list[str], shape: tuple[int, int] | None
) -> tuple[int, int, int]:
    """Return bands, height and width of an array with these axes."""
    if len(stored) != len(axes) or 0 in stored:
        raise InputError(
            f"{label} does not fit axes {','.join(axes)}, which need {len(axes)} axes with content"
        )
    length = dict(zip(axes, stored, strict=True))
    if "y" in axes:
        return length.get("band", 1), length["y"], length["x"]
    if shape is None:
        raise InputError(f"{label} has one pixel axis; give `shape: [height, width]`")
    (pixels,) = set(axes) - {"band"}
    if length[pixels] != shape[0] * shape[1]:
        raise InputError(
            f"{label} has {length[pixels]} pixels along {pixels}, but shape {list(shape)} has "
            f"{shape[0] * shape[1]}; correct `axes` or `shape`"
        )
    return length["band"], *shape


def _guessed_axes(label: str, shape: tuple[int, ...], wavelength: Bands) -> list[str]:
    """Guess MATLAB's y,x,band, or band,y,x if the number of wavelengths fits the first axis."""
    if len(shape) != 3:
        raise InputError(f"{label} has {len(shape)} axes, a scene has 3; give `axes` and `shape`")
    if wavelength is None or shape[2] == wavelength.size:
        return ["y", "x", "band"]
    if shape[0] == wavelength.size and shape[1] != wavelength.size:
        return ["band", "y", "x"]
    raise InputError(f"{label} has no band axis at its end for {wavelength.size} wavelengths; give `axes`")


def _band_numbers(file: ArrayFile, name: str, wavelength: Bands) -> NDArray[np.intp]:
    """Return 0-based positions of the kept bands among the bands that the wavelengths describe."""
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
