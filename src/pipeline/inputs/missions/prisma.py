"""PRISMA L2D surface reflectance (`PRS_L2D_*.he5`), VNIR and SWIR of one grid in UTM.

Layout: PRISMA Products Specification Document 2.3 (ASI 2020). The panchromatic cube is not read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.core.scene import StoredImage, Transform
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.formats.hdf5 import Dataset, attribute, dataset_at, open_hdf5
from pipeline.inputs.formats.hdf5_image import crs_of

NAME = re.compile(r"PRS_L2D_.*\.he5")
FIELDS = "HDFEOS/SWATHS/PRS_L2D_HCO/Data Fields"
DETECTORS = ("Vnir", "Swir")
PIXEL = 30.0  # m
FULL = 65535  # the stored number of the scale's maximum
CLIPPED = 2  # error matrix: negative after the atmospheric correction, stored as the scale's minimum


def matches(path: Path) -> bool:
    """Whether a file is this product, by its name."""
    return NAME.fullmatch(path.name) is not None


def open_image(path: Path, _: FileSource) -> StoredImage:
    """The hyperspectral cubes, one after the other."""
    return PrismaImage(path)


class PrismaImage:
    """Both cubes as a `StoredImage`, in reflectance: VNIR bands as stored, then SWIR bands.

    Missing are pixels outside the swath, which all bands store as 0, and values that the error matrix
    marks as invalid or saturated. A value that was negative and clipped is kept.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        The file is damaged, lacks a part of the product, or its corners do not fit its size.
    """

    units: str | None = "reflectance"

    def __init__(self, path: Path) -> None:
        file = open_hdf5(path)
        told = {name: attribute(path, file, name) for name in _attributes()}
        names = [detector.upper() for detector in DETECTORS]
        self._cubes = [dataset_at(path, file, f"{FIELDS}/{name}_Cube") for name in names]
        self._errors = [dataset_at(path, file, f"{FIELDS}/{name}_PIXEL_L2_ERR_MATRIX") for name in names]
        counts = [cube.shape[1] for cube in self._cubes]
        height, _, width = self._cubes[0].shape
        self.shape = (sum(counts), height, width)
        self.storage = (self._cubes[0].together[0], width)
        low = np.array([told[f"L2Scale{detector}Min"] for detector in DETECTORS], np.float64)
        high = np.array([told[f"L2Scale{detector}Max"] for detector in DETECTORS], np.float64)
        self._low, self._step = (np.repeat(part, counts) for part in (low, (high - low) / FULL))
        self.detector: NDArray[np.str_] | None = np.repeat(names, counts)
        centres, used, widths = (
            np.concatenate([np.asarray(told[name.format(d)], np.float64) for d in DETECTORS])
            for name in ("List_Cw_{}", "List_Cw_{}_Flags", "List_Fwhm_{}")
        )
        self.wavelength: NDArray[np.float64] | None = centres
        self.fwhm: NDArray[np.float64] | None = widths
        _check(path, [*self._cubes, *self._errors], self.shape, [centres.size, used.size, widths.size])
        self.bad_bands = tuple(np.flatnonzero((centres <= 0) | (used == 0)).tolist())
        self.crs: str | None = crs_of(path, int(told["Epsg_Code"]))
        self.transform: Transform | None = _transform(path, told, height, width)

    def read(self, window: Window, bands: list[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values of some bands of a window in reflectance, and where they are missing."""
        rows, columns = window.slices
        place = (rows, slice(None), columns)
        stored, errors = (
            np.concatenate([part[place] for part in parts], axis=1) for parts in (self._cubes, self._errors)
        )
        outside = ~stored.any(axis=1)
        values = self._low[bands, None, None] + self._step[bands, None, None] * np.moveaxis(
            stored[:, bands], 1, 0
        )
        marked = np.moveaxis(errors[:, bands], 1, 0)
        return values.astype(np.float32), outside | ((marked != 0) & (marked != CLIPPED))


def _attributes() -> list[str]:
    lists = ("List_Cw_{}", "List_Cw_{}_Flags", "List_Fwhm_{}", "L2Scale{}Min", "L2Scale{}Max")
    corners = [f"Product_{at}corner_{axis}" for at in ("UL", "LR") for axis in ("easting", "northing")]
    return ["Epsg_Code", *corners, *(name.format(detector) for detector in DETECTORS for name in lists)]


def _check(path: Path, parts: list[Dataset], shape: tuple[int, int, int], described: list[int]) -> None:
    """Whether cubes and error matrices cover the same pixels and bands, and the lists all bands."""
    pixels = {(part.shape[0], part.shape[2]) for part in parts}
    cubes, errors = ([part.shape[1] for part in two] for two in (parts[:2], parts[2:]))
    if len(pixels) > 1 or cubes != errors or set(described) != {shape[0]}:
        raise InputError(
            f"{path}: its cubes, error matrices and band lists have different sizes "
            f"({', '.join('x'.join(map(str, part.shape)) for part in parts)}, {described[0]} bands listed); "
            "the product is damaged, fetch it again"
        )


def _transform(path: Path, told: dict[str, Any], height: int, width: int) -> Transform:
    """The product's corners are the centres of its corner pixels."""
    left, top = (float(told[f"Product_ULcorner_{axis}"]) for axis in ("easting", "northing"))
    right, bottom = (float(told[f"Product_LRcorner_{axis}"]) for axis in ("easting", "northing"))
    across, down = (right - left) / PIXEL + 1, (top - bottom) / PIXEL + 1
    if abs(across - width) > 0.5 or abs(down - height) > 0.5:
        raise InputError(
            f"{path}: its corners are {down:g}x{across:g} pixels of {PIXEL:g} m apart, its cube has "
            f"{height}x{width}; the product is not one of level 2D in UTM"
        )
    return PIXEL, 0.0, left - PIXEL / 2, 0.0, -PIXEL, top + PIXEL / 2
