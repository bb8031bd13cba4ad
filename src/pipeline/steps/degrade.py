"""Step `degrade`: a pair one Wald level down, where its LR-HSI takes the place of the reference.

Both images are degraded by the LR-HSI's own response, which is assumed to hold one scale up (Wald et al.
1997); the shift between the images is taken out with the HR-MSI. No noise is added: what the images had
is averaged. Responses and noise are those that `estimate` told, so nothing is estimated again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.observation import Image, ObservedScene
from pipeline.core.window import Window
from pipeline.data.files import json_digest
from pipeline.data.scene import Metadata, coarsened
from pipeline.data.schema import (
    metadata_from,
    observation_dataset,
    placeholder,
    valid_pixels,
)
from pipeline.data.shards import Journal, Part, ShardWriter, fill_store, shard_side
from pipeline.data.store import read_store
from pipeline.errors import InputError
from pipeline.provenance import provenance
from pipeline.settings import Strict
from pipeline.steps.observed import read_scene
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing


def run(*, observation: Path, estimate: Path, out: Path) -> None:
    """Write `observation.zarr` and its ledger `out` from the pair of two other ledgers."""
    timing = Timing("degrade")
    with timing.measure("compute"), ProgressReport() as progress:
        scene = read_scene(observation, estimate)
        like = metadata_level_down(metadata_from(read_store(observation)), scene)
        pair = DegradedPair(scene)
        origin = provenance("degrade", settings=Strict(), inputs=[observation, estimate])
        step = scene.spatial_response.ratio.numerator
        side = shard_side(scene.bands, step)
        coarse = int(side / scene.spatial_response.ratio)
        tiles = list(Window(0, pair.shape[0], 0, pair.shape[1]).split(side))
        template = observation_dataset(pair.without_images(), like)
        shards = {"y": side, "x": side, "y_lr": coarse, "x_lr": coarse}
        writer = ShardWriter(out.with_suffix(".zarr"), template, origin, shards)
        units = {f"{tile.y0}/{tile.x0}": partial(pair.parts, tile) for tile in tiles}
        fill_store(writer, Journal(out.with_suffix(".journal"), json_digest(origin)), units, progress)
    timing.write(out.parent)


class DegradedPair:
    """A scene whose HR-MSI and LR-HSI are both degraded by its spatial response.

    Parameters
    ----------
    scene : ObservedScene

    Attributes
    ----------
    shape : (int, int)
        Height and width of the HR grid one level down: the LR-HSI's, cut to whole LR pixels.
    """

    def __init__(self, scene: ObservedScene) -> None:
        self.scene, response = scene, scene.spatial_response
        self.shape = shape_level_down(scene)
        y, x = response.shift
        self.response = response.shifted(-y, -x)

    def without_images(self) -> ObservedScene:
        """What is known of the degraded pair, with noise as the averaging leaves it."""
        scene = self.scene
        gain = np.sqrt(self.response.noise_gain(*self.shape))
        rows, columns = (self.response.lr_size(side) for side in self.shape)
        return ObservedScene(
            placeholder(scene.bands, rows, columns),
            placeholder(scene.hr_msi.shape[0], *self.shape),
            scene.spectral_response,
            self.response,
            gain * scene.sigma_hsi,
            np.sqrt(scene.spatial_response.noise_gain(*scene.hr_shape)) * scene.sigma_msi,
        )

    def parts(self, tile: Window) -> Iterator[Part]:
        """The shards of the degraded images in one tile of whole LR pixels."""
        lr = tile.coarsened(self.response.ratio)
        operator, seen = self.response.window_operator(self.shape, lr)
        lr_hsi = operator.forward_with_nodata(_read(self.scene.lr_hsi, seen))
        operator, seen = self.scene.spatial_response.window_operator(self.scene.hr_shape, tile)
        hr_msi = operator.forward_with_nodata(_read(self.scene.hr_msi, seen))
        for (name, mask), place, image in (
            (("lr_hsi", "mask_lr"), lr, lr_hsi),
            (("hr_msi", "mask"), tile, hr_msi),
        ):
            yield name, place, image.astype(np.float32)
            yield mask, place, valid_pixels(image)


def shape_level_down(scene: ObservedScene) -> tuple[int, int]:
    """Height and width of the LR-HSI, cut to whole pixels of the next level."""
    step = scene.spatial_response.ratio.numerator
    rows, columns = (side // step * step for side in scene.lr_shape)
    if not rows or not columns:
        raise InputError(
            f"wald: the LR-HSI of {scene.lr_shape[0]}x{scene.lr_shape[1]} pixels is too small for another "
            f"level of ratio {scene.spatial_response.ratio}; at least {step}x{step} are needed"
        )
    return rows, columns


def metadata_level_down(like: Metadata, scene: ObservedScene) -> Metadata:
    """The bands and place of the LR grid."""
    place = like.transform and coarsened(like.transform, float(scene.spatial_response.ratio))
    return replace(like, transform=place)


def _read(image: Image, window: Window) -> Any:
    return np.asarray(image[:, *window.slices], np.float64)
