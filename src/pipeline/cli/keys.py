"""Options of `inspect` and `pair` for every key of a source and of a pair, made from the configuration.

A key `bad_bands` is the option `--bad-bands`. It holds for all images of a call; `--bad-bands-hsi` and
`--bad-bands-msi` hold for the first or the second alone. Messages that name a key name its option instead.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from pipeline.config.scenes import FileSource, Pair
from pipeline.errors import InputError
from pipeline.settings.validation import parse

SOURCE_KEYS = tuple(key for key in FileSource.model_fields if key not in ("kind", "path"))
PAIR_KEYS = tuple(key for key in Pair.model_fields if key not in ("hsi", "msi"))
ROLES = ("hsi", "msi")
PANELS = {
    None: "Keys of an image",
    "hsi": "Keys of the first image alone",
    "msi": "Keys of the second image alone",
}
OWN = ("ratio",)  # keys of a pair whose text is no YAML

LISTS = ("bands", "drop_bands")
NUMBERS = ("scale", "offset")
MENTION = re.compile(r"`([\w.]+)(?:: ([^`]*))?`")


def with_keys(command: Callable[..., None], taken: Sequence[str] = ()) -> Callable[..., None]:
    """Return a command for Typer that takes all keys of sources and pairs as options, too.

    Parameters
    ----------
    command : callable
        Takes `keys`, a mapping of parameter to text, beside its own parameters.
    taken : sequence of str
        Parameters of its own that are keys of a source as well.
    """

    def call(**values: Any) -> None:
        keys = {name: values.pop(name) for name in names}
        command(**values, keys={name: text for name, text in keys.items() if text is not None})

    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "keys"]
    options = [option for option in _options() if option.name not in {*taken, *(p.name for p in own)}]
    names = [option.name for option in options]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *options)]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    return call


def _options() -> list[inspect.Parameter]:
    """Return the parameters of all keys."""
    options = [
        _option(
            key if role is None else f"{key}_{role}",
            _help(FileSource, key) if role is None else f"as --{key.replace('_', '-')}, of this image alone",
            panel,
        )
        for role, panel in PANELS.items()
        for key in SOURCE_KEYS
    ]
    return options + [_option(key, _help(Pair, key), "Keys of a pair") for key in PAIR_KEYS]


def _help(model: Any, key: str) -> str:
    return " ".join((model.model_fields[key].description or "").split())


def _option(name: str, text: str, panel: str) -> inspect.Parameter:
    option = typer.Option(f"--{name.replace('_', '-')}", help=text, rich_help_panel=panel, metavar="VALUE")
    annotation = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def source_settings(keys: Mapping[str, str], role: str | None) -> dict[str, Any]:
    """Return the keys of one image: those of all images, and those of its role alone.

    Parameters
    ----------
    keys : mapping
        Text of each option that was given.
    role : str or None
        `hsi`, `msi`, or None for any other image.

    Raises
    ------
    InputError
        A text is no value of its key.
    """
    settings = {}
    for key in SOURCE_KEYS:
        for name in (f"{key}_{role}", key):
            if name in keys:
                option = f"--{name.replace('_', '-')}"
                settings[key] = _value(key, keys[name], option)
                parse(FileSource, {"kind": "file", "path": "image", key: settings[key]}, option)
                break
    return settings


def pair_settings(keys: Mapping[str, str]) -> dict[str, Any]:
    """Return the keys of the pair.

    Parameters
    ----------
    keys : mapping
        Text of each option that was given; `spectral` may be the path of a table.

    Raises
    ------
    InputError
        A text is no YAML.
    """
    settings: dict[str, Any] = {}
    for key in PAIR_KEYS:
        text = keys.get(key)
        if text is None:
            continue
        if key in OWN:
            settings[key] = text
        elif key == "reference":
            path, _, variable = text.partition("::")
            settings[key] = {"kind": "file", "path": path} | ({"variable": variable} if variable else {})
        elif key == "spectral" and text.lower().endswith(".csv"):
            settings[key] = {"kind": "table", "path": text}
        else:
            settings[key] = _mapping(text, f"--{key}")
    return settings


def _mapping(text: str, option: str) -> Any:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        content = None
    if not isinstance(content, dict):
        raise InputError(
            f"{option}: {text!r} is no mapping; write it as in the configuration, such as {{key: value}}"
        )
    return content


def _value(key: str, text: str, option: str) -> Any:
    """Return the value of a source's key from its text."""
    try:
        return _parsed(key, text.strip())
    except ValueError:
        raise InputError(f"{option}: {text!r} is no value of this option; see --help") from None


def _parsed(key: str, text: str) -> Any:
    parts = [part.strip() for part in text.strip("[](){}").split(",") if part.strip()]
    if key in NUMBERS:
        return float(text)
    if key in LISTS:
        return parts
    if key == "bad_bands":
        return [band for part in parts for band in _range(part)]
    if key == "shape":
        return [int(part) for part in re.split(r"[x,\s]+", text.strip("[]() "))]
    if key == "nodata":
        numbers = [float(part.removeprefix(".")) if part[1:].isalpha() else float(part) for part in parts]
        return numbers[0] if len(numbers) == 1 else numbers
    if key in ("wavelengths", "fwhm"):
        with suppress(ValueError):
            numbers = [float(part) for part in parts]
            return numbers[0] if key == "fwhm" and len(numbers) == 1 else numbers
    return text


def _range(part: str) -> range:
    """Return the numbers of `7` or `7-9`."""
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def role_of(message: str, paths: Sequence[str]) -> str | None:
    """Return which of two images a message begins with, or None.

    Parameters
    ----------
    message : str
        The message.
    paths : sequence of str
        The images of the call, the HSI first.
    """
    begins = [message.startswith(str(Path(path.partition("::")[0]))) for path in paths]
    return ROLES[begins.index(True)] if len(paths) == len(ROLES) and sum(begins) == 1 else None


def in_options(message: str, role: str | None) -> str:
    """Return a message that names options where it named keys of the configuration.

    Parameters
    ----------
    message : str
        The message.
    role : str or None
        The image that it speaks of, `hsi` or `msi`, where a call has both.
    """

    def option(match: re.Match[str]) -> str:
        key, value = match.groups()
        if key in ("offset", "estimation.offset") and value == "true":
            return "--estimate-offset"
        whole, _, part = key.partition(".")
        if key == "spectral.bands":
            return "--bands"
        if part and whole in PAIR_KEYS:
            return f"--{whole}" if value is None else f'--{whole} "{{{part}: {value}}}"'
        if key not in SOURCE_KEYS + PAIR_KEYS:
            return match[0]
        name = f"--{key.replace('_', '-')}" + (f"-{role}" if role and key in SOURCE_KEYS else "")
        return name if value is None else f"{name} {_as_argument(value)}"

    return MENTION.sub(option, message)


def _as_argument(value: str) -> str:
    """Return a value of the configuration as an argument: `[a, b]` as `a,b`, `.nan` as `nan`."""
    inner = re.sub(r",\s+", ",", value.strip("[]")) if not value.startswith("{") else value
    inner = inner.removeprefix(".") if inner in (".nan", ".inf") else inner
    return f'"{inner}"' if " " in inner else inner
