"""Each method documents itself in its folder, under the same headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pipeline

METHODS = Path(pipeline.__file__).parent / "methods"
HEADINGS = [
    "What it assumes",
    "When to use it",
    "Settings that matter",
    "Cost",
    "Differences from the paper",
]


@pytest.mark.parametrize("method", pipeline.methods())
def test_pages_of_methods_have_the_same_headings(method: str) -> None:
    page = (METHODS / method / "README.md").read_text()
    assert page.startswith(f"# {method}\n")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS


def test_the_overview_has_a_row_for_each_method() -> None:
    page = (METHODS.parents[2] / "docs/methods/index.md").read_text()
    rows = re.findall(r"^\| \[`(\w+)`\]\(../../src/pipeline/methods/(\w+)/README.md\) \|", page, re.MULTILINE)
    assert sorted(rows) == [(name, name) for name in pipeline.methods()]
