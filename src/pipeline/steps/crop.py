"""Step `crop`: read a scene's source and store the wanted rectangle as the reference.

Shard by shard, so that memory does not grow with the scene and a killed run goes on where it was.
Only `simulate`, `evaluate` and `report` open the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS

from pipeline.config.scenes import Pair, Source, StoredSource, SyntheticSource
from pipeline.config.scenes import Scene as SceneConfig
from pipeline.core.scene import Metadata, OpenScene, shifted
from pipeline.core.sensing.observation import Image
from pipeline.core.sensing.spectral import band_spacing
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.datasets.catalogue import path_of
from pipeline.inputs.file_scene import FileScene
from pipeline.inputs.pairs.pair import recorded
from pipeline.inputs.synthetic.scene import SyntheticScene
from pipeline.runs.observed import metadata_level_down, shape_level_down
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.timing import Timing
from pipeline.store.files import json_digest, read_json
from pipeline.store.schema import metadata_from, observed_scene, placeholder, reference_like, valid_pixels
from pipeline.store.shards import Journal, Part, ShardWriter, fill_store, shard_side
from pipeline.store.store import read_store

APART = 0.25  # HR pixels by which a reference may lie off the MSI's grid


def run(
    *, settings: SceneConfig, out: Path, source: Path | None = None, observation: Path | None = None
) -> None:
    """Write `reference.zarr` and its ledger `out`.

    Parameters
    ----------
    settings : SceneConfig
    out : Path
    source : Path, optional
        `source.json`; not for a scene one Wald level down.
    observation : Path, optional
        Ledger of a pair's observation: its reference is cut to the footprint that `align` found, and one
        Wald level down the LR-HSI is the reference.
    """
    timing = Timing("crop")
    with timing.measure("io"), ProgressReport() as progress:
        scene, window = _reference(settings, source, observation)
        bands = scene.shape[0]
        transform = shifted(scene.metadata.transform, window.y0, window.x0)
        like = replace(scene.metadata, transform=transform)
        template = reference_like(placeholder(bands, *window.shape), like)
        inputs = [path for path in (source, observation) if path]
        origin = provenance("crop", settings=settings, inputs=inputs)
        side = shard_side(bands)
        writer = ShardWriter(out.with_suffix(".zarr"), template, origin, {"y": side, "x": side})
        units = {f"{w.y0},{w.x0}": partial(_parts, scene, window, w) for w in window.split(side)}
        fill_store(writer, Journal(out.with_suffix(".journal"), json_digest(origin)), units, progress)
    timing.write(out.parent)


def _reference(
    settings: SceneConfig, source: Path | None, observation: Path | None
) -> tuple[OpenScene, Window]:
    """The scene that holds the reference, and the rectangle that is wanted of it."""
    if settings.source and source:
        scene = open_source(source, settings.source)
        return scene, settings.window((scene.shape[1], scene.shape[2]))
    if observation is None:
        raise InputError("crop: the reference of a pair needs the pair; give --observation")
    if settings.pair and settings.pair.reference and source:
        return _of_pair(settings.pair, settings.pair.reference, read_json(source), observation)
    return _level_down(observation)


def _of_pair(
    pair: Pair, reference: StoredSource, record: dict[str, Any], observation: Path
) -> tuple[OpenScene, Window]:
    """A pair's reference, which has the MSI's grid, and the pair's footprint on it."""
    dataset = read_store(observation)
    found, like = dataset.attrs["alignment"], metadata_from(dataset)
    scene, window = FileScene(recorded(reference, record["reference"]["sha256"])), Window(*found["hr_window"])
    if list(scene.shape[1:]) != found["msi_shape"] or found["resampled"]:
        raise InputError(
            f"{path_of(reference)}: {scene.shape[1]}x{scene.shape[2]} pixels are not the grid of "
            f"{path_of(pair.files['msi'])}; bring the reference to the MSI's grid, and both to the HSI's CRS"
        )
    own = replace(scene.metadata, transform=shifted(scene.metadata.transform, window.y0, window.x0))
    if not _same_place(own, like, window.shape):
        raise InputError(
            f"{path_of(reference)}: its pixels lie elsewhere than those of {path_of(pair.files['msi'])}; "
            "bring the reference to the MSI's grid"
        )
    if not _same_bands(scene, dataset.sizes["band"], like):
        raise InputError(
            f"{path_of(reference)}: its {scene.shape[0]} bands are not the {dataset.sizes['band']} of "
            f"{path_of(pair.hsi)}; leave out others by `bad_bands` of both"
        )
    return scene, window


def _same_place(one: Metadata, other: Metadata, shape: tuple[int, int]) -> bool:
    """Whether two grids of one shape coincide, as far as their georeferences tell."""
    if one.transform is None or other.transform is None:
        return True
    if one.crs and other.crs and CRS.from_user_input(one.crs) != CRS.from_user_input(other.crs):
        return False
    turn = ~Affine(*one.transform) @ Affine(*other.transform)
    height, width = shape
    corners = [(0, 0), (width, 0), (0, height)]
    return all(max(abs(a - b) for a, b in zip(turn @ at, at, strict=True)) < APART for at in corners)


def _same_bands(scene: OpenScene, count: int, like: Metadata) -> bool:
    """Whether a scene has as many bands, at the same wavelengths as far as these are known."""
    own = scene.metadata.wavelength
    if scene.shape[0] != count or own is None or like.wavelength is None:
        return scene.shape[0] == count
    return bool((np.abs(own - like.wavelength) < band_spacing(like.wavelength)).all())


def _level_down(observation: Path) -> tuple[OpenScene, Window]:
    """A pair's LR-HSI, cut to whole pixels of the next Wald level."""
    dataset = read_store(observation)
    scene = observed_scene(dataset)
    like = metadata_level_down(metadata_from(dataset), scene)
    height, width = shape_level_down(scene)
    return StoredScene(scene.lr_hsi, like), Window(0, height, 0, width)


@dataclass(frozen=True)
class StoredScene:
    """An image of a store as an `OpenScene`."""

    image: Image
    metadata: Metadata

    @property
    def shape(self) -> tuple[int, int, int]:
        """Bands, height and width."""
        bands, height, width = self.image.shape
        return bands, height, width

    def read(self, window: Window) -> NDArray[np.float32]:
        """Values of a window (band, y, x)."""
        return np.asarray(self.image[:, *window.slices], np.float32)


def open_source(record: Path, source: Source) -> OpenScene:
    """The whole scene; a file must still be the one that `download` recorded."""
    if isinstance(source, SyntheticSource):
        return SyntheticScene(source)
    return FileScene(recorded(source, read_json(record)["sha256"]))


def _parts(scene: OpenScene, crop: Window, window: Window) -> Iterator[Part]:
    """What is stored of a window of the scene that lies in the crop."""
    values = scene.read(window)
    place = window.relative_to(crop)
    yield "reference", place, values
    yield "mask", place, valid_pixels(values)
