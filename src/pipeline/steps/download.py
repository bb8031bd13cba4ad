"""Step `download`: fetch a scene's source where it is missing, and record its size and digest.

A file that is missing is fetched where the configuration has its `url`, or where the catalogue has it.
The file itself stays in its folder; the recorded digest ties the results to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.config.scenes import DatasetSource, Pair, Scene, Source, SyntheticSource
from pipeline.errors import InputError
from pipeline.inputs.datasets.catalogue import data_folder, image
from pipeline.inputs.datasets.fetch import fetch_file, fetch_image
from pipeline.inputs.source import joint_digest, locate
from pipeline.runs.progress import ProgressReport
from pipeline.runs.timing import Timing
from pipeline.store.files import write_record


def run(*, settings: Scene, out: Path) -> None:
    """Write `source.json`: parameters of a synthetic scene, or path, size and digest of each image.

    Parameters
    ----------
    settings : Scene
        The scene's entry in the experiment, with a `source` or a `pair`.
    out : Path
        The record to write, `source.json`.

    Raises
    ------
    InputError
        A file is missing and cannot be fetched, or is not the expected one.
    """
    timing = Timing("download")
    with timing.measure("io"), ProgressReport() as progress:
        if settings.source:
            content = describe(settings.source, progress)
        elif settings.pair:
            content = _describe_pair(settings.pair, progress)
        else:
            raise InputError("download: a scene one Wald level down has no source of its own")
    write_record(out, content)
    timing.write(out.parent)


def describe(source: Source, progress: ProgressReport) -> dict[str, Any]:
    """Return what identifies a source's content; a file of the catalogue by its path among the data sets.

    Parameters
    ----------
    source : Source
        The source as the experiment describes it.
    progress : ProgressReport
        Shows how much is fetched.
    """
    if isinstance(source, SyntheticSource):
        return source.model_dump(mode="json")
    if isinstance(source, DatasetSource):
        folder = data_folder(source.folder)
        fetch_image(source.name, source.image, folder=folder, progress=progress)
        located = locate(source)
        return {
            "kind": "dataset",
            "path": Path(located.name).relative_to(folder).as_posix(),
            "reading": image(source.name, source.image).reading,  # the entry may change, the result with it
            "bytes": sum(path.stat().st_size for path in located.files.values()),
            "sha256": joint_digest(located.digests()),
        }
    if source.url is not None:
        fetch_file(source, progress=progress)
    located = locate(source)
    files = located.files
    if not all(file.exists() for file in files.values()):
        raise InputError(
            f"{source.path}: no such file; put the scene there, correct `path`, or give its `url`"
        )
    digests = located.digests()
    digest = joint_digest(digests)
    if source.sha256 not in (None, digest):
        raise InputError(
            f"{source.path}: its sha256 is {digest}, but the configuration asks for {source.sha256}"
        )
    size = sum(file.stat().st_size for file in files.values())
    content = {"kind": "file", "path": source.path, "bytes": size, "sha256": digest}
    return content if len(files) == 1 else content | {"files": digests}


def _describe_pair(pair: Pair, progress: ProgressReport) -> dict[str, Any]:
    """Return the record of each of a pair's files, by its role."""
    return {"kind": "pair"} | {role: describe(source, progress) for role, source in pair.files.items()}
