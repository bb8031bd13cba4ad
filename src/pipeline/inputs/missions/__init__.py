"""Sensor products: files and folders whose layout an agency fixed, one module of this package for each.

A module with a `PRODUCT` is discovered automatically; `Mission` describes its content. Plain arrays and
rasters are not products.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from pipeline.inputs.formats.image import StoredImage

Bands = Sequence[str] | None
"""Names of the bands to read of a product with a file for each; None for the usual bands."""


class Mission(Protocol):
    """Content of a module of this package.

    A module whose products are several files also has ``files(path, bands) -> list[Path]``, the files that
    the image is read from. One whose folders hold several products of one grid has
    ``tiles(path) -> list[Path]``, the images side by side.

    Attributes
    ----------
    PRODUCT : str
        Name of the product in messages.
    """

    PRODUCT: str

    def matches(self, path: Path) -> bool:
        """Return whether a path is such a product, by its name and content; no pixel is read."""

    def open_image(self, path: Path, bands: Bands) -> StoredImage:
        """Open the image of a product."""


def missions() -> list[Mission]:
    """Return the modules of this package that read a product, by their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return [cast("Mission", module) for module in modules if hasattr(module, "PRODUCT")]


def mission_of(path: Path) -> Mission | None:
    """Return the first mission whose product a path is, or None."""
    return next((mission for mission in missions() if mission.matches(path)), None)


def image_paths(path: Path, mission: Mission) -> list[Path]:
    """Return the adjacent images that a path of a mission stands for; usually the path itself."""
    tiles = getattr(mission, "tiles", None)
    return [path] if tiles is None else list(tiles(path))


def product_files(path: Path, mission: Mission, bands: Bands) -> list[Path]:
    """Return the files that a product's image is read from.

    Parameters
    ----------
    path : Path
        The product.
    mission : Mission
        Its reader.
    bands : sequence of str or None
        Names of the bands that are read.
    """
    files = getattr(mission, "files", None)
    return [path] if files is None else list(files(path, bands))
