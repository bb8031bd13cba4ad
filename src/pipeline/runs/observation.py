"""The observation's store, filled tile by tile: of the steps `simulate`, `align` and `degrade` alike.

Where the two images of a tile come from is up to the step; a killed run keeps the tiles that it has
written. What a method sees of the store is in `runs.observed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pipeline.core.scene import Metadata
from pipeline.core.sensing.observation import ObservedScene, Progress
from pipeline.core.window import Window
from pipeline.store.files import json_digest
from pipeline.store.schema import observation_dataset, placeholder, valid_pixels
from pipeline.store.shards import Journal, Part, ShardWriter, fill_store, shard_side

Images = Callable[[Window], tuple[NDArray[Any], NDArray[Any]]]
"""LR-HSI and HR-MSI of a tile of whole LR pixels."""


def observation_tiles(bands: int, hr_shape: tuple[int, int], ratio: Fraction) -> list[Window]:
    """The tiles, a shard of each raster, in which an observation is made."""
    return list(Window(0, hr_shape[0], 0, hr_shape[1]).split(shard_side(bands, ratio.numerator)))


def observation_template(
    scene: ObservedScene, like: Metadata, msi: Metadata | None = None, **attributes: Any
) -> xr.Dataset:
    """The dataset of a scene whose images are still to be made; see `observation_dataset`."""
    lr_hsi, hr_msi = (placeholder(*image.shape) for image in (scene.lr_hsi, scene.hr_msi))
    dataset = observation_dataset(replace(scene, lr_hsi=lr_hsi, hr_msi=hr_msi), like, msi)
    return dataset.assign_attrs(attributes)


def write_observation(
    out: Path,
    template: xr.Dataset,
    ratio: Fraction,
    origin: dict[str, Any],
    images: Images,
    progress: Progress,
) -> None:
    """Write `observation.zarr` and its ledger `out`.

    Parameters
    ----------
    out : Path
    template : xr.Dataset
        Of `observation_template`.
    ratio : Fraction
    origin : dict
        Provenance; tiles that a run of the same origin has written are kept.
    images : callable
    progress : callable
    """
    bands, hr_shape = template.sizes["band"], (template.sizes["y"], template.sizes["x"])
    side = shard_side(bands, ratio.numerator)
    lr_side = int(side / ratio)
    shards = {"y": side, "x": side, "y_lr": lr_side, "x_lr": lr_side}
    writer = ShardWriter(out.with_suffix(".zarr"), template, origin, shards)
    units = {
        f"{tile.y0}/{tile.x0}": partial(_parts, images, tile, tile.coarsened(ratio))
        for tile in observation_tiles(bands, hr_shape, ratio)
    }
    fill_store(writer, Journal(out.with_suffix(".journal"), json_digest(origin)), units, progress)


def _parts(images: Images, tile: Window, lr: Window) -> Iterator[Part]:
    """The shards of one tile of all rasters."""
    lr_hsi, hr_msi = images(tile)
    yield "lr_hsi", lr, lr_hsi.astype(np.float32, copy=False)
    yield "mask_lr", lr, valid_pixels(lr_hsi)
    yield "hr_msi", tile, hr_msi.astype(np.float32, copy=False)
    yield "mask", tile, valid_pixels(hr_msi)
