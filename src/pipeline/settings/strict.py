"""The base of every model that is read from a configuration."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _distinct(values: list[Any]) -> list[Any]:
    """Refuse a list that holds a value twice."""
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is listed twice; every entry counts once")
    return values


T = TypeVar("T")
Distinct = Annotated[
    list[T], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_distinct)
]
"""A list of one entry or more, all of which differ."""

Seeds = Distinct[Annotated[int, Field(ge=0)]]

LONGEST_PATH, LONGEST_PART = 4095, 255  # bytes, as Linux has them


def _is_path(text: str) -> str:
    """Refuse what no file system takes as a path."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is not Unicode; rename the file or its folder") from None
    if not text or "\0" in text:
        raise ValueError(f"{text[:60]!r} is not a path; a path is not empty and holds no NUL character")
    if len(encoded) > LONGEST_PATH or max(map(len, encoded.split(b"/"))) > LONGEST_PART:
        raise ValueError(
            f"{text[:60]!r}... has {len(encoded)} bytes; a path has {LONGEST_PATH} at most, and "
            f"{LONGEST_PART} between two slashes"
        )
    return text


LocalPath = Annotated[str, AfterValidator(_is_path)]


class Strict(BaseModel):
    """A model that refuses unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, content: Any) -> Any:
        if isinstance(content, dict):
            for key in content:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    hint = f" (did you mean {close[0]!r}?)" if close else ""
                    raise ValueError(f"unknown key {key!r}{hint}; accepted: {', '.join(cls.model_fields)}")
        return content
