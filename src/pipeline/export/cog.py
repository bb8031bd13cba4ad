"""Cloud-optimised GeoTIFFs, with centre and width of every band where QGIS and EnMAP-Box look for them.

A draft is written block by block and given overviews; GDAL then copies it into the order of a COG. Bands
are stored one after another, unlike what GDAL's own COG driver does: one band of many is read alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio
from rasterio.enums import Resampling
from rasterio.shutil import copy
from rasterio.windows import Window as RasterWindow

from pipeline.export.gdal import gdal, profile
from pipeline.export.layer import BLOCK_ROWS, Layer, Tally

BLOCK = 256  # side of a tile of the file
PREDICTORS = {"float32": 3}  # 2 for integers


def write_cog(path: Path, layer: Layer, *, categories: bool = False) -> Tally:
    """Write a layer as a COG; beside it, disk space is needed for an uncompressed draft.

    Parameters
    ----------
    path : Path
        The file to write.
    layer : Layer
        The layer.
    categories : bool
        Overviews are made of unchanged values instead of means.

    Returns
    -------
    Tally
        Range of the values, and number of clipped values.
    """
    tally, draft = Tally(), path.with_name(f"draft-{path.name}")
    resampling = Resampling.nearest if categories else Resampling.average
    with gdal(path):
        _write_draft(draft, layer, tally)
        factors = _overviews(max(layer.shape[1:]))
        if factors:
            with rasterio.open(draft, "r+") as file:
                file.build_overviews(factors, resampling)
        copy(
            str(draft),
            str(path),
            driver="GTiff",
            COPY_SRC_OVERVIEWS="YES",
            TILED="YES",
            BLOCKXSIZE=BLOCK,
            BLOCKYSIZE=BLOCK,
            INTERLEAVE="BAND",
            COMPRESS="DEFLATE",
            PREDICTOR=PREDICTORS.get(layer.dtype, 2),
            BIGTIFF="IF_SAFER",
        )
    draft.unlink()
    return tally


def _write_draft(path: Path, layer: Layer, tally: Tally) -> None:
    tiles = {"tiled": True, "blockxsize": BLOCK_ROWS, "blockysize": BLOCK_ROWS, "interleave": "band"}
    with rasterio.open(path, "w", driver="GTiff", BIGTIFF="IF_SAFER", **tiles, **profile(layer)) as file:
        _describe(file, layer)
        for window, values in layer.blocks(tally):
            file.write(values, window=RasterWindow.from_slices(*window.slices))


def _describe(file: Any, layer: Layer) -> None:
    """Set names, units, wavelengths and detectors of the bands."""
    meta = layer.metadata
    for index, name in enumerate(layer.names):
        tags: dict[str, str] = {}
        imagery: dict[str, str] = {}
        if meta.wavelength is not None:
            centre = float(meta.wavelength[index])
            name = f"{name} ({centre:.6g} nm)"
            tags |= {"wavelength": repr(centre), "wavelength_units": "Nanometers"}
            imagery["CENTRAL_WAVELENGTH_UM"] = format(centre / 1e3, ".9g")
        if meta.fwhm is not None:
            width = float(meta.fwhm[index])
            tags["fwhm"] = repr(width)
            imagery["FWHM_UM"] = format(width / 1e3, ".9g")
        if meta.detector is not None:
            tags["detector"] = str(meta.detector[index])
        file.set_band_description(index + 1, name)
        file.set_band_unit(index + 1, meta.units or "")
        file.update_tags(index + 1, **tags)
        file.update_tags(index + 1, ns="IMAGERY", **imagery)


def _overviews(side: int) -> list[int]:
    """Return factors of the overviews of an image, until it fits a tile.

    >>> _overviews(256), _overviews(2000)
    ([], [2, 4, 8])
    """
    factors: list[int] = []
    while side > BLOCK * 2 ** len(factors):
        factors.append(2 ** (len(factors) + 1))
    return factors
