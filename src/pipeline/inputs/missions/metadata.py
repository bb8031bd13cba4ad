"""Metadata files of products: USGS MTL (text, JSON or XML) and XML.

Each failure is one line that names the file and what it lacks.
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
    """Keys and values of each group of an MTL file."""
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
    """The root of an XML file."""
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: no XML metadata that can be read ({error})") from None


def number(path: Path, groups: Groups, group: str, key: str) -> float:
    """A number of an MTL file."""
    found = groups.get(group, {}).get(key)
    return as_number(path, f"{group}/{key}", found)


def as_number(path: Path, what: str, text: str | None) -> float:
    """A number that a metadata file has to hold."""
    try:
        return float(text or "")
    except ValueError:
        found = "is missing" if text is None else f"is {text!r}, not a number"
        raise InputError(f"{path}: {what} {found}; fetch the product's metadata again") from None


def _odl(text: str) -> Groups:
    """Groups of USGS's text form, by the name of the innermost."""
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
