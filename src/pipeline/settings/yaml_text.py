"""YAML text read within bounds: its size, its depth, and what its anchors stand for.

Anchors can make a short text stand for any number of values, and a text can hold itself. PyYAML is linear in
the text, but everything that is done with the content afterwards is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import InputError

LARGEST_FILE = 2**20  # bytes
MOST_VALUES = 200_000
DEEPEST = 50


def read_yaml(path: Path) -> Any:
    """Read a YAML file as plain content.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        The file is no YAML, is too large, holds more than it should, or gives a key twice.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is not a file; give a configuration")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise InputError(f"{path}: has {size} bytes, expected a configuration of {LARGEST_FILE} at most")
    loader = yaml.SafeLoader(path.read_text())
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        check_extent(node, _parts_of_node, str(path))
        _check_keys(node, str(path))
        return loader.construct_document(node)
    except RecursionError:
        raise InputError(_too_deep(str(path))) from None
    finally:
        loader.dispose()


def check_extent(root: Any, parts: Callable[[Any], Iterable[Any]], origin: str) -> None:
    """Refuse content of too many values, or nested too deeply, however few of them are written out.

    Parameters
    ----------
    root : object
        The content.
    parts : callable
        Returns what a value consists of; nothing for numbers and texts.
    origin : str
        Name of the content in errors.

    Raises
    ------
    InputError
        The content is too large, too deep, or holds itself.
    """
    known: dict[int, tuple[int, int]] = {}

    def extent(value: Any, depth: int) -> tuple[int, int]:
        """Return the number of values, and the number of levels."""
        count, levels = known.get(id(value), (0, 0))
        if depth + levels > DEEPEST:
            raise InputError(_too_deep(origin))
        if levels:
            return count, levels
        inner = [extent(part, depth + 1) for part in parts(value)]
        count = 1 + sum(number for number, _ in inner)
        if count > MOST_VALUES:
            raise InputError(
                f"{origin}: stands for more than {MOST_VALUES} values; a configuration holds fewer, write it "
                "without anchors that repeat each other"
            )
        known[id(value)] = count, 1 + max((level for _, level in inner), default=0)
        return known[id(value)]

    extent(root, 0)


def parts_of_content(value: Any) -> Sequence[Any]:
    """Return what plain content consists of: the values of a mapping, or the items of a list."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()


def _parts_of_node(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_keys(root: yaml.Node, origin: str) -> None:
    """Refuse a mapping with a key twice, of which YAML keeps the last without a word."""
    waiting, known = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in known:
            continue
        known.add(id(node))
        waiting += _parts_of_node(node)
        if isinstance(node, yaml.MappingNode):
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            twice = next((key for key, count in keys.items() if count > 1 and key != "<<"), None)
            if twice is not None:
                line = node.start_mark.line + 1
                raise InputError(
                    f"{origin}: the key {twice!r} stands twice in the mapping that begins in line {line}; "
                    "only the last would count, remove one"
                )


def _too_deep(origin: str) -> str:
    return f"{origin}: lists and mappings lie more than {DEEPEST} deep in each other, or in themselves"
