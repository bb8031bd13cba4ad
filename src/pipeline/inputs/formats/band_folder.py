"""Files of one band each on one grid, stacked to an image: a folder of GeoTIFFs that is no known product.

Names of the bands are what differs between the names of the files. Nothing is resampled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.inputs.formats.image import SingleBands, StoredImage, of_all
from pipeline.inputs.formats.wavelengths import centres_nm, described

DATE = re.compile(r"(?<!\d)(?:19|20)\d\d[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])(?!\d)")


def is_stack(images: Sequence[StoredImage]) -> bool:
    """Return whether images are of one band each and cover the same pixels."""
    first = images[0]
    return all(
        image.shape == (1, *first.shape[1:])
        and image.crs == first.crs
        and (image.transform is None) == (first.transform is None)
        and np.allclose(image.transform or 0, first.transform or 0, rtol=1e-9)
        for image in images
    )


def stacked_files(paths: Sequence[Path], images: Sequence[StoredImage]) -> StoredImage:
    """Stack images of one band each, in the order in which they are given.

    Parameters
    ----------
    paths : sequence of Path
        Their files.
    images : sequence of StoredImage
        The images.

    Raises
    ------
    InputError
        The names of the files hold several dates.
    """
    folder = paths[0].parent
    dates = sorted({date for path in paths for date in DATE.findall(path.stem)[:1]})
    if len(dates) > 1:
        raise InputError(
            f"{folder}: its files are of {len(dates)} dates, {', '.join(dates[:3])}; an image has one: give "
            "a pattern "
            f"of one date, such as {folder / f'*{dates[0]}*{paths[0].suffix}'}"
        )
    names = differing([path.stem for path in paths])
    first = images[0]
    nm = of_all([image.wavelength for image in images])
    if nm is None and (numbers := described(names)) is not None and numbers.unit is not None:
        nm = centres_nm(numbers).nm
    assumed = dict.fromkeys(text for image in images for text in image.assumed)
    units = {image.units for image in images}
    return replace(
        first,
        name=str(folder),
        shape=(len(images), *first.shape[1:]),
        pixels=SingleBands(images),
        wavelength=nm,
        fwhm=of_all([image.fwhm for image in images]),
        band_names=tuple(names),
        bad_bands=tuple(band for band, image in enumerate(images) if image.bad_bands),
        units=units.pop() if len(units) == 1 else None,
        gain=None,
        offset=None,
        nodata=(),
        declares_nodata=all(image.declares_nodata for image in images),
        assumed=(*assumed, f"{len(images)} files of one band each on one grid are its bands"),
    )


def differing(stems: Sequence[str]) -> list[str]:
    """Return the part of each name in which it differs from the others.

    >>> differing(["scene_B02_10m", "scene_B03_10m"])
    ['B02', 'B03']
    """
    words = [re.split(r"[_\-. ]+", stem) for stem in stems]
    if len({len(parts) for parts in words}) > 1:
        return list(stems)
    common = [i for i, parts in enumerate(zip(*words, strict=True)) if len(set(parts)) == 1]
    names = ["_".join(part for i, part in enumerate(parts) if i not in common) for parts in words]
    return names if all(names) else list(stems)
