"""Sensor products: files and folders whose layout a sensor's agency fixed, one module for each.

A module has `matches(path)`, which tells its product by name and content without reading pixels, and
`open_image(path, source)`, which gives a `StoredImage`. Plain arrays and rasters are not products.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from pipeline.data.scene import StoredImage
from pipeline.scenes import FileSource

PRODUCTS: dict[str, str] = {
    "EMIT L2A": "emit",
    "PRISMA L2D": "prisma",
    "DESIS L2A": "desis",
}
"""Name of each product and the module of this package that reads it."""


def open_product(path: Path, source: FileSource) -> StoredImage | None:
    """The image of the first product that a path matches, or None."""
    for module in map(_module, PRODUCTS.values()):
        if module.matches(path):
            image: StoredImage = module.open_image(path, source)
            return image
    return None


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")
