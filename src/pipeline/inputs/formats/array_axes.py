"""Which array of a file is the image, and what its axes are.

The configuration names them; what it leaves out follows from the file's labels, else from the number of
wavelengths, else from the order that is usual for the format, which is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.errors import InputError
from pipeline.inputs.formats.array_file import BANDS_FIRST, BANDS_LAST, ArrayFile
from pipeline.inputs.formats.bands import Bands, configured_bands, configured_sensor
from pipeline.inputs.formats.dimensions import named_by_length, roles
from pipeline.inputs.formats.labels import Labels

FEW = 10  # an axis this many times shorter than the two others is that of the bands


@dataclass(frozen=True)
class Arranged:
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


def arrange(file: ArrayFile, source: FileSource, *, needs_shape: bool = True) -> Arranged:
    """Return the configured or the only image of a file, with its axes.

    Parameters
    ----------
    file : ArrayFile
        The arrays of the file.
    source : FileSource
        May name the array and its axes.
    needs_shape : bool
        Whether a single axis of pixels is refused where the configuration has no `shape`.

    Raises
    ------
    InputError
        There is no such array, or its axes are not known or contradict the configuration.
    """
    name = file.named(source.variable) if source.variable else _unnamed(file, source)
    stored = file.shape_of(name)
    labels = named_by_length(file.labels(name), stored)
    label = f"{file.path}: variable {name!r} of shape {'x'.join(map(str, stored))}"
    assumed: tuple[str, ...] = ()
    if source.axes is not None:
        axes = _with_ones(source.axes.split(","), stored)
    else:
        known = roles(label, labels, stored)
        axes, assumed = _named(known) or _guessed_axes(label, file, source, stored, labels)
    if not needs_shape and source.shape is None and "y" not in axes:
        return Arranged(name, labels, axes, (-1, -1, -1))
    return Arranged(name, labels, axes, _shape(label, stored, axes, source.shape), assumed)


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


def configured_array_bands(
    file: ArrayFile, source: FileSource
) -> tuple[Bands, Bands, NDArray[np.str_] | None]:
    """Return configured centres, widths and detectors of just the bands that the array holds.

    Parameters
    ----------
    file : ArrayFile
        The arrays of the file, for variables.
    source : FileSource
        The configuration.
    """
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
    configured = configured_array_bands(file, source)[0]
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
