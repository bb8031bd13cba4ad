"""Step `export`: write a fused cube as COG or ENVI, with its quality layer and a STAC item.

The cube and the observation are read block by block; the reference is not an input.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr

from pipeline.config.exports import Products
from pipeline.core.quality.residuals import residuals
from pipeline.errors import InputError
from pipeline.export.cog import write_cog
from pipeline.export.envi import write_envi
from pipeline.export.folder import write_folder
from pipeline.export.layer import DType, Layer, Tally, image_layer, integer_type
from pipeline.export.quality import quality_layer
from pipeline.export.stac import Product, required_crs, stac_item
from pipeline.runs.observation import read_scene
from pipeline.runs.paths import run_folder
from pipeline.runs.provenance import check_origin, code_version, provenance
from pipeline.store.files import write_json
from pipeline.store.schema import metadata_from, msi_metadata_from, variable_of
from pipeline.store.store import read_store

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
FEWEST_LEVELS = 100  # of a product of integers; with fewer, rounding would hide differences between spectra

log = logging.getLogger(__name__)


def run(*, fused: Path, observation: Path, estimate: Path, settings: Products, out: Path) -> None:
    """Write the folder `product/` and its ledger.

    Parameters
    ----------
    fused : Path
        Ledger of the fused cube.
    observation : Path
        Ledger of the observation.
    estimate : Path
        Ledger of the estimated responses and noise levels.
    settings : Products
        Which files are written, with the `datetime` of this scene.
    out : Path
        The ledger to write, `product.json` in the run's folder.

    Raises
    ------
    InputError
        A STAC item is wanted and there is no CRS, integers would round the cube to a few levels or cannot
        hold it, or the cube was made from another observation or estimate.
    """
    place = run_folder(out)
    name = "-".join(place.path.relative_to(place.experiment.path).parts)
    cube = read_store(fused)
    like = metadata_from(cube)
    if settings.stac:
        required_crs(name, like)
    check_origin(fused, cube.attrs.get("provenance", {}), inputs=[observation, estimate])
    origin = provenance("export", settings=settings, inputs=[fused, observation, estimate])

    def fill(folder: Path) -> dict[str, Any]:
        layer = image_layer(variable_of(cube, "fused"), like)
        layer = replace(layer, dtype=_dtype(layer, settings))
        products, clipped = _write_cube(folder, layer, settings)
        if settings.quality:
            products.append(_write_quality(folder, cube, observation, estimate))
            if "deviation" in cube:
                products.append(_write_deviation(folder, cube))
        if settings.msi:
            products.append(_write_msi(folder, observation))
        if settings.stac:
            assert isinstance(settings.datetime, str)
            shape = (cube.sizes["y"], cube.sizes["x"])
            history = _processing(cube.attrs["provenance"], place.label)
            item = stac_item(name, shape, like, settings.datetime, products, history)
            write_json(folder / "item.json", item)
        return {"clipped": clipped, "dtype": layer.dtype}

    write_folder(out, fill, origin)


def _dtype(layer: Layer, settings: Products) -> DType:
    """Return the type of the cube's values in the files; of integers, by the range of the values."""
    if settings.dtype != "integer":
        return settings.dtype
    values = layer.range()
    if not values.lowest <= values.highest:  # no value at all
        return "int16"
    if values.highest - values.lowest < FEWEST_LEVELS:
        log.warning(
            "products.dtype: %g to %g would be rounded to fewer than %d levels; written as float32",
            *(values.lowest, values.highest, FEWEST_LEVELS),
        )
        return "float32"
    dtype = integer_type(values.lowest, values.highest)
    if dtype is None:
        raise InputError(
            f"products.dtype: no integers hold {values.lowest:g} to {values.highest:g}; use float32"
        )
    return dtype


def _write_cube(folder: Path, layer: Layer, settings: Products) -> tuple[list[Product], int]:
    """Write the cube in every wanted format, and return the products with the number of clipped values."""
    products, tally = [], Tally()
    if "cog" in settings.formats:
        tally = write_cog(folder / "cube.tif", layer)
        products.append(Product(folder / "cube.tif", "fused cube", COG, ["data"], layer))
    if "envi" in settings.formats:
        tally = write_envi(folder / "cube.bsq", layer)
        octets = "application/octet-stream"
        products.append(Product(folder / "cube.bsq", "fused cube, ENVI", octets, ["data"], layer))
        products.append(Product(folder / "cube.hdr", "header of cube.bsq", "text/plain", ["metadata"]))
    if layer.dtype != "float32" and 0 <= tally.highest - tally.lowest < FEWEST_LEVELS:
        raise InputError(
            f"products.dtype: {layer.dtype} would round values from {tally.lowest:g} to {tally.highest:g} to "
            f"fewer than {FEWEST_LEVELS} levels; use float32"
        )
    if tally.clipped:
        values = "%s: %d values from %g to %g were clipped to those of %s; `dtype: integer` holds them all"
        log.warning(values, folder.parent.name, tally.clipped, tally.lowest, tally.highest, layer.dtype)
    return products, tally.clipped


def _write_quality(folder: Path, cube: xr.Dataset, observation: Path, estimate: Path) -> Product:
    scene = read_scene(observation, estimate)
    hsi_map, msi_map = residuals(variable_of(cube, "fused"), scene, maps=True).maps
    layer = quality_layer(msi_map, hsi_map, variable_of(cube, "mask"), scene, metadata_from(cube))
    write_cog(folder / "quality.tif", layer, categories=True)
    return Product(folder / "quality.tif", "residuals and mask", COG, ["metadata"], layer)


def _write_deviation(folder: Path, cube: xr.Dataset) -> Product:
    layer = image_layer(variable_of(cube, "deviation"), metadata_from(cube))
    write_cog(folder / "deviation.tif", layer)
    return Product(folder / "deviation.tif", "standard deviation of the fused cube", COG, ["metadata"], layer)


def _write_msi(folder: Path, observation: Path) -> Product:
    dataset = read_store(observation)
    layer = image_layer(variable_of(dataset, "hr_msi"), msi_metadata_from(dataset))
    write_cog(folder / "msi.tif", layer)
    return Product(folder / "msi.tif", "HR-MSI", COG, ["data"], layer)


def _processing(history: dict[str, Any], label: str) -> dict[str, Any]:
    """Return how the cube was made, as properties of a STAC item."""
    return {
        "processing:lineage": f"hyperspectral-multispectral fusion by the method {label!r} of the experiment",
        "processing:software": {"pipeline": code_version()},
        "pipeline:fused": history,
    }
