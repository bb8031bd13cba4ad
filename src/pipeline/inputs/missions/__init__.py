"""Sensor products: files and folders whose layout a sensor's agency fixed, one module for each.

A module has `matches(path)`, which tells its product by name and content without reading pixels, and
`open_image(path, source)`, which gives a `StoredImage`; one whose products are several files also has
`files(path, source)`, those that the image is read from. Plain arrays and rasters are not products.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from pipeline.config.scenes import FileSource
from pipeline.core.scene import StoredImage


def product_name(path: Path) -> str | None:
    """Name of the first product that a path matches, or None."""
    return next((name for name, module in products().items() if module.matches(path)), None)


def product_of(path: Path) -> ModuleType | None:
    """The module that reads the product that a path matches, or None."""
    name = product_name(path)
    return None if name is None else products()[name]


def open_product(path: Path, source: FileSource) -> StoredImage | None:
    """The image of the first product that a path matches, or None."""
    module = product_of(path)
    if module is None:
        return None
    image: StoredImage = module.open_image(path, source)
    return image


def product_files(path: Path, source: FileSource) -> list[Path]:
    """Files that the image of a path is read from; without a product, the path and its ENVI header."""
    module = product_of(path)
    if module is None:
        header = path.with_suffix(".hdr")
        return [path, header] if path != header and header.is_file() else [path]
    if not hasattr(module, "files"):
        return [path]
    found: list[Path] = module.files(path, source)
    return found


def products() -> dict[str, ModuleType]:
    """Name of each product and the module of this package that reads it."""
    # here, since the modules themselves import this package; by name, so that `sources` finds their code
    from pipeline.inputs.missions import ali, desis, emit, enmap, hyperion, landsat, prisma, sentinel2

    return {
        "EnMAP L2A, L1C": enmap,
        "EO-1 Hyperion L1T, L1Gst": hyperion,
        "EO-1 ALI L1T, L1Gst": ali,
        "Sentinel-2 L2A, L1C": sentinel2,
        "Landsat Collection 2": landsat,
        "EMIT L2A": emit,
        "PRISMA L2D": prisma,
        "DESIS L2A": desis,
    }
