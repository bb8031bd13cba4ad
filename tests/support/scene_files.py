"""A small cube, written to files of several kinds and read back as a scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import scipy.io
from rasterio.transform import Affine

from pipeline.config.scenes import FileSource
from pipeline.core.scene import Scene
from pipeline.errors import InputError
from pipeline.inputs.file_scene import read_scene

CUBE = np.random.default_rng(0).integers(1, 10_000, (5, 6, 8)).astype(np.uint16)  # (band, y, x)


NM = np.array([450.0, 550.0, 650.0, 850.0, 2200.0])

PLACE = Affine(10, 0, 366015, 0, -10, 5806125)


def read(path: Path, **keys: Any) -> Scene:
    return read_scene(FileSource(kind="file", path=str(path), **keys))


def refused(path: Path, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(path, **keys)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def save(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".mat":
        scipy.io.savemat(path, arrays)
    else:
        np.savez(path, **arrays)
    return path


def as_axes(cube: np.ndarray, axes: str) -> np.ndarray:
    """The cube in another order, written out independently of the reader."""
    height, width = cube.shape[1:]
    out = {
        "band,y,x": lambda: cube,
        "y,x,band": lambda: np.moveaxis(cube, 0, 2),
        "x,y,band": lambda: cube.T,
        "y,band,x": lambda: np.moveaxis(cube, 0, 1),
        "band,x,y": lambda: np.swapaxes(cube, 1, 2),
        "band,yx": lambda: np.stack([b.flatten(order="C") for b in cube]),
        "band,xy": lambda: np.stack([b.flatten(order="F") for b in cube]),
        "yx,band": lambda: np.stack([cube[:, i // width, i % width] for i in range(height * width)]),
        "xy,band": lambda: np.stack([cube[:, i % height, i // height] for i in range(height * width)]),
    }
    return np.ascontiguousarray(out[axes]())


def raster(path: Path, driver: str, cube: np.ndarray = CUBE, **profile: Any) -> Any:
    bands, height, width = cube.shape
    file = rasterio.open(
        path, "w", driver=driver, count=bands, height=height, width=width, dtype=cube.dtype,
        crs="EPSG:32633", transform=PLACE, **profile,
    )  # fmt: skip
    file.write(cube)
    return file
