"""Step `crop`: read a scene's source and store the wanted rectangle as the reference.

Shard by shard, so that memory does not grow with the scene and a killed run goes on where it was.
Only `simulate`, `evaluate` and `report` open the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.core.window import Window
from pipeline.data.catalogue import file_source
from pipeline.data.files import json_digest, read_json
from pipeline.data.readers import FileScene
from pipeline.data.scene import OpenScene, crop_window, shifted
from pipeline.data.schema import placeholder, reference_like, valid_pixels
from pipeline.data.shards import Journal, Part, ShardWriter, fill_store, shard_side
from pipeline.data.synthetic import SyntheticScene
from pipeline.provenance import provenance
from pipeline.scenes import DatasetSource, Source, SyntheticSource
from pipeline.scenes import Scene as SceneConfig
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing


def run(*, source: Path, settings: SceneConfig, out: Path) -> None:
    """Write `reference.zarr` and its ledger `out` from what `source.json` describes."""
    timing = Timing("crop")
    with timing.measure("io"), ProgressReport() as progress:
        scene = open_source(source, settings.source)
        bands, height, width = scene.shape
        window = crop_window(settings.crop, (height, width))
        transform = shifted(scene.metadata.transform, window.y0, window.x0)
        like = replace(scene.metadata, transform=transform)
        template = reference_like(placeholder(bands, *window.shape), like)
        origin = provenance("crop", settings=settings, inputs=[source])
        side = shard_side(bands)
        writer = ShardWriter(out.with_suffix(".zarr"), template, origin, {"y": side, "x": side})
        units = {f"{w.y0},{w.x0}": partial(_parts, scene, window, w) for w in window.split(side)}
        fill_store(writer, Journal(out.with_suffix(".journal"), json_digest(origin)), units, progress)
    timing.write(out.parent)


def open_source(record: Path, source: Source) -> OpenScene:
    """The whole scene; a file must still be the one that `download` recorded."""
    if isinstance(source, SyntheticSource):
        return SyntheticScene(source)
    if isinstance(source, DatasetSource):
        source = file_source(source)
    return FileScene(source.model_copy(update={"sha256": read_json(record)["sha256"]}))


def _parts(scene: OpenScene, crop: Window, window: Window) -> Iterator[Part]:
    """What is stored of a window of the scene that lies in the crop."""
    values = scene.read(window)
    place = window.relative_to(crop)
    yield "reference", place, values
    yield "mask", place, valid_pixels(values)
