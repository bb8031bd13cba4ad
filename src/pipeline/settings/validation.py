"""A typed model from plain content, or one line that says what is wrong with the content.

The line names the key, what was found and what is accepted; pydantic's other errors are counted.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.errors import InputError

M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], content: Any, origin: str) -> M:
    """Validate `content` as `model`, turning the first error into one line."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{origin}: {_explain(error, content)}") from None


def _explain(error: ValidationError, content: Any) -> str:
    """The first of a validation's errors as one line: where, what is wrong, what was found."""
    errors = error.errors(include_url=False)
    places = [_keys(e["loc"], content, missing=e["type"] == "missing") for e in errors]
    # where a union's alternatives all fail, the one that got furthest tells most
    inside = [i for i, place in enumerate(places) if place[: len(places[0])] == places[0]]
    furthest = max(inside, key=lambda i: len(places[i]))
    first, where = errors[furthest], ".".join(places[furthest])
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    found = f", found {json.dumps(first['input'], default=str)}"
    if first["type"] in ("missing", "value_error"):
        found = ""
    elif first["type"] == "union_tag_not_found":
        message, found = f"needs the key {first['ctx']['discriminator']}", ""
    elif first["type"] == "union_tag_invalid":
        message = f"{first['ctx']['discriminator']} should be one of {first['ctx']['expected_tags']}"
        found = f", found {first['ctx']['tag']!r}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}: {message}{found}{more}" if where else f"{message}{found}{more}"


def _keys(location: tuple[int | str, ...], content: Any, missing: bool) -> list[str]:
    """The keys of an error's location, without the tags that pydantic adds for unions."""
    keys: list[str] = []
    for key in location:
        inside = isinstance(content, dict) and key in content
        if inside or (isinstance(content, list) and isinstance(key, int) and key < len(content)):
            content = content[key]
            keys.append(str(key))
    return [*keys, str(location[-1])] if missing else keys
