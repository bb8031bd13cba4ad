"""The steps of the workflow as subcommands, made from the signatures and docstrings of their `run` functions.

The module of a step is imported when its command is called: several need PyTorch, which takes longer to load
than many a step takes. The list of all commands reads the first line of each module.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import typer
from pydantic import BaseModel, NonNegativeInt, PositiveInt, RootModel
from typer.core import TyperCommand
from typer.main import get_command

from pipeline.errors import InputError
from pipeline.settings.validation import parse

PACKAGE = "pipeline.steps"
PANEL = "Steps of the workflow"


class StepCommand(TyperCommand):
    """A step whose options are known once its module is imported."""

    @cached_property
    def complete(self) -> TyperCommand:
        """The command with all its options."""
        assert self.name is not None
        app = typer.Typer(add_completion=False)
        app.command(self.name, help=self.help)(step_function(import_module(f"{PACKAGE}.{self.name}").run))
        command = get_command(app)
        assert isinstance(command, TyperCommand)
        return command

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments of a call."""
        return self.complete.make_context(*arguments, **options)

    def get_params(self, context: Any) -> Any:
        """Return the step's options and arguments."""
        return self.complete.get_params(context)


def step_commands() -> dict[str, StepCommand]:
    """Return the commands of all steps by name, without importing a step."""
    texts = {path.name.removesuffix(".py"): path for path in files(PACKAGE).iterdir() if path.is_file()}
    return {
        name: StepCommand(
            name, help=_first_sentence(path.read_text("utf-8").partition("\n")[0]), rich_help_panel=PANEL
        )
        for name, path in sorted(texts.items())
        if not name.startswith("_")
    }


def _first_sentence(line: str) -> str:
    """Return the help of a step from the first line of its module.

    >>> _first_sentence('\"\"\"Step `fuse`: fuse the tiles of one batch.')
    'Fuse the tiles of one batch.'
    """
    text = line.strip().strip('"').partition(": ")[2]
    return text[:1].upper() + text[1:]


class Argument(NamedTuple):
    """A parameter of `run` on the command line.

    Attributes
    ----------
    parameter : inspect.Parameter
        The parameter as Typer understands it.
    convert : callable
        Converts the value of the command line to the argument of `run`.
    """

    parameter: inspect.Parameter
    convert: Callable[[Any], Any]


def step_function(run: Callable[..., Any]) -> Callable[..., None]:
    """Return a function for Typer that calls `run` and prints the text that it returns.

    Parameters before the `*` of `run` are arguments, all others are options. Paths, texts and integers are
    given literally; an optional path may be left empty; other types are JSON text, checked by pydantic.

    Parameters
    ----------
    run : callable
        Function of a step, with type hints and a description of each parameter in its docstring.
    """
    arguments = {argument.parameter.name: argument for argument in _arguments(run)}

    def call(**values: Any) -> None:
        result = run(**{name: arguments[name].convert(value) for name, value in values.items()})
        if isinstance(result, str):
            typer.echo(result)

    parameters = [argument.parameter for argument in arguments.values()]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _arguments(run: Callable[..., Any]) -> Iterator[Argument]:
    """Yield the parameters of a function for the command line, in their order."""
    hints, described = get_type_hints(run, include_extras=True), descriptions(run.__doc__ or "")
    for name, parameter in inspect.signature(run).parameters.items():
        kind, convert, more = _value(hints[name], f"--{name.replace('_', '-')}")
        keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        details: dict[str, Any] = {"help": described.get(name), **more}
        option = typer.Option(**details) if keyword else typer.Argument(**details)
        annotation = Annotated[kind, option]  # type: ignore[valid-type]
        yield Argument(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=annotation), convert)


def _value(hint: Any, option: str) -> tuple[Any, Callable[[Any], Any], dict[str, Any]]:
    """Return the type for Typer, the conversion of its values, and further details of the option."""
    if hint in (Path, str, bool, int):
        return hint, _unchanged, {}
    if hint == Sequence[Path]:
        return list[Path], _unchanged, {}
    if hint == Path | None:
        return str | None, lambda text: Path(text) if text else None, {"metavar": "PATH"}
    if hint == NonNegativeInt:
        return int, _unchanged, {"min": 0}
    if hint == PositiveInt:
        return int, _unchanged, {"min": 1}
    kind = str | None if NoneType in get_args(hint) else str
    return kind, lambda text: None if text is None else from_json(hint, text, option), {"metavar": "JSON"}


def _unchanged(value: Any) -> Any:
    return value


def from_json(kind: Any, text: str, option: str) -> Any:
    """Return a value of a type from JSON text.

    Parameters
    ----------
    kind : type
        Any type that pydantic can check.
    text : str
        The JSON text.
    option : str
        Name of the option, which begins the message of an error.

    Raises
    ------
    InputError
        The text is not JSON, or not of this type.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{option}: not valid JSON ({error}); give a JSON object") from None
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return parse(kind, content, option)
    return parse(RootModel[kind], content, option).root


def descriptions(docstring: str) -> dict[str, str]:
    """Return the description of each parameter of a NumPy-style docstring.

    Parameters
    ----------
    docstring : str
        The docstring of a function.
    """
    _, _, section = inspect.cleandoc(docstring).partition("Parameters\n----------\n")
    section = re.split(r"\n\n\w+\n-+\n", section)[0]
    entries = re.findall(r"^(\w+) : [^\n]*\n((?: +[^\n]*\n?|\n)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
