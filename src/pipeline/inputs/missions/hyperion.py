"""EO-1 Hyperion L1T and L1Gst: a folder of one GeoTIFF for each of 242 bands, and an MTL.

Of the bands, 8 to 57 (VNIR) and 77 to 224 (SWIR) are calibrated (EO-1 User Guide 2.3, USGS); radiance is
the number divided by 40 or 80, as the MTL says. Outside the swath all bands are zero.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.sensing.sensors import spectrometer
from pipeline.errors import InputError
from pipeline.inputs.formats.band_stack import BandFile, Swath, stacked_image
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.missions import Bands
from pipeline.inputs.missions.band_files import band_paths, chosen, has_file
from pipeline.inputs.missions.eo1 import SCALING, UNITS, band_pattern, read_scaling
from pipeline.inputs.missions.metadata import number

PRODUCT = "EO-1 Hyperion L1T, L1Gst"
PATTERN = band_pattern("H")
CALIBRATED = [f"B{n:03}" for n in (*range(8, 58), *range(77, 225))]
BRIGHT = {"VNIR": (15, 25, 35, 45), "SWIR": (81, 95, 110, 145)}
"""Bands, by detector, that are all zero outside the swath alone: in a dark band zero is a radiance."""


def matches(path: Path) -> bool:
    """Return whether a folder holds Hyperion bands."""
    return has_file(path, PATTERN)


def open_image(path: Path, bands: Bands) -> StoredImage:
    """Open the calibrated bands, or the bands that `bands` names."""
    scene, paths = band_paths(path, PATTERN)
    mtl, groups = read_scaling(path, scene)
    factors = {detector: number(mtl, groups, SCALING, f"SCALING_FACTOR_{detector}") for detector in BRIGHT}
    table = spectrometer("hyperion")
    assert table is not None

    def band(name: str) -> BandFile:
        index = int(name[1:]) - 1
        detector = str(table.detector[index])
        return BandFile(
            name=name,
            path=paths[name],
            gain=1 / factors[detector],
            wavelength=float(table.wavelength[index]),
            fwhm=float(table.fwhm[index]),
            detector=detector,
        )

    chosen_bands = [band(name) for name in _names(path, bands, paths)]
    swaths = {}
    for detector, numbers in BRIGHT.items():
        own = [band for band in chosen_bands if band.detector == detector]
        bright = [band(f"B{n:03}") for n in numbers if f"B{n:03}" in paths]
        if own:
            swaths[detector] = Swath(bands=bright or own, number=0)
    return stacked_image(chosen_bands, units=UNITS, swaths=swaths)


def files(path: Path, bands: Bands) -> list[Path]:
    """Return the band files that are read, and the MTL."""
    scene, paths = band_paths(path, PATTERN)
    bright = [f"B{n:03}" for numbers in BRIGHT.values() for n in numbers]
    names = {*_names(path, bands, paths), *(name for name in bright if name in paths)}
    return [*(paths[name] for name in names), read_scaling(path, scene)[0]]


def _names(path: Path, bands: Bands, paths: dict[str, Path]) -> list[str]:
    names = chosen(path, bands or CALIBRATED, paths)
    dead = [name for name in names if name not in CALIBRATED]
    if dead:
        raise InputError(
            f"{path}: bands {', '.join(dead)} are not calibrated; choose among B008-B057 and B077-B224"
        )
    return names
