"""The files behind a source's `path`: one file, adjacent tiles, or a product's folder.

Their digest ties results to them. What the files hold is read in `readers`.
"""

from __future__ import annotations

from glob import glob
from hashlib import sha256
from os.path import commonpath
from pathlib import Path

from pipeline.config.scenes import FileSource
from pipeline.errors import InputError
from pipeline.inputs.missions import product_files, product_of
from pipeline.store.files import sha256_of

TILES = (".tif", ".tiff")


def source_paths(source: FileSource) -> list[Path]:
    """Files or product folders that `path` names, one for each tile of the scene, sorted.

    A path that exists is meant as it stands, any other may be a pattern (`tiles/*.tif`). A folder that
    is no known product is one of GeoTIFF tiles.
    """
    path = Path(source.path)
    if path.is_dir() and product_of(path) is None:
        tiles = sorted(file for file in path.iterdir() if file.suffix.lower() in TILES)
        if not tiles:
            raise InputError(
                f"{path}: a folder with neither a known product nor GeoTIFF tiles; give a file, a pattern or "
                "the folder of a product (`docs/data/formats.md` lists them)"
            )
        return tiles
    if path.exists() or not set("*?[") & set(source.path):
        return [path]
    found = sorted(map(Path, glob(source.path)))  # noqa: PTH207, the pattern may be absolute
    if not found:
        raise InputError(f"{path}: no file matches this pattern; correct `path`")
    return found


def source_files(source: FileSource) -> dict[str, Path]:
    """All files that the scene is read from, metadata included, by their path below their common folder."""
    found = sorted({file for path in source_paths(source) for file in product_files(path, source)})
    folder = commonpath([file.parent for file in found])
    return {file.relative_to(folder).as_posix(): file for file in found}


def file_digests(source: FileSource) -> dict[str, str]:
    """SHA-256 of each of the source's files."""
    return {name: _digest(file) for name, file in source_files(source).items()}


def joint_digest(digests: dict[str, str]) -> str:
    """One digest for all files: that of a single one, or of the list that `sha256sum` prints of several."""
    if len(digests) == 1:
        return next(iter(digests.values()))
    return sha256("".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode()).hexdigest()


def _digest(file: Path) -> str:
    try:
        return sha256_of(file)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; put it there, or correct `path`") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
