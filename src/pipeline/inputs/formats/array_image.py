"""Arrays of `.mat`, `.npz`, `.npy`, HDF5, NetCDF and Zarr files as images in the order (band, y, x).

The configuration names the array and its axes; what it leaves out follows from the file's labels, else from
the number of wavelengths, else from the order that is usual for the format, which is said.
Bytes are read in `arrays`, labels are understood in `conventions`, configured wavelengths in `bands`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.arrays import BANDS_FIRST, BANDS_LAST, Array, ArrayFile, open_arrays
from pipeline.inputs.formats.bands import Bands, configured_bands, configured_sensor, per_band
from pipeline.inputs.formats.conventions import (
    LabelledBands,
    Packing,
    labelled_bands,
    packing,
    placed,
    roles,
)
from pipeline.inputs.formats.image import Block, SingleBands, StoredImage, equals_any
from pipeline.inputs.formats.labels import Labels
from pipeline.inputs.formats.raster_bands import CENTRES as CENTRE_TAGS
from pipeline.inputs.formats.wavelengths import Spelled, centres_nm, described

FEW = 10  # an axis this many times shorter than the two others is that of the bands

UNSTATED_UNITS = ("", "none", "unknown")


class ArrayPixels:
    """Pixels of an array with given axes.

    Parameters
    ----------
    array : array, Dataset or ZarrArray
        Array of values; of HDF5 and Zarr it is read window by window.
    axes : list of str
        Its axes: `band`, `y` and `x`, or `band` and an axis of pixels in row-major (`yx`) or column-major
        (`xy`) order; `1` are axes of length 1 beside them.
    size : (int, int)
        Height and width of the image.
    declared : Packing, optional
        Numbers that the file declares missing.
    """

    def __init__(
        self, array: Array, axes: list[str], size: tuple[int, int], declared: Packing | None = None
    ) -> None:
        self._array, self._axes, self._size, self._declared = array, axes, size, declared

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
        """Return some bands of a window, and where the file declares their numbers missing."""
        values = self._window(window, bands) if "y" in self._axes else self._of_pixels(window, bands)
        if self._declared is None:
            return values, np.zeros(values.shape, bool)
        low, high = self._declared.valid
        missing = equals_any(values, self._declared.fill)
        if np.isfinite(low) or np.isfinite(high):
            missing |= (values < low) | (values > high)
        return values, missing

    def _window(self, window: Window, bands: list[int]) -> NDArray[Any]:
        """Return a window of an array with axes of rows and of columns."""
        rows, columns = window.slices
        part: dict[str, Any] = {"band": bands, "y": rows, "x": columns, "1": slice(0, 1)}
        read = self._array[tuple(part[axis] for axis in self._axes)]
        long = [axis for axis in self._axes if axis != "1"]
        read = read.reshape([side for side, axis in zip(read.shape, self._axes, strict=True) if axis != "1"])
        if "band" not in long:
            read, long = read[None], ["band", *long]
        return np.asarray(read.transpose([long.index(axis) for axis in ("band", "y", "x")]))

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
        A `.mat`, `.npz`, `.npy`, HDF5 or NetCDF file, or a Zarr store.
    source : FileSource
        Names the array, its axes and its bands.

    Raises
    ------
    InputError
        The array cannot be read or contradicts the configuration.
    """
    file = open_arrays(path)
    names = [] if source.variable or source.axes else file.band_variables()
    return _of_variables(file, source, names) if names else _image(file, source)


def _of_variables(file: ArrayFile, source: FileSource, names: Sequence[str]) -> StoredImage:
    """Return an image whose bands are arrays of their own."""
    bare = source.model_copy(
        update={"wavelengths": None, "fwhm": None, "band_numbers": None, "bad_bands": []}
    )
    images = [_image(file, bare.model_copy(update={"variable": name})) for name in names]
    first = images[0]
    if len({(image.crs, image.transform) for image in images}) > 1:
        raise InputError(
            f"{file.path}: its bands {', '.join(names[:8])} lie at different places; name one by `variable`"
        )
    centres = [_own_centre(file, name) for name in names]
    numbers = Spelled(np.array(centres)) if all(centres) else described(list(names))
    nm = None if numbers is None else centres_nm(numbers).nm
    configured = configured_bands(file.path, source, file)
    wavelength, fwhm = per_band(file.path, len(names), *configured, tuple(source.bad_bands))
    units = {image.units for image in images}
    told = dict.fromkeys(text for image in images for text in image.assumed)
    return replace(
        first,
        shape=(len(images), *first.shape[1:]),
        pixels=SingleBands(images),
        wavelength=nm if wavelength is None else wavelength,
        fwhm=fwhm,
        band_names=tuple(name.rpartition("/")[2] for name in names),
        units=units.pop() if len(units) == 1 else None,
        gain=None,
        offset=None,
        declares_nodata=all(image.declares_nodata for image in images),
        assumed=(*told, f"{len(names)} arrays of one band each are its bands"),
    )


def _own_centre(file: ArrayFile, name: str) -> float | None:
    """Return the wavelength that an array of one band has as an attribute."""
    known = {key.lower(): value for key, value in file.labels(name).attributes.items()}
    numbers = [known[key] for key in CENTRE_TAGS if isinstance(known.get(key), int | float)]
    return float(numbers[0]) if numbers else None


def _image(file: ArrayFile, source: FileSource) -> StoredImage:
    """Return the image of one array."""
    path = file.path
    arranged = _arranged(file, source)
    name, labels, shape = arranged.name, arranged.labels, arranged.shape
    label = f"{path}: variable {name!r}"
    array = file.open(name)
    if array.dtype.kind == "c":
        raise InputError(f"{label} is complex; a scene is real")
    bands = _bands(file, source, arranged)
    packed = _packing(label, labels, shape[0])
    place = placed(path, labels, arranged.axes, shape[1:])
    pixels = ArrayPixels(array, arranged.axes, shape[1:], packed)
    return StoredImage(
        name=str(path),
        shape=shape,
        storage=pixels.storage,
        pixels=pixels,
        wavelength=bands.wavelength,
        fwhm=bands.fwhm,
        detector=bands.detector,
        band_names=bands.names,
        crs=place.crs,
        transform=place.transform,
        units=_units(labels),
        gain=packed.gain,
        offset=packed.offset,
        assumed=(*arranged.assumed, *bands.assumed, *place.assumed),
        declares_nodata=bool(packed.fill) or any(map(np.isfinite, packed.valid)),
    )


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
    names = [] if source.variable or source.axes else file.band_variables()
    one_band = source.model_copy(update={"variable": names[0], "wavelengths": None}) if names else source
    arranged = _arranged(file, one_band, needs_shape=False)
    return None if arranged.shape[1] < 0 else arranged.shape[1:]


@dataclass(frozen=True)
class _Arranged:
    """An array of a file and the meaning of its axes.

    Attributes
    ----------
    name : str
        Name of the array.
    labels : Labels
        Its labels.
    axes : list of str
        Its axes, see `ArrayPixels`.
    shape : (int, int, int)
        Bands, height and width; height and width are -1 where only a missing `shape` would tell them.
    assumed : tuple of str
        What was guessed, a sentence each.
    """

    name: str
    labels: Labels
    axes: list[str]
    shape: tuple[int, int, int]
    assumed: tuple[str, ...] = ()


def _arranged(file: ArrayFile, source: FileSource, *, needs_shape: bool = True) -> _Arranged:
    """Return the configured or the only image of a file, with its axes."""
    name = file.named(source.variable) if source.variable else _unnamed(file, source)
    stored = file.shape_of(name)
    labels = file.labels(name)
    label = f"{file.path}: variable {name!r} of shape {'x'.join(map(str, stored))}"
    assumed: tuple[str, ...] = ()
    if source.axes is not None:
        axes = _with_ones(source.axes.split(","), stored)
    else:
        known = roles(label, labels, stored)
        axes, assumed = _named(known) or _guessed_axes(label, file, source, stored, labels)
    if not needs_shape and source.shape is None and "y" not in axes:
        return _Arranged(name, labels, axes, (-1, -1, -1))
    return _Arranged(name, labels, axes, _shape(label, stored, axes, source.shape), assumed)


def _unnamed(file: ArrayFile, source: FileSource) -> str:
    """Return the name of the only array that can be the image."""
    return file.image() if source.axes is None else file.only(len(source.axes.split(",")))


def _named(known: Sequence[str | None]) -> tuple[list[str], tuple[str, ...]] | None:
    """Return axes that the labels name all."""
    axes = [axis for axis in known if axis is not None]
    return (axes, ()) if len(axes) == len(known) and {"y", "x"} <= set(axes) else None


def _with_ones(axes: list[str], stored: tuple[int, ...]) -> list[str]:
    """Return configured axes, with those of length 1 that they leave out."""
    long = [side for side in stored if side != 1]
    if len(stored) <= len(axes) or len(long) != len(axes):
        return axes
    left = iter(axes)
    return ["1" if side == 1 else next(left) for side in stored]


def _units(labels: Labels) -> str | None:
    """Return units of the values; a store of this package has those of the undivided values."""
    own = labels.file.get(f"{_prefix(labels)}units") if "provenance" in labels.file else None
    units = str(own or labels.attributes.get("units") or "").strip()
    return None if units.lower() in UNSTATED_UNITS else units


def _prefix(labels: Labels) -> str:
    return "msi_" if labels.dims and labels.dims[0] == "msi_band" else ""


def _packing(label: str, labels: Labels, bands: int) -> Packing:
    """Return the calibration of an array; stores of this package divide values by their `scale`."""
    packed = packing(label, labels, bands)
    scale = labels.file.get(f"{_prefix(labels)}scale", labels.file.get("scale"))
    if "provenance" not in labels.file or not isinstance(scale, int | float) or packed.gain is not None:
        return packed
    return replace(packed, gain=np.full(bands, float(scale)), offset=np.zeros(bands))


@dataclass(frozen=True)
class _ArrayBands:
    """Bands of an array, one value each; see `StoredImage`."""

    wavelength: Bands
    fwhm: Bands
    detector: NDArray[np.str_] | None
    names: tuple[str, ...] | None
    assumed: tuple[str, ...]


def _bands(file: ArrayFile, source: FileSource, arranged: _Arranged) -> _ArrayBands:
    """Return the bands as the configuration describes them, else as the file's coordinates do."""
    wavelength, fwhm, detector = _described_bands(file, source)
    axes, count = arranged.axes, arranged.shape[0]
    labelled, assumed = LabelledBands(), list[str]()
    axis = axes.index("band") if "band" in axes else None
    if wavelength is None and "y" in axes:
        labelled = labelled_bands(file.path, arranged.labels, axis, count)
    if labelled.centres is not None:
        wavelength = labelled.centres.nm
        fwhm = labelled.fwhm if fwhm is None else fwhm
        assumed += [labelled.centres.guess] if labelled.centres.guess else []
        if labelled.origin:
            assumed.append(f"wavelengths are those of the array {labelled.origin!r} of the file")
    wavelength, fwhm = per_band(file.path, count, wavelength, fwhm, tuple(source.bad_bands))
    return _ArrayBands(wavelength, fwhm, detector, labelled.names, tuple(assumed))


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


def _guessed_axes(
    label: str, file: ArrayFile, source: FileSource, stored: tuple[int, ...], labels: Labels
) -> tuple[list[str], tuple[str, ...]]:
    """Guess the axes that no label names: by wavelengths, by a short axis, or by the format's usual order.

    Returns
    -------
    axes : list of str
        The axes.
    assumed : tuple of str
        How they were guessed.
    """
    places = [i for i, side in enumerate(stored) if side != 1 or len(stored) <= 3]
    shape = tuple(stored[i] for i in places)
    if len(shape) == 2:
        return _spread(["y", "x"], places, len(stored)), ("an array of two axes is taken as one band (y,x)",)
    if len(shape) != 3:
        raise InputError(f"{label} has {len(shape)} axes, a scene has 3; give `axes` and `shape`")
    configured = _described_bands(file, source)[0]
    sizes = {coordinate.values.size for coordinate in labels.loose}
    counts = {configured.size} if configured is not None else sizes
    fits = [i for i, side in enumerate(shape) if side in counts and side > 1]
    orders = {0: BANDS_FIRST, 1: ("y", "band", "x"), 2: BANDS_LAST}
    if configured is not None and configured.size > 1 and not fits:
        raise InputError(
            f"{label} has no axis for {configured.size} wavelengths; correct `wavelengths` or give `axes`"
        )
    short = [i for i in (0, 2) if all(FEW * shape[i] <= side for side in shape[:i] + shape[i + 1 :])]
    leading = len(places) < len(stored) and 0 not in places  # a batch of one image, in the order of networks
    usual = 0 if leading else file.order.index("band")
    if fits:
        band = usual if usual in fits else fits[0]
        why = (
            "by the number of wavelengths"
            if len(fits) == 1
            else "the usual order, as several axes fit the wavelengths"
        )
    elif len(short) == 1:
        band, why = short[0], "as this axis is far shorter than the others"
    else:
        band, why = usual, f"the usual order of {'a batch' if leading else _kind(file)}"
    axes = list(orders[band])
    return _spread(axes, places, len(stored)), (
        f"axes of the {'x'.join(map(str, shape))} array are not named: {','.join(axes)} assumed, {why}; "
        "`axes` says others",
    )


def _kind(file: ArrayFile) -> str:
    return "MATLAB" if file.order == BANDS_LAST else "this pipeline"


def _spread(axes: list[str], places: list[int], count: int) -> list[str]:
    """Return axes at their places among others of length 1."""
    meaning = dict(zip(places, axes, strict=True))
    return [meaning.get(i, "1") for i in range(count)]


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
