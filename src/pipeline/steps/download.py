"""Step `download`: make sure that a scene's source is there and record what it is.

A file that is missing is fetched where the configuration has its `url`, or where the catalogue has it.
The file itself stays in its folder; the recorded digest ties the results to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.data.catalogue import data_folder, image
from pipeline.data.download import fetch_file, fetch_image
from pipeline.data.files import write_json
from pipeline.errors import InputError
from pipeline.provenance import sha256_of
from pipeline.scenes import DatasetSource, FileSource, Source, SyntheticSource
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing


def run(*, source: Source, out: Path) -> None:
    """Write `source.json`: parameters of a synthetic scene, or path, size and digest of a file."""
    timing = Timing("download")
    with timing.measure("io"), ProgressReport() as progress:
        content = describe(source, progress)
    write_json(out, content)
    timing.write(out.parent)


def describe(source: Source, progress: ProgressReport) -> dict[str, Any]:
    """What identifies a source's content; a file of the catalogue by its path among the data sets."""
    if isinstance(source, SyntheticSource):
        return source.model_dump(mode="json")
    if isinstance(source, DatasetSource):
        folder = data_folder(source.folder)
        path = fetch_image(source.name, source.image, folder=folder, progress=progress)
        reading = image(source.name, source.image).reading  # the entry may change, the result with it
        return {
            "kind": "dataset",
            "path": path.relative_to(folder).as_posix(),
            "reading": reading,
        } | _identity(path)
    path = Path(source.path)
    if source.url is not None:
        fetch_file(source, progress=progress)
    elif not path.exists():
        raise InputError(f"{path}: no such file; put the scene there, correct `path`, or give its `url`")
    if not path.is_file():
        raise InputError(f"{path}: is not a file; give the path of the scene's file")
    return {"kind": "file", "path": source.path, **_identity(path, source)}


def _identity(path: Path, source: FileSource | None = None) -> dict[str, Any]:
    digest = sha256_of(path)
    if source and source.sha256 not in (None, digest):
        raise InputError(f"{path}: its sha256 is {digest}, but the configuration asks for {source.sha256}")
    return {"bytes": path.stat().st_size, "sha256": digest}
