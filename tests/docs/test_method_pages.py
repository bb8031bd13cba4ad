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
    assert (
        f"../../src/pipeline/methods/{method}/README.md"
        in (METHODS.parents[2] / "docs/methods/index.md").read_text()
    )
