"""DESIS L2A surface reflectance: `DESIS-HSI-L2A-*-SPECTRAL_IMAGE.tif` with its `-METADATA.xml`.

Layout: DESIS product guide (DLR). The GeoTIFF knows its place; bands, gains and offsets stand in the
metadata. The quality files beside it are not read.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.core.scene import StoredImage
from pipeline.errors import InputError
from pipeline.inputs.formats.raster import RasterImage

NAME = re.compile(r"(DESIS-HSI-L2A-.*)-SPECTRAL_IMAGE\.tif", re.IGNORECASE)
NODATA = -32768
COLUMNS = ("wavelengthCenterOfBand", "wavelengthWidthOfBand", "gainOfBand", "offsetOfBand")


def matches(path: Path) -> bool:
    """Whether a file is this product, by its name."""
    return NAME.fullmatch(path.name) is not None


def open_image(path: Path, _: FileSource) -> StoredImage:
    """The spectral image, in reflectance."""
    return DesisImage(path)


def files(path: Path, _: FileSource) -> list[Path]:
    """The spectral image and its metadata."""
    return [path, _metadata_of(path)]


class DesisImage(RasterImage):
    """The spectral image as a `StoredImage`, with the gains and offsets of its metadata.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        The image or its metadata is not there, damaged, or they do not fit each other.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        beside = _metadata_of(path)
        table = _band_table(beside)
        if len(table) != self.shape[0]:
            raise InputError(f"{beside}: describes {len(table)} bands, {path.name} has {self.shape[0]}")
        self.wavelength, self.fwhm, self.gain, self.offset = table.T
        self.nodata, self.units = (NODATA,), "reflectance"


def _metadata_of(path: Path) -> Path:
    return path.with_name(path.name[: -len("-SPECTRAL_IMAGE.tif")] + "-METADATA.xml")


def _band_table(path: Path) -> NDArray[np.float64]:
    """Centre and width in nm, gain and offset of each band: (C, 4)."""
    try:
        root = ElementTree.parse(path).getroot()
        bands = root.findall(".//bandCharacterisation/band")  # `band` stands elsewhere, too
        table = np.array([[float(band.findtext(name, "")) for name in COLUMNS] for band in bands])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a DESIS image needs it beside, for its bands") from None
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{path}: damaged or not a DESIS metadata file ({error})") from None
    return table.reshape(-1, len(COLUMNS))
