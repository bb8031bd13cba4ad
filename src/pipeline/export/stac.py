"""A STAC item that describes the files of a product.

Follows STAC 1.1.0 with the extensions projection 2.0.0, eo 2.0.0, file 2.1.0 and processing 1.2.0. Bands
are common metadata, so the raster extension is not needed. No file is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pystac import Asset, Item
from pystac.utils import str_to_datetime
from rasterio.crs import CRS
from rasterio.warp import transform, transform_bounds

from pipeline.core.scene import Metadata
from pipeline.errors import InputError
from pipeline.export.layer import Layer
from pipeline.store.files import sha256_of
from pipeline.store.geozarr import bounds, corners, epsg_code, wkt2

EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("eo/v2.0.0", "file/v2.1.0", "processing/v1.2.0", "projection/v2.0.0")
]
WGS84 = CRS.from_epsg(4326)
SHA256 = "1220"  # multihash: SHA-256, 32 bytes
DEGREES = 7  # decimals: centimetres


@dataclass(frozen=True)
class Product:
    """A file of a product folder.

    Attributes
    ----------
    path : Path
        The file.
    title : str
        Description of the content for human readers.
    media_type : str
        Its media type.
    roles : sequence of str
        Its roles as an asset.
    layer : Layer or None
        The layer that it holds, which describes its bands.
    """

    path: Path
    title: str
    media_type: str
    roles: Sequence[str]
    layer: Layer | None = None


def stac_item(
    name: str,
    shape: tuple[int, int],
    like: Metadata,
    times: str,
    products: Sequence[Product],
    processing: dict[str, Any],
) -> dict[str, Any]:
    """Return the item of a product, JSON-ready, without links.

    Parameters
    ----------
    name : str
        `id` of the item.
    shape : (int, int)
        Height and width of all layers.
    like : Metadata
        Place of all layers.
    times : str
        When the images were taken: RFC 3339 with an offset, or `start/end`.
    products : sequence of Product
        Files that are there already.
    processing : dict
        Fields `processing:*` and others of the item's properties.

    Raises
    ------
    InputError
        The scene has no place.
    """
    crs = required_crs(name, like)
    assert like.transform is not None
    edges = bounds(shape, like.transform)
    place = {
        "proj:code": epsg_code(crs),
        "proj:wkt2": wkt2(crs),
        "proj:shape": list(shape),
        "proj:transform": list(like.transform),
        "proj:bbox": list(edges),
    }
    start, _, end = times.partition("/")
    moments = [str_to_datetime(text) for text in (start, end) if text]
    item = Item(
        id=name,
        geometry=_footprint(shape, like, crs),
        bbox=[round(edge, DEGREES) for edge in transform_bounds(crs, WGS84, *edges)],
        properties=place | processing,
        datetime=None if end else moments[0],
        start_datetime=moments[0] if end else None,
        end_datetime=moments[1] if end else None,
        stac_extensions=EXTENSIONS,
    )
    for product in products:
        item.add_asset(product.path.name, _asset(product))
    content: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    return content


def _asset(product: Product) -> Asset:
    """Return the asset of a file, with its size, checksum and bands."""
    fields = {"file:size": product.path.stat().st_size, "file:checksum": SHA256 + sha256_of(product.path)}
    bands = {} if product.layer is None else _bands(product.layer)
    name, roles = product.path.name, list(product.roles)
    return Asset(name, product.title, None, product.media_type, roles, fields | bands)


def required_crs(name: str, like: Metadata) -> CRS:
    """Return the CRS of a product, without which there is no STAC item.

    Parameters
    ----------
    name : str
        Name of the product, for messages.
    like : Metadata
        Its place.

    Raises
    ------
    InputError
        CRS or transform are missing.
    """
    if like.crs is None or like.transform is None:
        raise InputError(
            f"{name}: the scene has no CRS and transform, which a STAC item needs; set products.stac to false"
        )
    return CRS.from_user_input(like.crs)


def _footprint(shape: tuple[int, int], like: Metadata, crs: CRS) -> dict[str, Any]:
    """Return the grid's corners in WGS 84 as a polygon, counter-clockwise."""
    assert like.transform is not None
    x, y = zip(*corners(shape, like.transform), strict=True)
    longitudes, latitudes = transform(crs, WGS84, x, y)
    ring = [
        [round(lon, DEGREES), round(lat, DEGREES)] for lon, lat in zip(longitudes, latitudes, strict=True)
    ]
    if _signed_area(ring) < 0:
        ring.reverse()
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def _signed_area(ring: list[list[float]]) -> float:
    """Return twice the area of a polygon, positive if it runs counter-clockwise."""
    following = ring[1:] + ring[:1]
    return sum(x * v - u * y for (x, y), (u, v) in zip(ring, following, strict=True))


def _bands(layer: Layer) -> dict[str, Any]:
    """Return type, no-data, units and bands of a layer, with wavelengths in micrometres."""
    meta = layer.metadata
    bands = []
    for index, name in enumerate(layer.names):
        band: dict[str, Any] = {"name": name}
        if meta.wavelength is not None:
            band["eo:center_wavelength"] = round(float(meta.wavelength[index]) / 1e3, 9)
        if meta.fwhm is not None:
            band["eo:full_width_half_max"] = round(float(meta.fwhm[index]) / 1e3, 9)
        if meta.detector is not None:
            band["description"] = f"detector {meta.detector[index]}"
        bands.append(band)
    nodata = "nan" if layer.dtype == "float32" else int(layer.nodata)
    fields: dict[str, Any] = {"data_type": layer.dtype, "nodata": nodata, "bands": bands}
    return fields | ({} if meta.units is None else {"unit": meta.units})
