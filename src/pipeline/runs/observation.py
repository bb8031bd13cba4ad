"""The observation: its store, filled tile by tile, and the view of it that a method receives.

`simulate`, `align` and `degrade` write the store alike; where the two images of a tile come from is up to
the step, and a killed run keeps the tiles that it has written. A method sees the observed images together
with the responses and noise levels of `estimate`; the reference is in neither store.
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

from pipeline.core.scene import Metadata, coarsened
from pipeline.core.sensing.calibration import CalibratedImage
from pipeline.core.sensing.observation import ObservedScene, Progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.completion import Completion, completed
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.runs.provenance import check_origin
from pipeline.store.files import json_digest
from pipeline.store.schema import observation_dataset, observed_scene, placeholder, valid_pixels, variable_of
from pipeline.store.shards import Journal, Part, ShardWriter, fill_store, shard_side
from pipeline.store.store import read_store

COMPLETION = "completion_"  # prefix of the variables of an estimate that hold the models of missing values
Images = Callable[[Window], tuple[NDArray[Any], NDArray[Any]]]
"""LR-HSI and HR-MSI of a tile of whole LR pixels."""


def observation_tiles(bands: int, hr_shape: tuple[int, int], ratio: Fraction) -> list[Window]:
    """Return the tiles, a shard of each raster, in which an observation is made.

    Parameters
    ----------
    bands : int
        Bands of the LR-HSI.
    hr_shape : (int, int)
        Height and width of the HR-MSI.
    ratio : Fraction
        LR pixel size over HR pixel size.
    """
    return list(Window(0, hr_shape[0], 0, hr_shape[1]).split(shard_side(bands, ratio.numerator)))


def observation_template(
    scene: ObservedScene, like: Metadata, msi: Metadata | None = None, **attributes: Any
) -> xr.Dataset:
    """Return the dataset of a scene whose images are still to be made; see `observation_dataset`.

    Parameters
    ----------
    scene : ObservedScene
        The scene; of its images only the shapes count.
    like : Metadata
        Bands of the LR-HSI, place of the HR-MSI.
    msi : Metadata, optional
        Bands of the HR-MSI.
    **attributes
        Attributes of the dataset.
    """
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
    """Write `observation.zarr` and its ledger.

    Parameters
    ----------
    out : Path
        The ledger to write, `observation.json`.
    template : xr.Dataset
        The dataset without its images, from `observation_template`.
    ratio : Fraction
        LR pixel size over HR pixel size.
    origin : dict
        Provenance; tiles that a killed run of the same provenance has written are kept.
    images : callable
        Returns LR-HSI and HR-MSI of a tile.
    progress : callable
        Called after each tile.
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
    """Yield the values of all rasters in one tile."""
    lr_hsi, hr_msi = images(tile)
    yield "lr_hsi", lr, lr_hsi.astype(np.float32, copy=False)
    yield "mask_lr", lr, valid_pixels(lr_hsi)
    yield "hr_msi", tile, hr_msi.astype(np.float32, copy=False)
    yield "mask", tile, valid_pixels(hr_msi)


def read_completed_scene(observation: Path, estimate: Path) -> ObservedScene:
    """Open a scene as a method sees it: as `read_scene`, with estimates of the missing values.

    Parameters
    ----------
    observation : Path
        Ledger of the observation.
    estimate : Path
        Ledger of what `estimate` settled on, which holds the models of a scene with missing values.
    """
    settled = read_store(estimate)
    state = {
        str(name).removeprefix(COMPLETION): np.asarray(values)
        for name, values in settled.data_vars.items()
        if str(name).startswith(COMPLETION)
    }
    return completed(read_scene(observation, estimate), Completion.of(state) if state else None)


def read_scene(observation: Path, estimate: Path) -> ObservedScene:
    """Open the observed images with the estimated responses and noise levels; no-data is NaN.

    Images stay in their store until a window of them is read. An HR-MSI whose gain was estimated is converted
    to the LR-HSI's units as it is read.

    Parameters
    ----------
    observation : Path
        Ledger of the observation.
    estimate : Path
        Ledger of what `estimate` settled on.

    Raises
    ------
    InputError
        A store is missing or damaged, or the estimate is of another observation.
    """
    settled = read_store(estimate)
    check_origin(estimate, settled.attrs.get("provenance", {}), inputs=[observation])
    response, sigma_hsi, sigma_msi = (
        np.asarray(variable_of(settled, name)) for name in ("spectral_response", "sigma_hsi", "sigma_msi")
    )
    scene = observed_scene(read_store(observation))
    if "gain" in settled:
        scene = replace(
            scene,
            hr_msi=CalibratedImage(scene.hr_msi, np.asarray(settled["gain"]), np.asarray(settled["offset"])),
        )
    return replace(
        scene,
        spectral_response=response,
        spatial_response=SpatialResponse.from_dict(settled.attrs["spatial_response"]),
        sigma_hsi=sigma_hsi,
        sigma_msi=sigma_msi,
    )


def shape_level_down(scene: ObservedScene) -> tuple[int, int]:
    """Return height and width of the LR-HSI, cut to whole pixels of the next Wald level.

    Parameters
    ----------
    scene : ObservedScene
        The pair that is taken one level down.

    Raises
    ------
    InputError
        Not a single pixel of the next level fits into the LR-HSI.
    """
    step = scene.spatial_response.ratio.numerator
    rows, columns = (side // step * step for side in scene.lr_shape)
    if not rows or not columns:
        raise InputError(
            f"wald: the LR-HSI of {scene.lr_shape[0]}x{scene.lr_shape[1]} pixels is too small for another "
            f"level of ratio {scene.spatial_response.ratio}; at least {step}x{step} are needed"
        )
    return rows, columns


def metadata_level_down(like: Metadata, scene: ObservedScene) -> Metadata:
    """Return bands and place of the LR grid, which is the HR grid one Wald level down.

    Parameters
    ----------
    like : Metadata
        Bands of the LR-HSI, place of the HR-MSI.
    scene : ObservedScene
        The pair that is taken one level down.
    """
    place = like.transform and coarsened(like.transform, float(scene.spatial_response.ratio))
    return replace(like, transform=place)
