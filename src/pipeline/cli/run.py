"""The command `pipeline run`: an experiment from its configuration to its report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

Configuration = Annotated[
    str, typer.Argument(help="path of a configuration, or name of a packaged configuration, such as demo")
]
Cores = Annotated[int | None, typer.Option(min=1, help="cores that the steps share; default: all")]
Directory = Annotated[
    Path, typer.Option(help="folder of results/ and logs/; relative paths in the configuration start here")
]
Options = Annotated[
    list[str] | None,
    typer.Argument(metavar="[-- SNAKEMAKE OPTIONS]", help="further options of Snakemake, after --"),
]


def run(
    configuration: Configuration,
    options: Options = None,
    cores: Cores = None,
    directory: Directory = Path(),
) -> None:
    """Run an experiment to its report and print its metrics; exit status 1 if a step failed."""
    from pipeline.commands import run, summary
    from pipeline.config.experiment import load_experiment
    from pipeline.runs.paths import experiment_folder
    from pipeline.runs.workflow_files import configuration_file

    path = configuration_file(configuration)
    experiment = load_experiment(path)
    done = run.run(experiment, path, cores or _all_cores(), directory, options or [])
    if not done:
        raise typer.Exit(1)
    results = experiment_folder(experiment.experiment)
    if not options and (directory / results.report).is_file():
        typer.echo(summary.run(directory / results.path))


def _all_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
