"""EnMAP L2A and L1C: one GeoTIFF of all bands, and its METADATA.XML beside it.

Names of files and elements follow the EnMAP product specification (EN-PCV-ICD-2009-2). Products of one
datatake are tiles of one grid and are read as one image. Quality layers are not used.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.formats.raster import raster_image
from pipeline.inputs.missions import Bands
from pipeline.inputs.missions.band_files import has_file, metadata_file
from pipeline.inputs.missions.metadata import as_number, read_xml

PRODUCT = "EnMAP L2A, L1C"
IMAGE = re.compile(r"(?P<scene>ENMAP.*)-SPECTRAL_IMAGE(_COG)?\.(tiff?|geotiff)", re.IGNORECASE)
UNITS = {"L2A": "reflectance", "L1C": "W m-2 sr-1 nm-1"}
DETECTORS = ("VNIR", "SWIR")


def matches(path: Path) -> bool:
    """Return whether a path is a spectral image by its name, or a folder that holds one."""
    return (path.is_file() and IMAGE.fullmatch(path.name) is not None) or has_file(path, IMAGE)


def tiles(path: Path) -> list[Path]:
    """Return the spectral images of a folder, which lie side by side."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if IMAGE.fullmatch(file.name))


def open_image(path: Path, _: Bands) -> StoredImage:
    """Open a spectral image, with the bands, gains and no-data of its metadata.

    Raises
    ------
    InputError
        The image or its metadata is missing or damaged, or they do not fit each other.
    """
    image, metadata = raster_image(path), _metadata_of(path)
    root = read_xml(metadata)
    bands = root.findall(".//{*}bandCharacterisation/{*}bandID")
    if len(bands) != image.shape[0]:
        raise InputError(
            f"{metadata}: describes {len(bands)} bands, {path.name} has {image.shape[0]}; "
            "fetch both files of the product again"
        )
    bands.sort(key=lambda band: int(band.get("number", "0")))
    level = re.search(r"L1C|L2A", path.name)
    detector = _detectors(metadata, root, [int(band.get("number", "0")) for band in bands])
    background = root.findtext(".//{*}backgroundValue")
    return replace(
        image,
        wavelength=_column(metadata, bands, "wavelengthCenterOfBand"),
        fwhm=_column(metadata, bands, "FWHMOfBand"),
        gain=_column(metadata, bands, "GainOfBand"),
        offset=_column(metadata, bands, "OffsetOfBand"),
        units=UNITS[level[0]] if level else None,
        detector=detector,
        bad_bands=tuple(np.flatnonzero(detector == "").tolist()),
        nodata=(as_number(metadata, "backgroundValue", background),),
    )


def files(path: Path, _: Bands) -> list[Path]:
    """Return a spectral image and its metadata."""
    return [path, _metadata_of(path)]


def _metadata_of(image: Path) -> Path:
    match = IMAGE.fullmatch(image.name)
    assert match
    return metadata_file(image.parent, [f"{match['scene']}-METADATA.XML"])


def _column(path: Path, bands: list[Element], name: str) -> NDArray[np.float64]:
    """Return a number of each band; the capital of the element's name varied between versions."""
    lower = name[0].lower() + name[1:]
    texts = [band.findtext(f"{{*}}{name}") or band.findtext(f"{{*}}{lower}") for band in bands]
    return np.array([as_number(path, f"{name} of band {i}", text) for i, text in enumerate(texts, 1)])


def _detectors(path: Path, root: Element, bands: list[int]) -> NDArray[np.str_]:
    """Return the detector of each band from the lists of expected channels, empty where no list has it."""
    detector = np.full(len(bands), "", dtype="U4")
    for name in DETECTORS:
        listed = root.findtext(f".//{{*}}{name.lower()}ProductQuality/{{*}}expectedChannelsList")
        numbers = [as_number(path, f"{name} channel", text) for text in (listed or "").split(",")]
        detector[np.isin(bands, numbers)] = name
    return detector
