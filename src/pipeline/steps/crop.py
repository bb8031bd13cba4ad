"""Step `crop`: read a scene's source and store the wanted rectangle as the reference.

Only `simulate`, `evaluate` and `report` open the reference.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.config import Scene as SceneConfig
from pipeline.config import Source, SyntheticSource
from pipeline.data.readers import read_scene
from pipeline.data.scene import Scene
from pipeline.data.schema import reference_dataset
from pipeline.data.store import read_json, write_store
from pipeline.data.synthetic import synthetic_scene
from pipeline.provenance import provenance
from pipeline.steps.timing import Timing


def run(*, source: Path, settings: SceneConfig, out: Path) -> None:
    """Write `reference.zarr` and its ledger `out` from what `source.json` describes."""
    timing = Timing("crop")
    with timing.measure("io"):
        scene = read_source(source, settings.source).crop(settings.crop)
        origin = provenance("crop", settings=settings, inputs=[source])
        write_store(out.with_suffix(".zarr"), reference_dataset(scene), origin)
    timing.write(out.parent)


def read_source(record: Path, source: Source) -> Scene:
    """The whole scene; a file must still be the one that `download` recorded."""
    if isinstance(source, SyntheticSource):
        return synthetic_scene(source)
    return read_scene(source.model_copy(update={"sha256": read_json(record)["sha256"]}))
