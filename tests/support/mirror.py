"""The files of the catalogue under the names that it gives them, out of a folder that names them otherwise.

A file is known by its size and SHA-256, whatever its name. On the command line, a folder of links is made
that serves as `PIPELINE_MIRROR` or `PIPELINE_DATA`, for development without a network:

    python tests/support/mirror.py ../shared/data /tmp/mirror
    PIPELINE_MIRROR=/tmp/mirror make demo EXPERIMENT=jasper_ridge
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.inputs.datasets import catalogue
from pipeline.store.files import sha256_of


def layout(folder: Path) -> dict[str, Path]:
    """The catalogued files that a folder holds, by `{data set}/{file}`.

    Parameters
    ----------
    folder : Path
        Is searched with its sub-folders.
    """
    sizes: dict[int, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sizes.setdefault(path.stat().st_size, []).append(path)
    placed = {}
    for name in catalogue.names():
        for image in catalogue.dataset(name).images.values():
            for file in (image.file, *image.beside):
                for path in sizes.get(file.bytes or -1, ()):
                    if sha256_of(path) == file.sha256:
                        placed[f"{name}/{file.path}"] = path
    return placed


def link(folder: Path, mirror: Path) -> None:
    """Make a mirror of links to a folder's catalogued files."""
    for place, path in layout(folder).items():
        target = mirror / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(path.resolve())


if __name__ == "__main__":
    link(Path(sys.argv[1]), Path(sys.argv[2]))
