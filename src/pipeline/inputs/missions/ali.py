"""EO-1 ALI L1T and L1Gst: a folder of GeoTIFFs B01 (pan, 10 m) and B02 to B10 (30 m), and an MTL.

Radiance is BANDn_SCALING_FACTOR times the number plus BANDn_OFFSET of the MTL (EO-1 User Guide 2.3, USGS).
Pan and multispectral bands are two images: `bands: [B01]` is the pan.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.sensing.sensors import multispectral_bands
from pipeline.inputs.formats.band_stack import BandFile, stacked_image
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.missions import Bands
from pipeline.inputs.missions.band_files import band_paths, chosen, has_file
from pipeline.inputs.missions.eo1 import SCALING, UNITS, band_pattern, read_scaling
from pipeline.inputs.missions.metadata import number

PRODUCT = "EO-1 ALI L1T, L1Gst"
PATTERN = band_pattern("A")
PAN = "B01"
BANDS = {
    PAN: "Pan",
    "B02": "MS-1p",
    "B03": "MS-1",
    "B04": "MS-2",
    "B05": "MS-3",
    "B06": "MS-4",
    "B07": "MS-4p",
    "B08": "MS-5p",
    "B09": "MS-5",
    "B10": "MS-7",
}
"""Number of each file and the name of its band."""


def matches(path: Path) -> bool:
    """Return whether a folder holds ALI bands."""
    return has_file(path, PATTERN)


def open_image(path: Path, bands: Bands) -> StoredImage:
    """Open the multispectral bands, or the bands that `bands` names."""
    scene, paths = band_paths(path, PATTERN)
    mtl, groups = read_scaling(path, scene)
    published = multispectral_bands("ali")

    def band(name: str) -> BandFile:
        n = int(name[1:])
        wavelength, fwhm = published[BANDS[name]]
        return BandFile(
            name=name,
            path=paths[name],
            gain=number(mtl, groups, SCALING, f"BAND{n}_SCALING_FACTOR"),
            offset=number(mtl, groups, SCALING, f"BAND{n}_OFFSET"),
            wavelength=wavelength,
            fwhm=fwhm,
        )

    return stacked_image([band(name) for name in _names(path, bands, paths)], units=UNITS, nodata=[0])


def files(path: Path, bands: Bands) -> list[Path]:
    """Return the band files that are read, and the MTL."""
    scene, paths = band_paths(path, PATTERN)
    return [*(paths[name] for name in _names(path, bands, paths)), read_scaling(path, scene)[0]]


def _names(path: Path, bands: Bands, paths: dict[str, Path]) -> list[str]:
    known = {name: paths[name] for name in BANDS if name in paths}
    return chosen(path, bands or [name for name in BANDS if name != PAN], known)
