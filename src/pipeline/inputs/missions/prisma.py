"""PRISMA L2D and L2C surface reflectance and L2B radiance (`PRS_L2D_*.he5`), VNIR and SWIR of one grid.

L2D is in UTM; the others are in the geometry of the sensor and have no place. Layout: PRISMA Products
Specification Document 2.3 (ASI 2020). The panchromatic cube is not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.scene import Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.array_place import crs_of
from pipeline.inputs.formats.hdf5 import Dataset, attribute, dataset_at, open_hdf5
from pipeline.inputs.formats.image import Block, StoredImage
from pipeline.inputs.missions import Bands

PRODUCT = "PRISMA L2D, L2C, L2B"
NAME = re.compile(r"PRS_(?P<level>L2[BCD])_.*\.he5")
FIELDS = "HDFEOS/SWATHS/PRS_{level}_HCO/Data Fields"
UNITS = {"L2B": "W m-2 sr-1 um-1", "L2C": "reflectance", "L2D": "reflectance"}
NOT_PLACED = "in the geometry of the sensor, without a place: orthorectify it, or use level 2D"
DETECTORS = ("Vnir", "Swir")
PIXEL = 30.0  # m
FULL = 65535  # the stored number of the scale's maximum
CLIPPED = 2  # error matrix: negative after the atmospheric correction, stored as the scale's minimum


def matches(path: Path) -> bool:
    """Return whether a file is this product, by its name."""
    return NAME.fullmatch(path.name) is not None


def open_image(path: Path, _: Bands) -> StoredImage:
    """Open the hyperspectral cubes in physical values: VNIR bands as stored, then SWIR bands.

    Raises
    ------
    InputError
        The file is damaged, lacks a part of the product, or its corners do not fit its size.
    """
    match = NAME.fullmatch(path.name)
    assert match
    level = match["level"]
    file = open_hdf5(path)
    known = {name: attribute(path, file, name) for name in _attributes(placed=level == "L2D")}
    fields = FIELDS.format(level=level)
    names = [detector.upper() for detector in DETECTORS]
    cubes = [dataset_at(path, file, f"{fields}/{name}_Cube") for name in names]
    errors = [dataset_at(path, file, f"{fields}/{name}_PIXEL_L2_ERR_MATRIX") for name in names]
    counts = [cube.shape[1] for cube in cubes]
    height, width = cubes[0].shape[0], cubes[0].shape[2]
    shape = (sum(counts), height, width)
    low = np.array([known[f"L2Scale{detector}Min"] for detector in DETECTORS], np.float64)
    high = np.array([known[f"L2Scale{detector}Max"] for detector in DETECTORS], np.float64)
    centres, used, widths = (
        np.concatenate([np.asarray(known[name.format(d)], np.float64) for d in DETECTORS])
        for name in ("List_Cw_{}", "List_Cw_{}_Flags", "List_Fwhm_{}")
    )
    _check(path, [*cubes, *errors], shape, [centres.size, used.size, widths.size])
    return StoredImage(
        name=str(path),
        shape=shape,
        storage=(cubes[0].together[0], width),
        pixels=CubePixels(cubes, errors, np.repeat(low, counts), np.repeat((high - low) / FULL, counts)),
        wavelength=centres,
        fwhm=widths,
        bad_bands=tuple(np.flatnonzero((centres <= 0) | (used == 0)).tolist()),
        crs=crs_of(path, int(known["Epsg_Code"])) if level == "L2D" else None,
        transform=_transform(path, known, height, width) if level == "L2D" else None,
        units=UNITS[level],
        assumed=() if level == "L2D" else (NOT_PLACED,),
        detector=np.repeat(names, counts),
    )


@dataclass(frozen=True)
class CubePixels:
    """Pixels of both cubes, one after the other.

    Missing are pixels outside the swath, which all bands store as 0, and values that the error matrix
    marks as invalid or saturated. A value that was negative and clipped is kept.

    Attributes
    ----------
    cubes, errors : list of Dataset
        Numbers and error matrices (y, band, x) of VNIR and SWIR.
    low, step : (C,) float64
        A band's value is ``low + step * number``.
    """

    cubes: list[Dataset]
    errors: list[Dataset]
    low: NDArray[np.float64]
    step: NDArray[np.float64]

    def read(self, window: Window, bands: list[int]) -> Block:
        """Return some bands of a window in reflectance, and where they are missing."""
        rows, columns = window.slices
        place = (rows, slice(None), columns)
        stored, errors = (
            np.concatenate([part[place] for part in parts], axis=1) for parts in (self.cubes, self.errors)
        )
        outside = ~stored.any(axis=1)
        values = self.low[bands, None, None] + self.step[bands, None, None] * np.moveaxis(
            stored[:, bands], 1, 0
        )
        marked = np.moveaxis(errors[:, bands], 1, 0)
        return values.astype(np.float32), outside | ((marked != 0) & (marked != CLIPPED))


def _attributes(*, placed: bool) -> list[str]:
    lists = ("List_Cw_{}", "List_Cw_{}_Flags", "List_Fwhm_{}", "L2Scale{}Min", "L2Scale{}Max")
    corners = [f"Product_{at}corner_{axis}" for at in ("UL", "LR") for axis in ("easting", "northing")]
    place = ["Epsg_Code", *corners] if placed else []
    return [*place, *(name.format(detector) for detector in DETECTORS for name in lists)]


def _check(path: Path, parts: list[Dataset], shape: tuple[int, int, int], described: list[int]) -> None:
    """Refuse cubes, error matrices and band lists that do not cover the same pixels and bands."""
    pixels = {(part.shape[0], part.shape[2]) for part in parts}
    cubes, errors = ([part.shape[1] for part in two] for two in (parts[:2], parts[2:]))
    if len(pixels) > 1 or cubes != errors or set(described) != {shape[0]}:
        raise InputError(
            f"{path}: its cubes, error matrices and band lists have different sizes "
            f"({', '.join('x'.join(map(str, part.shape)) for part in parts)}, {described[0]} bands listed); "
            "the product is damaged, fetch it again"
        )


def _transform(path: Path, known: dict[str, Any], height: int, width: int) -> Transform:
    """Return the affine; the product's corners are the centres of its corner pixels."""
    left, top = (float(known[f"Product_ULcorner_{axis}"]) for axis in ("easting", "northing"))
    right, bottom = (float(known[f"Product_LRcorner_{axis}"]) for axis in ("easting", "northing"))
    across, down = (right - left) / PIXEL + 1, (top - bottom) / PIXEL + 1
    if abs(across - width) > 0.5 or abs(down - height) > 0.5:
        raise InputError(
            f"{path}: its corners are {down:g}x{across:g} pixels of {PIXEL:g} m apart, its cube has "
            f"{height}x{width}; the product is not one of level 2D in UTM"
        )
    return PIXEL, 0.0, left - PIXEL / 2, 0.0, -PIXEL, top + PIXEL / 2
