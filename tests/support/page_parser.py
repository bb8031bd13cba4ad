"""What tests read of a report: tables, images, addresses and text, while its tags are checked."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image


class Page(HTMLParser):
    """Tables, images and addresses of a page; fails on tags that do not match."""

    VOID = frozenset({"meta", "img", "br", "link", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.best: list[tuple[int, int, int]] = []
        self.images: dict[str, np.ndarray] = {}
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str | None] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.addresses += [given[name] or "" for name in ("src", "href", "xlink:href") if name in given]
        if tag == "img":
            assert given["alt"]
            png = base64.b64decode((given["src"] or "").removeprefix("data:image/png;base64,"))
            self.images[given["alt"] or ""] = np.asarray(Image.open(io.BytesIO(png)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            assert tag == "td" or given["scope"] in ("row", "col")
            self.tables[-1][-1].append("")
            if given.get("class") == "best":
                self.best.append(
                    (len(self.tables) - 1, len(self.tables[-1]) - 1, len(self.tables[-1][-1]) - 1)
                )
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag without content."""
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Gather the text of a cell."""
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += (" " if self.tables[-1][-1][-1] else "") + data.strip()
