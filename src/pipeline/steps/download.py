"""Step `download`: make sure that a scene's source is there and record what it is.

A file that is missing is fetched where the configuration has its `url`. The file itself stays
where the configuration says; the recorded digest ties the results to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pooch
import requests

from pipeline.data.arrays import first_bytes
from pipeline.data.files import write_json
from pipeline.data.source_files import file_digests, joint_digest, source_files
from pipeline.errors import InputError
from pipeline.scenes import FileSource, Pair, Scene, Source
from pipeline.steps.timing import Timing


def run(*, scene: Scene, out: Path) -> None:
    """Write `source.json`: parameters of a synthetic scene, or path, size and digest of each image."""
    timing = Timing("download")
    with timing.measure("io"):
        content = describe(scene.source) if scene.source else _describe_pair(scene.pair)
    write_json(out, content)
    timing.write(out.parent)


def describe(source: Source) -> dict[str, Any]:
    """What identifies a source's content."""
    if not isinstance(source, FileSource):
        return source.model_dump(mode="json")
    files = source_files(source)
    if not all(file.exists() for file in files.values()):
        fetch(source)
    digests = file_digests(source)
    digest = joint_digest(digests)
    if source.sha256 not in (None, digest):
        raise InputError(
            f"{source.path}: its sha256 is {digest}, but the configuration asks for {source.sha256}"
        )
    size = sum(file.stat().st_size for file in files.values())
    content = {"kind": "file", "path": source.path, "bytes": size, "sha256": digest}
    return content if len(files) == 1 else content | {"files": digests}


def _describe_pair(pair: Pair | None) -> dict[str, Any]:
    assert pair is not None  # a scene one Wald level down has no files
    return {"kind": "pair"} | {role: describe(source) for role, source in pair.files.items()}


def fetch(source: FileSource) -> None:
    """Fetch a missing file; it appears complete and verified or not at all."""
    if source.url is None:
        raise InputError(
            f"{source.path}: no such file; put the scene there, correct `path`, or give its `url`"
        )
    path = Path(source.path)
    known_hash = source.sha256 and f"sha256:{source.sha256}"
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(source.url, known_hash, fname=path.name, path=path.parent)
    except (requests.RequestException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{source.url}: could not be fetched ({reason}); fetch it by other means and put it at {path}"
        ) from None
    try:
        first_bytes(path)
    except InputError:  # a web page under the file's name would pass for the file next time
        path.unlink()
        raise InputError(
            f"{source.url}: answered by a web page, not data; fetch it by other means and put it at {path}"
        ) from None
