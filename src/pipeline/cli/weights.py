"""The command `pipeline weights import`: published weights become a file without code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

weights = typer.Typer(no_args_is_help=True, help="Convert published weights.")


@weights.callback()
def _group() -> None:
    """Convert published weights."""


@weights.command("import")
def import_file(
    path: Annotated[Path, typer.Argument(help="I190000_E97_gen.pth, as ddpm-cd publishes it")],
    out: Annotated[Path, typer.Option(help="safetensors file to write, for `plrdiff: {checkpoint: ...}`")],
) -> None:
    """Convert the checkpoint of PLRDiff; nothing but tensors is read from it."""
    from pipeline.commands import import_weights

    typer.echo(import_weights.run(path, out))
