"""Band centres, widths, names and flags from the metadata of a raster.

They stand wherever a format or program keeps them: ENVI header lists, tags of bands (of any spelling and
case), GDAL's `IMAGERY` tags, tags of the file, or the bands' descriptions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.inputs.formats.wavelengths import (
    Centres,
    Spelled,
    centres_nm,
    described,
    listed,
    name_of,
    numbers_wavelengths,
    spelled,
    unit_of,
    widths_nm,
)

Vector = NDArray[np.float64]
Tags = dict[str, str]

CENTRES = (
    "wavelength",
    "wavelengths",
    "center_wavelength",
    "centre_wavelength",
    "central_wavelength",
    "centerwavelength",
    "centralwavelength",
    "wavelength_center",
    "wavelengthcenterofband",
)
WIDTHS = ("fwhm", "bandwidth", "band_width", "full_width_half_maximum", "fwhmofband", "wavelengthwidthofband")
UNIT_TAGS = ("wavelength_units", "wavelength_unit", "wavelengthunits", "wavelength units")
SUFFIXES = {"_nm": "nm", "_um": "um", "_micrometers": "um", "_nanometers": "nm"}
GOOD = {"1", "1.0", "true", "good", "yes", "t", "y"}
BAD = {"0", "0.0", "false", "bad", "no", "f", "n"}


@dataclass(frozen=True)
class RasterTags:
    """Metadata of a raster's bands.

    Attributes
    ----------
    path : Path
        The file, for messages.
    header : dict
        Entries of an ENVI header.
    bands : list of dict
        Tags of each band.
    file : dict
        Tags of the file.
    descriptions : sequence of str
        Descriptions of the bands, empty where a band has none.
    """

    path: Path
    header: Tags
    bands: list[Tags]
    file: Tags
    descriptions: Sequence[str]

    def lowered(self) -> RasterTags:
        """Return the same tags with keys in lower case."""
        header, file, *bands = (
            {key.lower(): text for key, text in tags.items()}
            for tags in (self.header, self.file, *self.bands)
        )
        return RasterTags(self.path, header, bands, file, self.descriptions)


@dataclass(frozen=True)
class DescribedBands:
    """What a raster says of its bands.

    Attributes
    ----------
    wavelength, fwhm : (C,) float64 or None
        Centres and widths in nm.
    bad : tuple of int
        0-based numbers of the bands that are declared bad.
    names : tuple of str or None
        Different names of all bands.
    assumed : tuple of str
        What was guessed, a sentence each.
    repeats : int
        How often the names of the bands repeat.
    """

    wavelength: Vector | None
    fwhm: Vector | None
    bad: tuple[int, ...]
    names: tuple[str, ...] | None
    assumed: tuple[str, ...]
    repeats: int = 1


def described_bands(tags: RasterTags, configured: Collection[str] = ()) -> DescribedBands:
    """Return the bands as the metadata describe them.

    Parameters
    ----------
    tags : RasterTags
        The metadata.
    configured : collection of str
        Keys of the source, `wavelengths` and `fwhm`, that the configuration gives: they are not read.

    Raises
    ------
    InputError
        A text is no number, or a unit is not known.
    """
    tags = tags.lowered()
    assumed: list[str] = []
    centres = None if "wavelengths" in configured else _centres(tags, assumed)
    fwhm = None if "fwhm" in configured or centres is None else _widths(tags, centres, assumed)
    names = tuple(name_of(text) for text in tags.descriptions)
    return DescribedBands(
        wavelength=None if centres is None else centres.nm,
        fwhm=fwhm,
        bad=_bad_bands(tags),
        names=names if all(names) and len(set(names)) == len(names) else None,
        assumed=tuple(assumed),
        repeats=_repeats(names),
    )


def _repeats(names: Sequence[str]) -> int:
    """Return how often each name is there, 1 where that differs or there is but one name."""
    counts = {names.count(name) for name in names}
    return counts.pop() if len(counts) == 1 and all(names) and len(set(names)) > 1 else 1


def _centres(tags: RasterTags, assumed: list[str]) -> Centres | None:
    """Return the centres, from the first place that has them."""
    unit_text = _first([tags.header, *tags.bands[:1], tags.file], UNIT_TAGS) or ""
    if numbers_wavelengths(unit_text):
        assumed.append(f"wavelengths in units of {unit_text!r} only number the bands: none is known")
        return None
    numbers = _numbers(tags, CENTRES, "wavelength", "wavelengths", unit_text)
    if numbers is None:
        numbers = described(list(tags.descriptions))
        if numbers is None:
            return None
        assumed.append("wavelengths are read from the descriptions of the bands")
    missing = np.flatnonzero(~np.isfinite(numbers.values))
    if missing.size == numbers.values.size:
        return None
    spectral = np.setdiff1d(missing, _bad_bands(tags))
    if spectral.size:
        listing = ", ".join(map(str, spectral[:8] + 1))
        assumed.append(f"bands {listing} (from 1) have no wavelength in the file, so that none is used")
        return None
    try:
        centres = centres_nm(numbers)
    except InputError as error:
        raise InputError(f"{tags.path}: {error}") from None
    if centres.guess:
        assumed.append(centres.guess)
    return centres


def _widths(tags: RasterTags, centres: Centres, assumed: list[str]) -> Vector | None:
    numbers = _numbers(tags, WIDTHS, "fwhm", "fwhm", "")
    if numbers is None:
        return None
    nm = widths_nm(numbers, centres.nm, centres.unit)
    usable = np.setdiff1d(np.arange(nm.size), _bad_bands(tags))
    if not (np.isfinite(nm[usable]) & (nm[usable] > 0)).all():
        assumed.append("the file has no width of some bands, so that none is used")
        return None
    return nm


def _numbers(tags: RasterTags, names: Sequence[str], quantity: str, key: str, unit: str) -> Spelled | None:
    """Return the numbers of a quantity from header, bands or file, or None where no place has any."""
    count = len(tags.bands)
    try:
        default = unit_of(unit)
        for place in (tags.header, tags.file):
            text, own = _named(place, names)
            if text is not None:
                entries = listed(text, count)
                if len(entries) == count:
                    return spelled(entries, own or default)
                if place is tags.header:
                    raise InputError(f"{text[:60]!r} has {len(entries)} entries for {count} bands")
        of_bands = [_of_band(_named(band, names), i, count) for i, band in enumerate(tags.bands)]
        if any(entry for entry, _ in of_bands):
            own = next((own for _, own in of_bands if own), None)
            return spelled([entry for entry, _ in of_bands], own or default)
    except InputError as error:
        raise InputError(
            f"{tags.path}: {quantity}: {error}; correct the file's metadata, or give `{key}` in nm"
        ) from None
    return None


def _named(tags: Tags, names: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the text of the first of some tags, and the unit that the tag's name ends in."""
    for name in names:
        if name in tags:
            return tags[name], None
        for suffix, unit in SUFFIXES.items():
            if name + suffix in tags:
                return tags[name + suffix], unit
    return None, None


def _of_band(tag: tuple[str | None, str | None], band: int, count: int) -> tuple[str, str | None]:
    """Return a band's entry of its tag, which may hold the list of all bands."""
    text, unit = tag
    if text is None:
        return "", unit
    entries = listed(text, count)
    return (entries[band] if len(entries) == count > 1 else text), unit


def _first(places: Sequence[Tags], names: Sequence[str]) -> str | None:
    return next((tags[name] for tags in places for name in names if tags.get(name)), None)


def _bad_bands(tags: RasterTags) -> tuple[int, ...]:
    """Return the bands that `bbl` declares bad."""
    count = len(tags.bands)
    if "bbl" in tags.header:
        texts = listed(tags.header["bbl"], count)
    else:
        texts = [_of_band((band.get("bbl"), None), i, count)[0] for i, band in enumerate(tags.bands)]
    words = [text.strip().lower() for text in texts]
    for band, word in enumerate(words, 1):
        if word and word not in GOOD | BAD:
            raise InputError(
                f"{tags.path}: bbl: {word[:60]!r} of band {band} is neither 1 nor 0; correct the file's "
                "metadata"
            )
    return tuple(band for band, word in enumerate(words) if word in BAD)
