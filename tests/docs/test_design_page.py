"""The page on the design names every step of the workflow."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_table_of_steps_is_that_of_the_rules() -> None:
    page = (ROOT / "docs/design/index.md").read_text()
    steps = re.findall(r"^\| `(\w+)` \|", page.partition("## Rooms")[0], re.MULTILINE)
    rules = {path.stem for path in (ROOT / "workflow/rules").glob("*.smk")} - {"common"}
    assert sorted(steps) == sorted(rules)
