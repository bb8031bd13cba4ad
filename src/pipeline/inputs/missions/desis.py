"""DESIS L2A surface reflectance: `DESIS-HSI-L2A-*-SPECTRAL_IMAGE.tif` with its `-METADATA.xml`.

Layout: DESIS product guide (DLR). The GeoTIFF knows its place; bands, gains and offsets stand in the
metadata. The quality files beside it are not read.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.formats.raster import raster_image
from pipeline.inputs.missions import Bands

PRODUCT = "DESIS L2A"
NAME = re.compile(r"(DESIS-HSI-L2A-.*)-SPECTRAL_IMAGE\.tif", re.IGNORECASE)
NODATA = -32768
COLUMNS = ("wavelengthCenterOfBand", "wavelengthWidthOfBand", "gainOfBand", "offsetOfBand")


def matches(path: Path) -> bool:
    """Return whether a file is this product, by its name."""
    return NAME.fullmatch(path.name) is not None


def open_image(path: Path, _: Bands) -> StoredImage:
    """Open the spectral image, with the gains and offsets of its metadata: reflectance.

    Raises
    ------
    InputError
        The image or its metadata is missing or damaged, or they do not fit each other.
    """
    image, metadata = raster_image(path), _metadata_of(path)
    table = _band_table(metadata)
    if len(table) != image.shape[0]:
        raise InputError(f"{metadata}: describes {len(table)} bands, {path.name} has {image.shape[0]}")
    wavelength, fwhm, gain, offset = table.T
    return replace(
        image,
        wavelength=wavelength,
        fwhm=fwhm,
        gain=gain,
        offset=offset,
        nodata=(NODATA,),
        units="reflectance",
    )


def files(path: Path, _: Bands) -> list[Path]:
    """Return the spectral image and its metadata."""
    return [path, _metadata_of(path)]


def _metadata_of(path: Path) -> Path:
    return path.with_name(path.name[: -len("-SPECTRAL_IMAGE.tif")] + "-METADATA.xml")


def _band_table(path: Path) -> NDArray[np.float64]:
    """Return centre and width in nm, gain and offset of each band: (C, 4)."""
    try:
        root = ElementTree.parse(path).getroot()
        bands = root.findall(".//bandCharacterisation/band")  # `band` stands elsewhere, too
        table = np.array([[float(band.findtext(name, "")) for name in COLUMNS] for band in bands])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a DESIS image needs it beside, for its bands") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{path}: damaged or not a DESIS metadata file ({error})") from None
    return table.reshape(-1, len(COLUMNS))
