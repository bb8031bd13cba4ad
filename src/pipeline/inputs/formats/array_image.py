"""Arrays of `.mat`, `.npz`, `.npy`, HDF5, NetCDF and Zarr files as images in the order (band, y, x).

Bytes are read in `arrays`, axes are arranged in `array_axes`, configured wavelengths in `bands`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.errors import InputError
from pipeline.inputs.formats.array_axes import Arranged, arrange, configured_array_bands
from pipeline.inputs.formats.array_file import ArrayFile
from pipeline.inputs.formats.array_pixels import ArrayPixels
from pipeline.inputs.formats.array_place import Placed, placed
from pipeline.inputs.formats.arrays import open_arrays
from pipeline.inputs.formats.band_coordinates import LabelledBands, labelled_bands
from pipeline.inputs.formats.bands import Bands, configured_bands, per_band
from pipeline.inputs.formats.dimensions import role_of_name
from pipeline.inputs.formats.image import SingleBands, StoredImage
from pipeline.inputs.formats.labels import Labels
from pipeline.inputs.formats.packing import Packing, packing
from pipeline.inputs.formats.raster_bands import CENTRES as CENTRE_TAGS
from pipeline.inputs.formats.wavelengths import Spelled, centres_nm, described

UNSTATED_UNITS = ("", "none", "unknown")


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
    assumed = dict.fromkeys(text for image in images for text in image.assumed)
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
        assumed=(*assumed, f"{len(names)} arrays of one band each are its bands"),
    )


def _own_centre(file: ArrayFile, name: str) -> float | None:
    """Return the wavelength that an array of one band has as an attribute."""
    known = {key.lower(): value for key, value in file.labels(name).attributes.items()}
    numbers = [known[key] for key in CENTRE_TAGS if isinstance(known.get(key), int | float)]
    return float(numbers[0]) if numbers else None


def _image(file: ArrayFile, source: FileSource) -> StoredImage:
    """Return the image of one array."""
    path = file.path
    arranged = arrange(file, source)
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
        assumed=(*arranged.assumed, *bands.assumed, *place.assumed, *_swath(file, place, shape[1:])),
        declares_nodata=bool(packed.fill) or any(map(np.isfinite, packed.valid)),
    )


def _swath(file: ArrayFile, place: Placed, size: tuple[int, int]) -> tuple[str, ...]:
    """Return that longitude and latitude of each pixel, as of a swath, give an image no place."""
    names = {role_of_name(name.rpartition("/")[2]) for name, shape in file.shapes.items() if shape == size}
    if place.transform is not None or not {"x", "y"} <= names:
        return ()
    return ("longitude and latitude of each pixel are not used: without a regular grid it has no place",)


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
    arranged = arrange(file, one_band, needs_shape=False)
    return None if arranged.shape[1] < 0 else arranged.shape[1:]


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


def _bands(file: ArrayFile, source: FileSource, arranged: Arranged) -> _ArrayBands:
    """Return the bands as the configuration describes them, else as the file's coordinates do."""
    wavelength, fwhm, detector = configured_array_bands(file, source)
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
