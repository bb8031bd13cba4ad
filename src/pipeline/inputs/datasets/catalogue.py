"""The catalogue of public scenes: titles, licences, addresses, checksums and how each is read.

One YAML file for each data set; the facts come from the publishers and from public code, named in
each entry. `pipeline.inputs.datasets.fetch` fetches what an entry describes.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

from pipeline.config.scenes import DATASETS, DatasetSource, FileSource
from pipeline.errors import InputError
from pipeline.inputs.datasets.models import Content, Dataset, File, Image
from pipeline.settings.validation import parse

__all__ = ["Content", "Dataset", "File", "Image", "data_folder", "dataset", "file_source", "image", "names"]


def names() -> tuple[str, ...]:
    """Return names of all data sets."""
    return DATASETS


@cache
def dataset(name: str) -> Dataset:
    """Return the entry of a data set.

    Parameters
    ----------
    name : str
        Name of the data set.

    Raises
    ------
    InputError
        The catalogue has no such entry.
    """
    if name not in names():
        raise InputError(f"{name}: no such data set; the catalogue has {', '.join(names())}")
    entry = files("pipeline").joinpath("config/datasets", f"{name}.yaml")
    return parse(Dataset, yaml.safe_load(entry.read_text()), f"{name}.yaml")


def image(name: str, which: str | None = None) -> Image:
    """Return an image of a data set.

    Parameters
    ----------
    name : str
        Name of the data set.
    which : str, optional
        Name of the image; by default the first.

    Raises
    ------
    InputError
        The data set has no such image.
    """
    images = dataset(name).images
    if which is None:
        return next(iter(images.values()))
    if which not in images:
        raise InputError(f"{name}: has no image {which!r}; it has {', '.join(images)}")
    return images[which]


def data_folder(given: str | Path | None = None) -> Path:
    """Return the folder with a sub-folder for each data set.

    Parameters
    ----------
    given : str or Path, optional
        The folder; by default `$PIPELINE_DATA`, or `data`.
    """
    return Path(given or os.environ.get("PIPELINE_DATA") or "data")


def file_source(source: DatasetSource) -> FileSource:
    """Return the files of an image of the catalogue and their reading; nothing is fetched."""
    entry = image(source.name, source.image)
    path = data_folder(source.folder) / source.name / (entry.tiles or entry.file.path)
    return FileSource.model_validate({"kind": "file", "path": str(path), **entry.reading})
