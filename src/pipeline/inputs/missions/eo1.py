"""File names and MTL metadata that the products of EO-1's two sensors have in common.

The layout is USGS Level 1 (L1T, L1Gst): a GeoTIFF of integers for each band.
"""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.inputs.missions.band_files import mtl_file
from pipeline.inputs.missions.metadata import Groups

SCALING = "RADIANCE_SCALING"  # group of the MTL
UNITS = "W m-2 sr-1 um-1"


def band_pattern(sensor: str) -> re.Pattern[str]:
    """Return the pattern of the band files of a sensor, `H` or `A`: EO1H1940342004350110KZ_B008_L1T.TIF."""
    return re.compile(rf"(?P<scene>EO1{sensor}\w+)_(?P<band>B\d{{2,3}})_L1(T|GST|G|GS)\.tiff?", re.IGNORECASE)


def read_scaling(folder: Path, scene: str) -> tuple[Path, Groups]:
    """Return the scene's MTL file and its groups."""
    return mtl_file(folder, [f"{scene}_MTL_{level}.TXT" for level in ("L1T", "L1GST", "L1G", "L1GS")])
