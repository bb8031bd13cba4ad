"""The reference's store, filled shard by shard: of the steps `crop`, `clip` and `wald` alike.

Memory does not grow with the scene, and a killed run goes on where it stopped. Only `simulate`,
`evaluate` and `report` open the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.core.scene import OpenScene, shifted
from pipeline.core.sensing.observation import Progress
from pipeline.core.window import Window
from pipeline.store.files import json_digest
from pipeline.store.schema import placeholder, reference_like, valid_pixels
from pipeline.store.shards import Journal, Part, ShardWriter, fill_store, shard_side


def write_reference(
    out: Path, scene: OpenScene, window: Window, origin: dict[str, Any], progress: Progress
) -> None:
    """Write `reference.zarr` and its ledger from a window of a scene.

    Parameters
    ----------
    out : Path
        The ledger, `reference.json`.
    scene : OpenScene
        Scene that holds the reference.
    window : Window
        Part of the scene that is stored.
    origin : dict
        Provenance; shards that a killed run of the same provenance has written are kept.
    progress : callable
        Called after each shard.
    """
    bands = scene.shape[0]
    transform = shifted(scene.metadata.transform, window.y0, window.x0)
    template = reference_like(placeholder(bands, *window.shape), replace(scene.metadata, transform=transform))
    if scene.assumed:
        template = template.assign_attrs(assumed=list(scene.assumed))
    side = shard_side(bands)
    writer = ShardWriter(out.with_suffix(".zarr"), template, origin, {"y": side, "x": side})
    units = {f"{part.y0},{part.x0}": partial(_parts, scene, window, part) for part in window.split(side)}
    fill_store(writer, Journal(out.with_suffix(".journal"), json_digest(origin)), units, progress)


def _parts(scene: OpenScene, window: Window, part: Window) -> Iterator[Part]:
    """Yield values and mask of a part of the window, at its place in the store."""
    values = scene.read(part)
    place = part.relative_to(window)
    yield "reference", place, values
    yield "mask", place, valid_pixels(values)
