"""The commands `pipeline inspect` and `pipeline pair`: from two files to an experiment.

Nothing of the workflow runs here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.keys import ROLES, in_options, pair_settings, role_of, source_settings, with_keys
from pipeline.errors import InputError

PATH = "file, folder of a product or pattern of tiles; file::variable where a file holds several arrays"
READING = "pipeline.inputs.file_scene"  # what it logs stands in the tables that are printed


def _inspect(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help=PATH)], keys: Mapping[str, str]
) -> None:
    """Describe image files and, of two (first the HSI), how their grids nest."""
    from pipeline.commands import inspect as files

    roles = ROLES if len(paths) == len(ROLES) else (None,) * len(paths)
    inspected = []
    with _options_in_messages(paths):
        for path, role in zip(paths, roles, strict=True):
            with _without_messages(READING):
                inspected.append(files.inspect(files.source_of(path, source_settings(keys, role))))
            _print(path, [(label, in_options(text, role)) for label, text in inspected[-1].lines()])
        if len(inspected) == len(ROLES):
            images = files.paired(inspected[0], inspected[1], pair_settings(keys))
            lines = files.pair_lines(images)
            _print("HSI on MSI", [(label, in_options(text, "msi")) for label, text in lines])


def _pair(
    hsi: Annotated[str, typer.Argument(help=PATH)],
    msi: Annotated[str, typer.Argument(help="the same of the sharp image")],
    out: Annotated[Path, typer.Option(help="experiment to write, such as config/my_pair.yaml")],
    keys: Mapping[str, str],
    name: Annotated[str | None, typer.Option(help="name of the scene; default: the experiment's")] = None,
    sensor: Annotated[
        str | None, typer.Option(help="multispectral sensor whose published bands give R, such as sentinel2a")
    ] = None,
    bands: Annotated[
        str | None,
        typer.Option(
            help="bands of the sensor in the order of the MSI's file, such as B2,B3,B4,B8; without a sensor, "
            "names of the MSI's bands to read"
        ),
    ] = None,
    estimate_offset: Annotated[
        bool, typer.Option("--estimate-offset", help="estimate an offset of each MSI band beside its gain")
    ] = False,
    products: Annotated[
        bool, typer.Option("--products/--no-products", help="export fused cubes as COG with a quality layer")
    ] = True,
) -> None:
    """Write the experiment of a real pair, after checking that both files can be read and overlap."""
    from pipeline.commands import new_pair as step

    names = [band.strip() for band in bands.split(",")] if bands else None
    with _options_in_messages([hsi, msi]), _without_messages(READING):
        images = [source_settings(keys, role) for role in ROLES]
        if names and sensor is None and "bands" not in images[1]:
            images[1]["bands"] = names
        request = step.Request(
            hsi=hsi,
            msi=msi,
            out=out,
            hsi_settings=images[0],
            msi_settings=images[1],
            pair_settings=pair_settings(keys),
            scene=name,
            sensor=sensor,
            bands=names if sensor else None,
            estimate_offset=estimate_offset,
            products=products,
        )
        lines = step.run(request)
    typer.echo(f"{out}: scene {name or out.stem}")
    for label, text, role in lines:
        typer.echo(f"  {label:10} {in_options(text, role)}")
    typer.echo(f"  next       pipeline check {out}")


inspect = with_keys(_inspect)
pair = with_keys(_pair)
inspect.__name__, pair.__name__ = "inspect", "pair"


@contextmanager
def _options_in_messages(paths: Sequence[str]) -> Iterator[None]:
    """Name options instead of keys in the messages of errors."""
    try:
        yield
    except InputError as error:
        raise InputError(in_options(str(error), role_of(str(error), paths))) from None


@contextmanager
def _without_messages(name: str) -> Iterator[None]:
    """Silence a module's messages below errors."""
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _print(title: str, lines: list[tuple[str, str]]) -> None:
    typer.echo("\n".join([title, *(f"  {label:12} {text}" for label, text in lines)]))
