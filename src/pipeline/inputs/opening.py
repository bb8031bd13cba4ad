"""One file or product as an image: the reader for its format, and the settings of the configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.config.scenes import FileSource
from pipeline.errors import InputError
from pipeline.inputs.formats.array_image import array_image
from pipeline.inputs.formats.arrays import HDF5_SUFFIXES, SUFFIXES
from pipeline.inputs.formats.bands import configured_bands, configured_sensor, detectors_of, per_band
from pipeline.inputs.formats.damage import first_bytes
from pipeline.inputs.formats.hdf5_image import hdf5_image
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.formats.raster import raster_image
from pipeline.inputs.missions import mission_of

METADATA = (".xml", ".txt", ".json")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz")


def open_image(path: Path, source: FileSource) -> StoredImage:
    """Open a file or a product.

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
    image = _stored(path, source)
    if source.nodata is not None:
        image = replace(image, nodata=(*image.nodata, source.nodata))
    if image.detector is None:
        image = replace(image, detector=detectors_of(image.wavelength))
    return image


def _stored(path: Path, source: FileSource) -> StoredImage:
    _refuse_companion(path)
    if not path.is_dir():
        first_bytes(path)
    mission = mission_of(path)
    image = None if mission is None else mission.open_image(path, source.bands)
    if source.bands is not None and (image is None or image.band_names is None):
        raise InputError(
            f"{path}: `bands` chooses among the files of a product; leave bands out by `bad_bands`"
        )
    if image is None and path.suffix in HDF5_SUFFIXES:
        return hdf5_image(path, source)
    if image is None and path.suffix in SUFFIXES:
        return array_image(path, source)
    _refuse_array_settings(path, source)
    return _with_configured_bands(image or raster_image(path), path, source)


def _refuse_array_settings(path: Path, source: FileSource) -> None:
    """Refuse settings of the configuration that apply to arrays only."""
    for key in ("variable", "band_numbers", "shape"):
        if getattr(source, key) is not None:
            raise InputError(
                f"{path}: `{key}` is for {', '.join(SUFFIXES)} files; leave it out for a raster or product"
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


def _refuse_companion(path: Path) -> None:
    """Refuse a file that comes with an image but is none."""
    suffix = path.suffix.lower()
    if suffix in METADATA:
        raise InputError(f"{path}: is metadata, not an image; give the product's folder, {path.parent}")
    if suffix in ARCHIVES:
        raise InputError(f"{path}: is an archive; unpack it and give the image, or the product's folder")
