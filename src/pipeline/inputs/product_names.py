"""What the name of a product tells about its numbers, where a file has lost the metadata.

Sentinel-2 numbers are reflectance times 10000, from processing baseline 04.00 on raised by 1000
(S2-PDGS-TAS-DI-PSD 14.9); surface reflectance of Landsat Collection 2 Level 2 is 0.0000275 times the number
minus 0.2 (USGS LSDS-1619).
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.inputs.formats.image import StoredImage

SENTINEL2 = re.compile(r"S2(?P<satellite>[A-D])_MSIL(1C|2A)_\d{8}T\d{6}_N(?P<baseline>\d{4})_", re.IGNORECASE)
LANDSAT = re.compile(r"L[COTE]\d\d_L2S[PR]_\d{6}_\d{8}_\d{8}_02_(T1|T2|RT)", re.IGNORECASE)
WITH_OFFSET = 400  # first Sentinel-2 baseline with an offset, 04.00
SENTINEL2_DIVISOR, SENTINEL2_ADDED = 10_000.0, -1000.0
SURFACE_GAIN, SURFACE_OFFSET = 2.75e-5, -0.2


def sentinel2_baseline(path: Path) -> int | None:
    """Return the processing baseline in the name of a file or of a folder above it: 400 for 04.00.

    >>> sentinel2_baseline(Path("S2B_MSIL2A_20220724T101041_N0400_R022_T33UUU_20220724T130000/a.tif"))
    400
    """
    match = _sentinel2(path)
    return int(match["baseline"]) if match else None


def sentinel2_satellite(path: Path) -> str | None:
    """Return the satellite, A to D, in the name of a file or of a folder above it.

    >>> sentinel2_satellite(Path("S2B_MSIL2A_20220724T101041_N0400_R022_T33UUU_20220724T130000/a.tif"))
    'B'
    """
    match = _sentinel2(path)
    return match["satellite"].upper() if match else None


def _sentinel2(path: Path) -> re.Match[str] | None:
    names = (path.name, *(folder.name for folder in path.absolute().parents))
    return next((match for name in names if (match := SENTINEL2.search(name))), None)


def sentinel2_numbers(image: StoredImage, baseline: int) -> StoredImage:
    """Return an image of Sentinel-2 numbers with the divisor and the offset of its baseline.

    Parameters
    ----------
    image : StoredImage
        The numbers as they are stored.
    baseline : int
        The processing baseline, see `sentinel2_baseline`.
    """
    added = SENTINEL2_ADDED if baseline >= WITH_OFFSET else 0.0
    raised, shown = " + 1000" * (added != 0), f"{baseline // 100:02}.{baseline % 100:02}"
    text = f"numbers are reflectance x 10000{raised}, as its name tells (Sentinel-2, baseline {shown})"
    return replace(
        image,
        divisor=SENTINEL2_DIVISOR,
        added=added,
        units="reflectance x 10000",
        assumed=(*image.assumed, text),
    )


def calibrated_by_name(image: StoredImage, path: Path) -> StoredImage:
    """Return a raster of integers without a calibration of its own, with the one that its name tells.

    Parameters
    ----------
    image : StoredImage
        The raster.
    path : Path
        Its file.
    """
    calibrated = image.gain is not None and ((image.gain != 1).any() or np.any(image.offset))
    if not image.integers or calibrated or image.divisor != 1:
        return image
    if SENTINEL2.search(path.name) and (baseline := sentinel2_baseline(path)) is not None:
        calibrated_image = sentinel2_numbers(image, baseline)
    elif LANDSAT.search(path.name):
        bands = image.shape[0]
        calibrated_image = replace(
            image,
            gain=np.full(bands, SURFACE_GAIN),
            offset=np.full(bands, SURFACE_OFFSET),
            units="reflectance",
            assumed=(
                *image.assumed,
                "reflectance is 0.0000275 x number - 0.2, as its name tells (Landsat Collection 2 Level 2)",
            ),
        )
    else:
        return image
    return replace(calibrated_image, nodata=(*calibrated_image.nodata, 0.0), declares_nodata=True)
