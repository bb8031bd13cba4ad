"""`pipeline run`: the workflow from a configuration to its report, without a clone.

Snakemake runs in this process, with the Snakefile that comes with the package, and prints a line for each
step. Its full log is in `.snakemake/log/` of the working directory.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr
from io import StringIO
from pathlib import Path
from types import ModuleType

from pipeline.config.experiment import Experiment
from pipeline.errors import InputError
from pipeline.runs.remaining import Remaining
from pipeline.runs.workflow_files import workflow_folder

LOGGER = "pipeline"


def run(
    experiment: Experiment, configuration: Path, cores: int, directory: Path, options: Sequence[str] = ()
) -> bool:
    """Run the workflow and return whether all of its jobs succeeded.

    Parameters
    ----------
    experiment : Experiment
        The configuration's content.
    configuration : Path
        The configuration.
    cores : int
        Number of cores that jobs share.
    directory : Path
        Working folder: results go here, and relative paths in the configuration start here.
    options : sequence of str
        Further arguments of Snakemake: options and targets.

    Raises
    ------
    InputError
        If Snakemake does not know an option.
    """
    _find_own_command()
    # else the root logger would print every line again
    logging.getLogger("snakemake.logging").propagate = False
    arguments = [
        *("--snakefile", str(workflow_folder() / "Snakefile")),
        *("--configfile", str(configuration.resolve())),
        *("--cores", str(cores)),
        *("--logger", LOGGER),
        *options,
    ]
    directory.mkdir(parents=True, exist_ok=True)
    with chdir(directory):
        _register(Remaining(experiment, cores))
        return _snakemake(arguments)


def _snakemake(arguments: Sequence[str]) -> bool:
    """Call Snakemake as its own command does, and return whether it succeeded."""
    from snakemake import cli
    from snakemake.exceptions import print_exception

    messages = StringIO()
    try:
        # Snakemake names its profile here, which would only confuse a newcomer
        with redirect_stderr(messages):
            parser, parsed = cli.parse_args(arguments)
    except SystemExit as end:
        if end.code:
            last = messages.getvalue().strip().splitlines()[-1]
            raise InputError(f"options of Snakemake: {last}") from None
        raise
    try:
        return bool(cli.args_to_api(parsed, parser))
    except Exception as error:
        print_exception(error)
        return False


def _register(estimate: Remaining) -> None:
    """Make the lines of `StepLines` known to Snakemake as a logger plugin."""
    from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

    from pipeline.runs.step_lines import StepLines

    class LogHandler(StepLines):
        remaining = estimate

    plugin = ModuleType(f"snakemake_logger_plugin_{LOGGER}")
    plugin.LogHandler = LogHandler  # type: ignore[attr-defined]
    LoggerPluginRegistry().register_plugin(plugin.__name__, plugin)


def _find_own_command() -> None:
    """Let jobs find the command `pipeline` of this interpreter, also where its folder is not in `PATH`."""
    folder = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", os.defpath)])
