"""Files or a product as an image: the reader for its format, and the settings of the configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rasterio.crs import CRS

from pipeline.config.scenes import FileSource
from pipeline.errors import InputError
from pipeline.inputs.formats.array_image import array_image
from pipeline.inputs.formats.array_place import crs_of
from pipeline.inputs.formats.arrays import SUFFIXES, is_array_file
from pipeline.inputs.formats.band_folder import is_stack, stacked_files
from pipeline.inputs.formats.bands import configured_bands, configured_sensor, detectors_of, per_band
from pipeline.inputs.formats.damage import first_bytes
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.formats.orientation import upright
from pipeline.inputs.formats.raster import raster_image
from pipeline.inputs.formats.tiles import tiled_image
from pipeline.inputs.formats.wavelengths import RANGE, impossible
from pipeline.inputs.missions import mission_of
from pipeline.inputs.product_names import calibrated_by_name

METADATA = (".xml", ".txt", ".json")
NARROWEST = 0.05  # nm
ARCHIVES = (".zip", ".tar", ".gz", ".tgz")
PER_BAND = ("wavelengths", "fwhm", "bands")  # keys that describe all bands of an image together


def open_images(paths: Sequence[Path], source: FileSource) -> StoredImage:
    """Open the files of a source as one image: a single file, a file for each band, or tiles.

    Parameters
    ----------
    paths : sequence of Path
        The files or products.
    source : FileSource
        Settings of the configuration, which override the files.

    Raises
    ------
    InputError
        A file cannot be read, or the files do not belong together.
    """
    if len(paths) == 1:
        return open_image(paths[0], source)
    bare = source.model_copy(update=dict.fromkeys(PER_BAND) | {"drop_bands": [], "bad_bands": []})
    first = open_image(paths[0], bare)
    # only images of one band each can be a stack: tiles are opened once
    images = [first, *(open_image(path, bare) for path in paths[1:])] if first.shape[0] == 1 else []
    if not images or not is_stack(images):
        return tiled_image([open_image(path, source) for path in paths])
    folder = paths[0].parent
    image = stacked_files(paths, images)
    return _chosen(_with_configured_bands(image, folder, source), folder, source)


def open_image(path: Path, source: FileSource) -> StoredImage:
    """Open a file or a product, with north up where flips do it.

    Parameters
    ----------
    path : Path
        An array file, a raster, or a sensor's product.
    source : FileSource
        Settings of the configuration, which override the file.

    Raises
    ------
    InputError
        The file cannot be read, or the configuration says what does not suit it.
    """
    image = _calibrated(_with_crs(_stored(path, source), path, source), source)
    if source.nodata is not None:
        declared = source.nodata if isinstance(source.nodata, list) else [source.nodata]
        image = replace(image, nodata=(*image.nodata, *declared), declares_nodata=True)
    return _chosen(upright(image), path, source)


def _chosen(image: StoredImage, path: Path, source: FileSource) -> StoredImage:
    """Return an image with the bands that the configuration leaves out by name, and names of detectors."""
    if image.detector is None:
        image = replace(image, detector=detectors_of(image.wavelength))
    image = replace(image, dropped=_dropped(path, image, source))
    left_out = [
        *image.bad_bands,
        *image.dropped,
        *(band for band in source.bad_bands if band < image.shape[0]),
    ]
    _check_wavelengths(path, image, left_out)
    _check_dates(path, image, left_out)
    return image


def _check_dates(path: Path, image: StoredImage, left_out: Sequence[int]) -> None:
    """Refuse a stack of several dates, whose wavelengths or names are all there as often."""
    kept = np.setdiff1d(np.arange(image.shape[0]), left_out)
    dates, first = (1 if left_out else image.repeats), kept[: kept.size // max(1, image.repeats)]
    if image.wavelength is not None and kept.size:
        _, at, counts = np.unique(image.wavelength[kept].round(2), return_index=True, return_counts=True)
        if counts.size > 1 and (counts == counts[0]).all():
            dates, first = int(counts[0]), kept[at]
    if dates > 1:
        others = np.setdiff1d(kept, first).tolist()
        raise InputError(
            f"{path}: each of its bands is there {dates} times, as in a stack of {dates} dates; an image has "
            f"one: leave the others out, such as by `bad_bands: {others}`"
        )


def _stored(path: Path, source: FileSource) -> StoredImage:
    _refuse_companion(path)
    if not path.is_dir():
        first_bytes(path)
    mission = mission_of(path)
    if mission is None and is_array_file(path):
        return array_image(path, source)
    _refuse_array_settings(path, source)
    if mission is not None:
        return _with_configured_bands(mission.open_image(path, source.bands), path, source)
    configured = [key for key in ("wavelengths", "fwhm") if getattr(source, key) is not None]
    return _with_configured_bands(calibrated_by_name(raster_image(path, configured), path), path, source)


def _refuse_array_settings(path: Path, source: FileSource) -> None:
    """Refuse settings of the configuration that apply to arrays only."""
    for key in ("variable", "band_numbers", "shape"):
        if getattr(source, key) is not None:
            raise InputError(
                f"{path}: `{key}` is for {', '.join(SUFFIXES)} files and Zarr; leave it out for a raster or "
                "product"
            )
    if source.axes not in (None, "band,y,x"):
        raise InputError(f"{path}: a raster's axes are band,y,x, not {source.axes}; leave `axes` out")


def _with_configured_bands(image: StoredImage, path: Path, source: FileSource) -> StoredImage:
    """Return an image with the centres, widths and detectors that the configuration gives."""
    configured = configured_bands(path, source, None)
    wavelength, fwhm = per_band(path, image.shape[0], *configured, tuple(source.bad_bands))
    sensor = configured_sensor(source, None)
    return replace(
        image,
        wavelength=image.wavelength if wavelength is None else wavelength,
        fwhm=image.fwhm if fwhm is None else fwhm,
        detector=image.detector if sensor is None else sensor.detector,
    )


def _with_crs(image: StoredImage, path: Path, source: FileSource) -> StoredImage:
    """Return an image with the configured CRS, which must not contradict the file's."""
    if source.crs is None:
        return image
    crs = crs_of(path, source.crs)
    if image.crs is not None and CRS.from_user_input(image.crs) != CRS.from_user_input(crs):
        raise InputError(
            f"{path}: `crs` is {source.crs}, but the file says {image.crs[:80]}; leave `crs` out"
        )
    if image.transform is None:
        raise InputError(
            f"{path}: `crs` is for a file that has an affine or coordinates of its pixels, this one has "
            "neither; "
            "leave it out"
        )
    return replace(image, crs=image.crs or crs)


def _calibrated(image: StoredImage, source: FileSource) -> StoredImage:
    """Return an image with the configured offset added, else the one that the product's name tells."""
    added = image.added if source.offset is None else source.offset
    if added == 0:
        return image
    bands = image.shape[0]
    gain = np.ones(bands) if image.gain is None else image.gain
    offset = np.zeros(bands) if image.offset is None else image.offset
    return replace(image, gain=gain, offset=offset + added)


def _dropped(path: Path, image: StoredImage, source: FileSource) -> tuple[int, ...]:
    """Return the bands that `bands` and `drop_bands` leave out."""
    dropped = set(_numbers_of(path, image, source.drop_bands, "drop_bands"))
    if source.bands is not None:
        dropped |= set(range(image.shape[0])) - set(_numbers_of(path, image, source.bands, "bands"))
    return tuple(sorted(dropped))


def _numbers_of(path: Path, image: StoredImage, names: Sequence[str], key: str) -> list[int]:
    """Return the 0-based numbers of bands that are named."""
    known: dict[str, int] = {str(band): band for band in range(image.shape[0])}
    if image.wavelength is not None:
        known |= {_plain(f"{nm:.0f} nm"): band for band, nm in enumerate(image.wavelength)}
    known |= {_plain(name): band for band, name in enumerate(image.band_names or ())}
    for name in names:
        if _plain(name) not in known:
            listing = ", ".join(band_labels(image)[:40])
            raise InputError(f"{path}: `{key}`: there is no band {name!r}; its bands are {listing}")
    return [known[_plain(name)] for name in names]


def band_labels(image: StoredImage) -> list[str]:
    """Return what `bands` and `drop_bands` call the bands: names, wavelengths or numbers."""
    if image.band_names is not None:
        return list(image.band_names)
    if image.wavelength is not None:
        return [f"{nm:.0f} nm" for nm in image.wavelength]
    return [str(band) for band in range(image.shape[0])]


def _plain(name: str) -> str:
    """Return a band's name without differences in spelling: B02 is B2."""
    return re.sub(r"(?<=[a-z])0+(?=\d)", "", name.strip().lower()).replace(" ", "")


def _check_wavelengths(path: Path, image: StoredImage, left_out: Sequence[int]) -> None:
    """Refuse wavelengths that no band of an image has, but for bands that are left out."""
    if image.wavelength is None:
        return
    wrong = impossible(image.wavelength)
    wrong[list(left_out)] = False
    if wrong.any():
        band = int(np.argmax(wrong))
        raise InputError(
            f"{path}: the wavelength of band {band + 1}, {image.wavelength[band]:g} nm, lies outside "
            f"{RANGE}; correct "
            "its unit in the file, give `wavelengths` in nm, or leave the band out by `bad_bands`"
        )
    if image.fwhm is not None:
        kept = np.setdiff1d(np.arange(image.shape[0]), left_out)
        width, centre = image.fwhm[kept], image.wavelength[kept]
        for at in np.flatnonzero((width < NARROWEST) | (width > centre)).tolist():
            raise InputError(
                f"{path}: the width of band {kept[at] + 1}, {width[at]:g} nm at {centre[at]:g} nm, is "
                "none of a band; correct its unit in the file, or give `fwhm` in nm"
            )


def _refuse_companion(path: Path) -> None:
    """Refuse a file that comes with an image but is none."""
    suffix = path.suffix.lower()
    if suffix in METADATA:
        raise InputError(f"{path}: is metadata, not an image; give the product's folder, {path.parent}")
    if suffix in ARCHIVES:
        raise InputError(f"{path}: is an archive; unpack it and give the image, or the product's folder")
