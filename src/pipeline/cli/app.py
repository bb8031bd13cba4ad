"""The command `pipeline`: a subcommand for each step of the workflow, and those that people call by hand.

Input that cannot be used ends with one line on stderr and exit code 2; an unforeseen error keeps its
traceback. Nothing is computed here.
"""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from threadpoolctl import threadpool_limits
from typer.core import TyperGroup

from pipeline.cli.datasets import datasets
from pipeline.cli.pairs import inspect, pair
from pipeline.cli.run import run
from pipeline.cli.steps import step_commands
from pipeline.cli.weights import weights
from pipeline.errors import InputError
from pipeline.runs.messages import Messages
from pipeline.settings.validation import explain


class Commands(TyperGroup):
    """All commands, whose errors that users can correct become one line on stderr."""

    def __init__(self, *, commands: dict[str, Any], **details: Any) -> None:
        super().__init__(commands={**step_commands(), **commands}, **details)

    def invoke(self, context: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(context)
        except InputError as error:
            message = str(error)
        except ValidationError as error:  # an argument that a model of the configuration refuses
            message = explain(error, {})
        except OSError as error:
            message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        typer.echo(f"pipeline {context.invoked_subcommand}: {' '.join(message.split())}", err=True)
        raise typer.Exit(2)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Hyperspectral-multispectral image fusion, step by step.",
)
app.add_typer(datasets, name="datasets")
app.add_typer(weights, name="weights")
app.command()(inspect)
app.command()(pair)
app.command()(run)


@app.command()
def summary(results: Path) -> None:
    """Print the metrics of a finished experiment and the report's path."""
    from pipeline.commands import summary

    typer.echo(summary.run(results))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="summary.csv, or the folder that holds it")],
    second: Annotated[Path, typer.Argument(help="the one to compare it with")],
    show: Annotated[int, typer.Option(min=1, help="differences to print at most")] = 10,
) -> None:
    """Compare two summaries, times and memory aside; exit status 1 if results differ."""
    from pipeline.commands import compare

    differences = compare.run(first, second)
    for line in differences[:show]:
        typer.echo(line)
    typer.echo(f"{len(differences)} differences" if differences else "the same results")
    if differences:
        raise typer.Exit(1)


@app.command()
def verify(
    stores: list[Path],
    keep: Annotated[
        bool, typer.Option("--keep", help="only report; leave the ledgers of damaged stores in place")
    ] = False,
) -> None:
    """Read stores again in full and name every damaged part; the next run of the workflow repairs it."""
    from pipeline.commands import verify

    checked, faults = verify.run(stores, withdraw=not keep)
    for fault in faults:
        typer.echo(fault)
    typer.echo(f"{checked} files read, {len(faults)} damaged")
    if faults:
        raise typer.Exit(1)


@app.command()
def status(experiment: Annotated[str, typer.Argument(help="name or file of an experiment")]) -> None:
    """Say what of an experiment is done, running or missing, and how long is left."""
    from pipeline.commands import status
    from pipeline.config.experiment import load_experiment
    from pipeline.runs.paths import experiment_folder
    from pipeline.runs.workflow_files import configuration_file

    configuration = load_experiment(configuration_file(experiment))
    typer.echo(status.run(configuration, experiment_folder(configuration.experiment)))


@app.command()
def check(config: Path) -> None:
    """Say in one line whether a configuration is valid and how many runs it holds."""
    from pipeline.config.experiment import load_experiment

    experiment = load_experiment(config)
    typer.echo(f"{config}: experiment {experiment.experiment}, {len(list(experiment.runs()))} runs")


@app.command()
def schema(out: Annotated[Path | None, typer.Option(help="file to write instead of stdout")] = None) -> None:
    """Print the JSON schema of a configuration."""
    from pipeline.config.experiment import json_schema

    if out is None:
        typer.echo(json_schema(), nl=False)
    else:
        out.write_text(json_schema())


def main() -> None:
    """Entry point of the console script; the package's own messages go to stderr."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger().handlers[0].setFormatter(Messages())
    logging.getLogger("pipeline").setLevel(logging.INFO)

    # a step's bytes must not depend on the machine's cores; jobs and blocks run side by side instead
    import_module("numpy")  # loads the BLAS that is limited
    with threadpool_limits(limits=1, user_api="blas"):
        app()
