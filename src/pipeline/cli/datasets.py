"""The commands `pipeline datasets list | info | fetch`: look into the catalogue and fetch from it by hand.

The rule `download` fetches what an experiment needs; `pipeline datasets fetch` does it beforehand.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.inputs.datasets.catalogue import Content, Image

datasets = typer.Typer(no_args_is_help=True, help="List, describe and fetch public scenes.")
Name = Annotated[str, typer.Argument(help="name in `pipeline datasets list`")]
Folder = Annotated[
    Path | None,
    typer.Option(help="folder with a sub-folder for each data set; default: $PIPELINE_DATA, or data"),
]


@datasets.command("list")
def list_all(folder: Folder = None) -> None:
    """List the data sets."""
    from rich.console import Console
    from rich.table import Table

    from pipeline.inputs.datasets import catalogue

    place = catalogue.data_folder(folder)
    headings = ("name", "size", "GSD", "images", "licence", "checksum", "here")
    table = Table(*headings, box=None, padding=(0, 1), pad_edge=False)
    for name in catalogue.names():
        entry, image = catalogue.dataset(name), catalogue.image(name)
        here = sum((place / name / each.file.path).is_file() for each in entry.images.values())
        checked = _checksum(image.file) or (entry.archive and _checksum(entry.archive))
        table.add_row(
            name,
            f"{image.bands}x{_size(image)}",
            _gsd(image),
            str(len(entry.images)),
            entry.licence.partition(";")[0],
            "yes" if checked else "-",
            str(here) if here else "no",
        )
    Console().print(table)


@datasets.command()
def info(name: Name, folder: Folder = None) -> None:
    """Describe a data set: its sensor, licence and citation, its addresses, and known pitfalls."""
    from pipeline.inputs.datasets import catalogue

    entry = catalogue.dataset(name)
    lines = [
        entry.title,
        f"sensor    {entry.sensor}",
        f"licence   {entry.licence}",
        f"citation  {entry.citation}",
        f"page      {entry.page}",
        f"checked   {entry.checked}",
        *(f"beware    {trap}" for trap in entry.traps),
    ]
    if entry.archive:
        lines += _addresses(entry.archive)
    for label, image in entry.images.items():
        wavelengths = image.wavelengths
        lines.append(
            f"image     {label}: {image.bands} bands, {_size(image)}, GSD {_gsd(image)}, {wavelengths}; "
            f"{_state(catalogue.data_folder(folder) / name, image)}"
        )
        for file in (image.file, *image.beside):
            lines += _addresses(file) if file.urls else []
    typer.echo("\n".join(lines))


@datasets.command()
def fetch(
    name: Name,
    image: Annotated[
        list[str] | None, typer.Option(help="image of the data set, may be repeated; default: all")
    ] = None,
    folder: Folder = None,
    accept_change: Annotated[
        bool, typer.Option("--accept-change", help="record the checksums anew, whatever was recorded before")
    ] = False,
) -> None:
    """Fetch the missing files of a data set, and verify all of them."""
    from pipeline.inputs.datasets import catalogue
    from pipeline.inputs.datasets.fetch import fetch_image
    from pipeline.runs.progress import ProgressReport

    place = catalogue.data_folder(folder)
    with ProgressReport() as progress:
        for label in image or catalogue.dataset(name).images:
            path = fetch_image(name, label, folder=place, accept_change=accept_change, progress=progress)
            typer.echo(path)


def _state(folder: Path, image: Image) -> str:
    path = folder / image.file.path
    missing = [file.path for file in (image.file, *image.beside) if not (folder / file.path).is_file()]
    if missing:
        return f"not here ({folder / missing[0]})"
    from pipeline.inputs.datasets.fetch import fault

    return f"here ({path}{', but it ' + wrong if (wrong := fault(path, image.file)) else ''})"


def _addresses(file: Content) -> list[str]:
    size = f", {file.bytes} bytes" if file.bytes else ""
    head = f"file      {file.path}{size}, {_checksum(file) or 'no published checksum'}"
    return [head, *(f"          {url}" for url in file.urls)]


def _checksum(file: Content) -> str | None:
    """Return kind and digits of the checksum that a file must have."""
    return next((f"{kind} {value}" for kind in ("sha256", "md5") if (value := getattr(file, kind))), None)


def _size(image: Image) -> str:
    return "x".join(map(str, image.size))


def _gsd(image: Image) -> str:
    return "-" if image.gsd is None else f"{image.gsd:g} m"
