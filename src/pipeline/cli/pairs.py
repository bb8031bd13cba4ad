"""The commands `pipeline inspect` and `pipeline pair`: from two files to an experiment.

Nothing of the workflow runs here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

PATH = "file, folder of a product or pattern of tiles; file::variable where a file holds several arrays"


def inspect(paths: Annotated[list[str], typer.Argument(metavar="PATH...", help=PATH)]) -> None:
    """Describe image files and, of two (first the HSI), how their grids nest."""
    from pipeline.commands import inspect as files

    inspected = []
    for path in paths:
        with _without_warnings("pipeline.inputs.file_scene"):  # the table names the bands that are left out
            inspected.append(files.inspect(files.source_of(path)))
        _print(path, inspected[-1].lines())
    if len(inspected) == 2:
        _print("HSI on MSI", files.pair_lines(files.paired(inspected[0], inspected[1])))


def pair(
    hsi: Annotated[str, typer.Argument(help=PATH)],
    msi: Annotated[str, typer.Argument(help="the same of the sharp image")],
    out: Annotated[Path, typer.Option(help="experiment to write, such as config/my_pair.yaml")],
    name: Annotated[str | None, typer.Option(help="name of the scene; default: the experiment's")] = None,
    scale_hsi: Annotated[
        float | None, typer.Option(help="number that divides the HSI's values; 10000 for reflectance x 10000")
    ] = None,
    scale_msi: Annotated[float | None, typer.Option(help="the same of the MSI")] = None,
    sensor: Annotated[
        str | None, typer.Option(help="multispectral sensor whose published bands give R, such as sentinel2a")
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="its bands in the order of the file, such as B2,B3,B4,B8")
    ] = None,
    ratio: Annotated[
        str | None, typer.Option(help="LR pixel size over HR pixel size, where the files do not give it")
    ] = None,
    products: Annotated[
        bool, typer.Option("--products/--no-products", help="export fused cubes as COG with a quality layer")
    ] = True,
) -> None:
    """Write the experiment of a real pair, after checking that both files can be read and overlap."""
    from pipeline.commands import new_pair as step

    request = step.Request(
        hsi=hsi,
        msi=msi,
        out=out,
        scene=name,
        scale_hsi=scale_hsi,
        scale_msi=scale_msi,
        sensor=sensor,
        bands=[band.strip() for band in bands.split(",")] if bands else None,
        ratio=ratio,
        products=products,
    )
    typer.echo(step.run(request))
    typer.echo(f"  next       pipeline check {out}")


@contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """Silence the warnings of a module."""
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _print(title: str, lines: list[tuple[str, str]]) -> None:
    typer.echo("\n".join([title, *(f"  {label:12} {text}" for label, text in lines)]))
