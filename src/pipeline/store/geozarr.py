"""Attributes by which GeoZarr readers find the grid of a Zarr group.

Follows the Zarr conventions `spatial` and `proj:` in version 1 (https://geozarr.org/conventions): they
stand at the group, and hold for its arrays. CF attributes are in `store.schema`; no file is touched here.
"""

from __future__ import annotations

from typing import Any

from rasterio.crs import CRS
from rasterio.enums import WktVersion

from pipeline.core.scene import Transform

SPATIAL = {
    "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    "name": "spatial",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/spatial/blob/v1/README.md",
    "description": "Spatial coordinate information",
}
PROJ = {
    "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "name": "proj:",
    "schema_url": "https://raw.githubusercontent.com/zarr-experimental/geo-proj/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/zarr-experimental/geo-proj/blob/v1/README.md",
    "description": "Coordinate reference system information for geospatial data",
}


def geozarr_attributes(
    shape: tuple[int, int], crs: CRS | None, transform: Transform | None
) -> dict[str, Any]:
    """Return attributes of a group whose rasters lie on one grid ``(y, x)``; none without a transform.

    Parameters
    ----------
    shape : (int, int)
        Height and width.
    crs : CRS or None
        Coordinate reference system of the grid.
    transform : tuple of six floats or None
        Affine from (column, row) of a corner to (x, y).
    """
    if transform is None:
        return {}
    attributes: dict[str, Any] = {
        "zarr_conventions": [SPATIAL] if crs is None else [SPATIAL, PROJ],
        "spatial:dimensions": ["y", "x"],
        "spatial:shape": list(shape),
        "spatial:transform": list(transform),
        "spatial:bbox": list(bounds(shape, transform)),
        "spatial:registration": "pixel",
    }
    return attributes | ({} if crs is None else _crs_attribute(crs))


def bounds(shape: tuple[int, int], transform: Transform) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a grid's outer pixel edges, rotated or not."""
    x, y = zip(*corners(shape, transform), strict=True)
    return min(x), min(y), max(x), max(y)


def corners(shape: tuple[int, int], transform: Transform) -> list[tuple[float, float]]:
    """Return the grid's upper left, lower left, lower right and upper right corner."""
    height, width = shape
    a, b, c, d, e, f = transform
    pixels = ((0, 0), (0, height), (width, height), (width, 0))
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]


def wkt2(crs: CRS) -> str:
    """Return a CRS as WKT2 (ISO 19162:2019)."""
    return crs.to_wkt(version=WktVersion.WKT2_2019)


def epsg_code(crs: CRS) -> str | None:
    """Return `EPSG:n` of a CRS, or None where it has no code."""
    number = crs.to_epsg()
    return None if number is None else f"EPSG:{number}"


def _crs_attribute(crs: CRS) -> dict[str, str]:
    """Return the CRS as a code if it has one, else as text; the convention allows only one of them."""
    code = epsg_code(crs)
    return {"proj:wkt2": wkt2(crs)} if code is None else {"proj:code": code}
