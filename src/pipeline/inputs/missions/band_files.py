"""Band files of a product in its folder, and the choice among them by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipeline.errors import InputError
from pipeline.inputs.missions.metadata import Groups, read_mtl


def has_file(folder: Path, pattern: re.Pattern[str]) -> bool:
    """Return whether a folder holds a file whose name fits a pattern."""
    return folder.is_dir() and any(pattern.fullmatch(file.name) for file in folder.iterdir())


def band_paths(folder: Path, pattern: re.Pattern[str]) -> tuple[str, dict[str, Path]]:
    """Return the scene's name and its files by band, from the groups `scene` and `band` of file names.

    Parameters
    ----------
    folder : Path
        The product.
    pattern : re.Pattern
        Pattern of the names of band files.

    Raises
    ------
    InputError
        The folder holds bands of several scenes.
    """
    matches = [(match, file) for file in sorted(folder.iterdir()) if (match := pattern.fullmatch(file.name))]
    scenes = sorted({match["scene"] for match, _ in matches})
    if len(scenes) > 1:
        raise InputError(
            f"{folder}: holds bands of {len(scenes)} scenes, {scenes[0]} and {scenes[1]} among them; "
            "give each a folder of its own"
        )
    return scenes[0], {match["band"].upper(): file for match, file in matches}


def chosen(folder: Path, wanted: Iterable[str], available: Mapping[str, Path]) -> list[str]:
    """Return the wanted names.

    Parameters
    ----------
    folder : Path
        The product, for messages.
    wanted : iterable of str
        Names of bands.
    available : mapping of str to Path
        Files of the bands that are there.

    Raises
    ------
    InputError
        A band has no file, or is named twice.
    """
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
    """Return the first of some metadata files that is there; case does not count.

    Parameters
    ----------
    folder : Path
        The product.
    names : iterable of str
        Names of files, in the order to try them.

    Raises
    ------
    InputError
        None of them is there.
    """
    candidates = list(names)
    present = {file.name.lower(): file for file in folder.iterdir()}
    for name in candidates:
        if name.lower() in present:
            return present[name.lower()]
    raise InputError(
        f"{folder}: has no {' or '.join(candidates)}, without which its numbers have no unit; "
        "fetch the product's metadata too"
    )


def mtl_file(folder: Path, names: Iterable[str]) -> tuple[Path, Groups]:
    """Return the first existing one of some MTL files, and its content; see `metadata_file`."""
    path = metadata_file(folder, names)
    return path, read_mtl(path)
