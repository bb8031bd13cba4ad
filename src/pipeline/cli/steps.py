"""The steps of the workflow as subcommands, made from the signatures and docstrings of their `run` functions.

Both are read as text. The module of a step is imported when the step runs: most need PyTorch or xarray, which
take longer to load than many a step takes.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from pydantic import BaseModel, RootModel
from typer.core import TyperCommand
from typer.main import get_command

from pipeline.errors import InputError
from pipeline.settings.validation import parse

PACKAGE = "pipeline.steps"
PANEL = "Steps of the workflow"

LITERAL: dict[str, tuple[Any, dict[str, Any]]] = {
    "Path": (Path, {}),
    "str": (str, {}),
    "bool": (bool, {}),
    "int": (int, {}),
    "Sequence[Path]": (list[Path], {}),
    "Path | None": (str | None, {"metavar": "PATH"}),
    "NonNegativeInt": (int, {"min": 0}),
    "PositiveInt": (int, {"min": 1}),
}
"""Types of parameters whose values are given as they are: the type for Typer, and details of the option."""


class StepCommand(TyperCommand):
    """A step whose options are read from its module when they are needed."""

    @cached_property
    def complete(self) -> TyperCommand:
        """The command with all its options."""
        assert self.name is not None
        app = typer.Typer(add_completion=False)
        app.command(self.name, help=self.help)(step_function(self.name))
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


def step_function(step: str) -> Callable[..., None]:
    """Return a function for Typer that calls the `run` of a step and prints the text that it returns.

    Parameters before the `*` of `run` are arguments, all others are options. Paths, texts and integers are
    given literally; an optional path may be left empty; other types are JSON text, checked by pydantic.

    Parameters
    ----------
    step : str
        Name of a module in `pipeline.steps` whose `run` has type hints and a docstring that describes each
        parameter.
    """

    def call(**values: Any) -> None:
        run = import_module(f"{PACKAGE}.{step}").run
        hints = get_type_hints(run, include_extras=True)
        result = run(**{name: _converted(name, value, hints[name]) for name, value in values.items()})
        if isinstance(result, str):
            typer.echo(result)

    parameters = list(_parameters(_definition_of_run(step)))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call


def _definition_of_run(step: str) -> ast.FunctionDef:
    """Parse the function `run` of a step."""
    module = ast.parse(files(PACKAGE).joinpath(f"{step}.py").read_text("utf-8"))
    return next(node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "run")


def _parameters(run: ast.FunctionDef) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a function as Typer understands them, in their order."""
    described, names = descriptions(ast.get_docstring(run) or ""), run.args
    needed = [inspect.Parameter.empty] * (len(names.args) - len(names.defaults))
    defaults = [*needed, *(list(ast.literal_eval(default)) for default in names.defaults)]
    for argument, given in zip(names.args, defaults, strict=True):
        yield _parameter(argument, described, typer.Argument, given)
    for argument, default in zip(names.kwonlyargs, names.kw_defaults, strict=True):
        value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        yield _parameter(argument, described, typer.Option, value)


def _parameter(
    argument: ast.arg, described: dict[str, str], kind: Callable[..., Any], default: Any
) -> inspect.Parameter:
    """Return a parameter for Typer: a `kind` of parameter of its type, with its description."""
    assert argument.annotation is not None
    hint = ast.unparse(argument.annotation)
    json_text = str | None if hint.endswith("| None") else str
    accepted, details = LITERAL.get(hint, (json_text, {"metavar": "JSON"}))
    annotation = Annotated[accepted, kind(help=described.get(argument.arg), **details)]  # type: ignore[valid-type]
    return inspect.Parameter(
        argument.arg, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _converted(name: str, value: Any, hint: Any) -> Any:
    """Return the argument of `run` that a value of the command line stands for."""
    if hint == Path | None:
        return Path(value) if value else None
    if not isinstance(value, str) or hint is str:  # Typer converted it, or it was left out
        return value
    return from_json(hint, value, f"--{name.replace('_', '-')}")


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
    except (ValueError, RecursionError) as error:
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
