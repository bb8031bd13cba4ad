"""EnMAP L2A and L1C: one GeoTIFF of all bands, and its METADATA.XML beside it.

Names of files and elements follow the EnMAP product specification (EN-PCV-ICD-2009-2). Products of one
datatake are tiles of one grid and are read as one image. Quality layers are not used.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.core.scene import StoredImage
from pipeline.errors import InputError
from pipeline.inputs.formats.raster import RasterImage
from pipeline.inputs.formats.tiled_image import TiledImage
from pipeline.inputs.missions.band_files import has_file, metadata_file
from pipeline.inputs.missions.metadata import as_number, read_xml

IMAGE = re.compile(r"(?P<scene>ENMAP.*)-SPECTRAL_IMAGE(_COG)?\.(tiff?|geotiff)", re.IGNORECASE)
UNITS = {"L2A": "reflectance", "L1C": "W m-2 sr-1 nm-1"}
DETECTORS = ("VNIR", "SWIR")


def matches(path: Path) -> bool:
    """Whether a path is a spectral image by its name, or a folder that holds one."""
    return (path.is_file() and IMAGE.fullmatch(path.name) is not None) or has_file(path, IMAGE)


def open_image(path: Path, source: FileSource) -> StoredImage:
    """One product, or all products of a folder side by side."""
    images = _spectral_images(path)
    opened = [EnmapImage(image) for image in images]
    return opened[0] if len(opened) == 1 else TiledImage([str(image) for image in images], opened)


def files(path: Path, source: FileSource) -> list[Path]:
    """Spectral images and their metadata."""
    images = _spectral_images(path)
    return [*images, *(_metadata_of(image) for image in images)]


class EnmapImage(RasterImage):
    """A spectral image with the bands and gains of its metadata."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        metadata = _metadata_of(path)
        root = read_xml(metadata)
        bands = root.findall(".//{*}bandCharacterisation/{*}bandID")
        if len(bands) != self.shape[0]:
            raise InputError(
                f"{metadata}: describes {len(bands)} bands, {path.name} has {self.shape[0]}; "
                "fetch both files of the product again"
            )
        bands.sort(key=lambda band: int(band.get("number", "0")))
        self.wavelength = _column(metadata, bands, "wavelengthCenterOfBand")
        self.fwhm = _column(metadata, bands, "FWHMOfBand")
        self.gain = _column(metadata, bands, "GainOfBand")
        self.offset = _column(metadata, bands, "OffsetOfBand")
        level = re.search(r"L1C|L2A", path.name)
        self.units = UNITS[level[0]] if level else None
        self.detector = _detectors(metadata, root, [int(band.get("number", "0")) for band in bands])
        self.bad_bands = tuple(np.flatnonzero(self.detector == "").tolist())
        background = root.findtext(".//{*}backgroundValue")
        self.nodata = (as_number(metadata, "backgroundValue", background),)


def _spectral_images(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if IMAGE.fullmatch(file.name))


def _metadata_of(image: Path) -> Path:
    match = IMAGE.fullmatch(image.name)
    assert match
    return metadata_file(image.parent, [f"{match['scene']}-METADATA.XML"])


def _column(path: Path, bands: list[Element], name: str) -> NDArray[np.float64]:
    """One number of each band; the capital of the element's name varied between versions."""
    lower = name[0].lower() + name[1:]
    texts = [band.findtext(f"{{*}}{name}") or band.findtext(f"{{*}}{lower}") for band in bands]
    return np.array([as_number(path, f"{name} of band {i}", text) for i, text in enumerate(texts, 1)])


def _detectors(path: Path, root: Element, bands: list[int]) -> NDArray[np.str_]:
    """Detector of each band, from the lists of expected channels; empty where neither expects it."""
    detector = np.full(len(bands), "", dtype="U4")
    for name in DETECTORS:
        listed = root.findtext(f".//{{*}}{name.lower()}ProductQuality/{{*}}expectedChannelsList")
        numbers = [as_number(path, f"{name} channel", text) for text in (listed or "").split(",")]
        detector[np.isin(bands, numbers)] = name
    return detector
