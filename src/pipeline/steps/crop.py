"""Step `crop`: store the configured rectangle of a scene's source as its reference."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.scenes import Scene as SceneConfig
from pipeline.config.scenes import Source
from pipeline.core.scene import OpenScene
from pipeline.errors import InputError
from pipeline.inputs.file_scene import open_scene
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.reference import write_reference
from pipeline.runs.timing import Timing
from pipeline.store.files import read_record


def run(*, source: Path, settings: SceneConfig, out: Path) -> None:
    """Write `reference.zarr` and its ledger.

    Parameters
    ----------
    source : Path
        `source.json`, as `download` wrote it.
    settings : SceneConfig
        The scene's entry in the experiment, which has a `source`.
    out : Path
        The ledger to write, `reference.json`.

    Raises
    ------
    InputError
        The scene has no `source`, its file is not the recorded one, or the crop does not fit into it.
    """
    if settings.source is None:
        raise InputError("crop: the scene has no `source`; use `clip` for a pair and `wald` one level down")
    timing = Timing("crop")
    with timing.measure("io"), ProgressReport() as progress:
        scene = open_source(source, settings.source)
        window = settings.window((scene.shape[1], scene.shape[2]))
        origin = provenance("crop", settings=settings, inputs=[source])
        write_reference(out, scene, window, origin, progress)
    timing.write(out.parent)


def open_source(record: Path, source: Source) -> OpenScene:
    """Open a whole scene; its files must be unchanged since `download` recorded them.

    Parameters
    ----------
    record : Path
        `source.json`, which holds the file's digest.
    source : Source
        The source as the experiment describes it.
    """
    return open_scene(source, read_record(record).get("sha256"))
