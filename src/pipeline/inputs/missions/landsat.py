"""Landsat Collection 2, Level 1 and Level 2: a folder of one GeoTIFF for each band, QA_PIXEL and an MTL.

Reflectance is REFLECTANCE_MULT times the number plus REFLECTANCE_ADD, at Level 1 divided by the sine of the
sun's elevation (Landsat 8-9 Collection 2 data format control book and product guide, USGS LSDS-1822 and
LSDS-1619). Thermal bands are not read.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import radians, sin
from pathlib import Path

from pipeline.core.sensing.sensors import multispectral_bands
from pipeline.inputs.formats.band_stack import BandFile, Quality, stacked_image
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.missions import Bands
from pipeline.inputs.missions.band_files import band_paths, chosen, has_file, metadata_file, mtl_file
from pipeline.inputs.missions.metadata import Groups, number
from pipeline.inputs.product_names import SURFACE_GAIN, SURFACE_OFFSET

PRODUCT = "Landsat Collection 2"
PATTERN = re.compile(
    r"(?P<scene>L(?P<sensor>[COTE]\d\d)_L(?P<level>[12])\w+_02_(T1|T2|RT))(_SR)?_(?P<band>B\d)\.tiff?",
    re.IGNORECASE,
)
OLI = {"C08": "landsat8_oli", "O08": "landsat8_oli", "C09": "landsat9_oli2", "O09": "landsat9_oli2"}
PUBLISHED = OLI | {"E07": "landsat7_etm", "T05": "landsat5_tm", "T04": "landsat5_tm"}
PAN = "B8"
FILL = 1  # bit 0 of QA_PIXEL
SURFACE = SURFACE_GAIN, SURFACE_OFFSET
WITHOUT_MTL = "no MTL beside the bands: reflectance is 0.0000275 x number - 0.2, as their names tell"
USUAL = {True: [f"B{n}" for n in range(1, 8)], False: [f"B{n}" for n in (1, 2, 3, 4, 5, 7)]}
"""Bands of OLI, and of TM and ETM+, that are read unless `bands` says otherwise."""


def matches(path: Path) -> bool:
    """Return whether a folder holds bands of a Collection 2 product."""
    return has_file(path, PATTERN)


def open_image(path: Path, bands: Bands) -> StoredImage:
    """Open the reflective bands of 30 m, or the bands that `bands` names."""
    scene, paths = band_paths(path, PATTERN)
    surface = scene[6] == "2"
    mtl = _mtl(path, scene) if not surface or _has_mtl(path, scene) else None
    sensor = PUBLISHED.get(scene[1:4].upper())
    published = multispectral_bands(sensor) if sensor else {}
    names = _names(path, bands, scene, paths)

    def band(name: str) -> BandFile:
        gain, offset = SURFACE if mtl is None else _calibration(*mtl, name[1:], surface)
        wavelength, fwhm = published.get(name, (None, None))
        return BandFile(
            name=name, path=paths[name], gain=gain, offset=offset, wavelength=wavelength, fwhm=fwhm
        )

    quality = _quality(path, scene, names)
    image = stacked_image(
        [band(name) for name in names],
        units="reflectance" if surface else "reflectance at the top of the atmosphere",
        nodata=[0],
        quality=Quality(path=quality[0], bits=FILL) if quality else None,
    )
    return image if mtl is not None else replace(image, assumed=(*image.assumed, WITHOUT_MTL))


def files(path: Path, bands: Bands) -> list[Path]:
    """Return the band files that are read, the quality raster and the MTL."""
    scene, paths = band_paths(path, PATTERN)
    names = _names(path, bands, scene, paths)
    needs_mtl = scene[6] == "1" or _has_mtl(path, scene)
    mtl = [_mtl(path, scene)[0]] if needs_mtl else []
    return [*(paths[name] for name in names), *_quality(path, scene, names), *mtl]


def _names(path: Path, bands: Bands, scene: str, paths: dict[str, Path]) -> list[str]:
    return chosen(path, bands or USUAL[scene[1:4].upper() in OLI], paths)


def _mtl(path: Path, scene: str) -> tuple[Path, Groups]:
    return mtl_file(path, [f"{scene}_MTL.{suffix}" for suffix in ("txt", "json", "xml")])


def _has_mtl(path: Path, scene: str) -> bool:
    return any(file.name.upper().startswith(f"{scene}_MTL.".upper()) for file in path.iterdir())


def _quality(path: Path, scene: str, names: list[str]) -> list[Path]:
    """Return the quality raster, which has the pixels of all bands but the pan's; loose bands may lack it."""
    loose = not _has_mtl(path, scene) and not any("_QA_PIXEL" in file.name.upper() for file in path.iterdir())
    return [] if names == [PAN] or loose else [metadata_file(path, [f"{scene}_QA_PIXEL.TIF"])]


def _calibration(mtl: Path, groups: Groups, n: str, surface: bool) -> tuple[float, float]:
    """Return gain and offset from numbers to reflectance."""
    group = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS" if surface else "LEVEL1_RADIOMETRIC_RESCALING"
    gain = number(mtl, groups, group, f"REFLECTANCE_MULT_BAND_{n}")
    offset = number(mtl, groups, group, f"REFLECTANCE_ADD_BAND_{n}")
    if surface:
        return gain, offset
    height = sin(radians(number(mtl, groups, "IMAGE_ATTRIBUTES", "SUN_ELEVATION")))
    return gain / height, offset / height
