"""The command `pipeline`: parses arguments and calls steps, commands and data sets."""

from pipeline.cli.app import main

__all__ = ["main"]
