"""Step `plan`: cut a scene into tiles and divide them among jobs.

The plan is a store of columns, one row for each tile. It is made from the observation's masks, or
from a size alone for a scene that is not there yet.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path

import xarray as xr
from pydantic import PositiveInt

from pipeline.config.experiment import Tiling
from pipeline.config.responses import SpatialConfig
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods import MethodEntry, build
from pipeline.runs.batches import batch_count
from pipeline.runs.provenance import provenance
from pipeline.runs.tile_plan import TilePlan, plan_tiles
from pipeline.runs.tiles import plan_dataset
from pipeline.settings.strict import Strict
from pipeline.store.shards import shard_side
from pipeline.store.store import read_store, write_store


class Settings(Strict):
    """The settings of `plan`.

    Attributes
    ----------
    tiling : Tiling
        How cubes are cut into tiles and the tiles divided among jobs.
    method : MethodEntry
        The method's entry, which gives the halo and the expected speed.
    """

    tiling: Tiling
    method: MethodEntry


class Size(Strict):
    """A scene that is planned before it exists.

    Attributes
    ----------
    height, width : int
        HR pixels.
    bands : int
        Bands of the fused cube.
    spatial : SpatialConfig
        The spatial response, with the ratio.
    """

    height: int
    width: int
    bands: int
    spatial: SpatialConfig


def run(
    *,
    settings: Settings,
    out: Path,
    observation: Path | None = None,
    size: Size | None = None,
    batches: PositiveInt | None = None,
) -> str:
    """Write `plan.zarr` and its ledger, and return a summary of the plan in one line.

    Parameters
    ----------
    settings : Settings
        The experiment's tiling and the method's entry.
    out : Path
        The ledger to write, `plan.json`.
    observation : Path, optional
        Ledger of the observation, whose masks give the tiles that hold data.
    size : Size, optional
        Instead of an observation: height, width, bands and spatial response of a scene that is still to come.
    batches : int, optional
        Number of jobs; default: from the method's speed and the length of a job.

    Raises
    ------
    InputError
        Neither an observation nor a size is given, or the ratio does not divide the scene.
    """
    if observation is not None:
        dataset = read_store(observation)
        response = SpatialResponse.from_dict(dataset.attrs["spatial_response"])
        shape, bands = (dataset.sizes["y"], dataset.sizes["x"]), dataset.sizes["band"]
    elif size is not None:
        response, shape, bands = size.spatial.build(), (size.height, size.width), size.bands
    else:
        raise InputError("plan: give an observation or a size")
    for side in shape:
        response.lr_size(side)
    core = core_of(settings.tiling, bands, response)
    plan = plan_tiles(
        shape,
        core=core,
        halo=ceil(build(settings.method).halo_lr(response) * response.ratio),
        batches=batches or batch_count(shape, core, settings.method.expected_speed, settings.tiling),
        has_data=None if observation is None else DataMask(dataset, response),
    )
    inputs = [] if observation is None else [observation]
    content = plan_dataset(plan).assign_attrs(tiling=settings.tiling.model_dump(mode="json"))
    write_store(out.with_suffix(".zarr"), content, provenance("plan", settings=settings, inputs=inputs))
    return summary(plan, bands, 2 if settings.method.uncertain else 1)


def core_of(tiling: Tiling, bands: int, response: SpatialResponse) -> int:
    """Return the side of a tile in HR pixels.

    Parameters
    ----------
    tiling : Tiling
        The configured tiling, which may hold a side.
    bands : int
        Bands of the fused cube.
    response : SpatialResponse
        H, whose ratio the side must fit.
    """
    return tiling.core or shard_side(bands, response.ratio.numerator)


class DataMask:
    """Whether one of the images holds a valid pixel in a window of a scene.

    Parameters
    ----------
    dataset : xr.Dataset
        The observation, with its masks.
    response : SpatialResponse
        H, which says which LR pixels a window meets.
    """

    def __init__(self, dataset: xr.Dataset, response: SpatialResponse) -> None:
        self.hr, self.lr, self.response = dataset["mask"], dataset["mask_lr"], response

    def __call__(self, window: Window) -> bool:
        """Return whether one of the masks holds a valid pixel in the window."""
        whole = Window(0, self.lr.shape[0], 0, self.lr.shape[1])
        lr = window.coarsened(self.response.ratio).grown(self.response.shift_lr, whole)
        return bool(self.lr[*lr.slices].values.any() or self.hr[*window.slices].values.any())


def summary(plan: TilePlan, bands: int, cubes: int) -> str:
    """Return a plan in one line.

    Parameters
    ----------
    plan : TilePlan
        The plan.
    bands : int
        Bands of a cube.
    cubes : int
        Cubes that are written: 1, or 2 with a standard deviation.
    """
    height, width = plan.shape
    values = f"{height} x {width} x {bands}" + (f" x {cubes}" if cubes > 1 else "")
    gigabytes = cubes * bands * height * width * 4 / 1e9
    return (
        f"{len(plan)} tiles of {plan.core} x {plan.core} pixels with a halo of {plan.halo}, "
        f"in {plan.batches} jobs; {values} values, {gigabytes:.3g} GB"
    )
