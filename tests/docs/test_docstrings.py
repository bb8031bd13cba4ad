"""The examples in docstrings, run as they stand there."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"
FILES = [path for path in sorted(SRC.rglob("*.py")) if ">>> " in path.read_text()]
NAMES = [".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__") for path in FILES]


@pytest.mark.parametrize("name", NAMES)
def test_examples_give_what_they_show(name: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testmod(import_module(name), optionflags=flags)
    assert tried > 0
    assert failed == 0
