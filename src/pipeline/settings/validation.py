"""Validation of plain content as a typed model, with an error of a single line.

The line names the key, the value and what is accepted, and counts pydantic's other errors.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.errors import InputError

M = TypeVar("M", bound=BaseModel)
LONGEST_SHOWN = 200  # characters of a wrong value in a message


def parse(model: type[M], content: Any, origin: str) -> M:
    """Validate content as a model.

    Parameters
    ----------
    model : type
        The pydantic model.
    content : object
        Plain content, such as from YAML.
    origin : str
        Name of the content in errors, such as the path of its file.

    Raises
    ------
    InputError
        The content is not valid; the first error as a single line.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{origin}: {explain(error, content)}") from None


def explain(error: ValidationError, content: Any) -> str:
    """Return the first error of a validation as a line: key, what is wrong, and the value.

    Parameters
    ----------
    error : ValidationError
        The error.
    content : object
        The content that was validated.
    """
    errors = error.errors(include_url=False)
    places = [_keys(e["loc"], content, missing=e["type"] == "missing") for e in errors]
    # of a union whose alternatives all fail, the alternative that got furthest explains most
    inside = [i for i, place in enumerate(places) if place[: len(places[0])] == places[0]]
    furthest = max(inside, key=lambda i: len(places[i]))
    first, where = errors[furthest], ".".join(places[furthest])
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    value = f", found {_shown(first['input'])}"
    if first["type"] in ("missing", "value_error"):
        value = ""
    elif first["type"] == "union_tag_not_found":
        message, value = f"needs the key {first['ctx']['discriminator']}", ""
    elif first["type"] == "union_tag_invalid":
        message = f"{first['ctx']['discriminator']} should be one of {first['ctx']['expected_tags']}"
        value = f", found {first['ctx']['tag']!r}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{where}: {message}{value}{more}" if where else f"{message}{value}{more}"


def _shown(value: Any) -> str:
    """Return a value as JSON, or as Python shows it where JSON has no such keys; cut where it is long."""
    try:
        text = json.dumps(value, default=str)
    except TypeError:
        text = str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _keys(location: tuple[int | str, ...], content: Any, missing: bool) -> list[str]:
    """Return the keys of an error's location, without the tags that pydantic adds for unions."""
    keys: list[str] = []
    for key in location:
        inside = isinstance(content, dict) and key in content
        if inside or (isinstance(content, list) and isinstance(key, int) and key < len(content)):
            content = content[key]
            keys.append(str(key))
    return [*keys, str(location[-1])] if missing else keys
