"""Metadata files of products: USGS MTL (text, JSON or XML) and XML.

Each error is one line that names the file and the missing entry.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pipeline.errors import InputError

LINE = re.compile(r'^\s*(\w+)\s*=\s*"?(.*?)"?\s*$')

Groups = dict[str, dict[str, str]]


def read_mtl(path: Path) -> Groups:
    """Read keys and values of each group of an MTL file (text, JSON or XML by its suffix)."""
    try:
        if path.suffix.lower() == ".json":
            return _nested(json.loads(path.read_text()))
        if path.suffix.lower() == ".xml":
            root = read_xml(path)
            return {group.tag: {item.tag: (item.text or "").strip() for item in group} for group in root}
        return _odl(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: no MTL metadata that can be read ({error})") from None


def read_xml(path: Path) -> ElementTree.Element:
    """Read the root of an XML file."""
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: no XML metadata that can be read ({error})") from None


def number(path: Path, groups: Groups, group: str, key: str) -> float:
    """Return a number of an MTL file.

    Parameters
    ----------
    path : Path
        The file, for messages.
    groups : dict
        Its content.
    group, key : str
        Where the number stands.

    Raises
    ------
    InputError
        It is missing or not a number.
    """
    return as_number(path, f"{group}/{key}", groups.get(group, {}).get(key))


def as_number(path: Path, name: str, text: str | None) -> float:
    """Return a number that a metadata file has to hold.

    Parameters
    ----------
    path : Path
        The file, for messages.
    name : str
        Name of the number, for messages.
    text : str or None
        Value in the file.

    Raises
    ------
    InputError
        There is no text, or it is not a number.
    """
    try:
        return float(text or "")
    except ValueError:
        fault = "is missing" if text is None else f"is {text!r}, not a number"
        raise InputError(f"{path}: {name} {fault}; fetch the product's metadata again") from None


def _odl(text: str) -> Groups:
    """Return groups of USGS's text form, by the name of the innermost group."""
    groups: Groups = {}
    names: list[str] = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        key, value = match.groups()
        if key == "GROUP":
            names.append(value)
        elif key == "END_GROUP":
            names = names[:-1]
        elif names:
            groups.setdefault(names[-1], {})[key] = value
    if not groups:
        raise ValueError("it has no GROUP")
    return groups


def _nested(content: Any) -> Groups:
    (groups,) = content.values()
    return {name: {key: str(value) for key, value in group.items()} for name, group in groups.items()}
