"""Finding the band files of a product in its folder, and choosing among them by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import InputError
from pipeline.inputs.missions.metadata import Groups, read_mtl


def has_file(folder: Path, pattern: re.Pattern[str]) -> bool:
    """Whether a folder holds a file of such a name."""
    return folder.is_dir() and any(pattern.fullmatch(file.name) for file in folder.iterdir())


def band_paths(folder: Path, pattern: re.Pattern[str]) -> tuple[str, dict[str, Path]]:
    """The scene's name and its band files by band, from the groups `scene` and `band` of file names."""
    matches = [(match, file) for file in sorted(folder.iterdir()) if (match := pattern.fullmatch(file.name))]
    scenes = sorted({match["scene"] for match, _ in matches})
    if len(scenes) > 1:
        raise InputError(
            f"{folder}: holds bands of {len(scenes)} scenes, {scenes[0]} and {scenes[1]} among them; "
            "give each a folder of its own"
        )
    return scenes[0], {match["band"].upper(): file for match, file in matches}


def chosen(folder: Path, wanted: Iterable[str], available: Mapping[str, Path]) -> list[str]:
    """The wanted names, of which each must be there."""
    names = list(wanted)
    absent = [name for name in names if name not in available]
    if absent:
        raise InputError(
            f"{folder}: has no file of band {', '.join(absent)}; there are {', '.join(available)}; "
            "fetch the product again, or choose by `bands`"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{folder}: `bands` lists {', '.join(twice)} twice; list each band once")
    return names


def metadata_file(folder: Path, names: Iterable[str]) -> Path:
    """The first of some metadata files that is there."""
    candidates = list(names)
    present = {file.name.lower(): file for file in folder.iterdir()}
    for name in candidates:
        if name.lower() in present:
            return present[name.lower()]
    raise InputError(
        f"{folder}: has no {' or '.join(candidates)}, without which its numbers mean nothing; "
        "fetch the product's metadata too"
    )


def mtl_file(folder: Path, names: Iterable[str]) -> tuple[Path, Groups]:
    """The first of some MTL files that is there, and its content."""
    path = metadata_file(folder, names)
    return path, read_mtl(path)
