"""Wavelengths and widths as files spell them: numbers with or without unit, decimal commas, lists.

Lengths, frequencies, wavenumbers and energies become nm. A unit that is not known is refused, a missing one
is guessed from the values, and what lies outside `SHORTEST` to `LONGEST` is no wavelength of an image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

Vector = NDArray[np.float64]

SHORTEST, LONGEST = 100.0, 20_000.0  # nm
RANGE = "100 nm to 20 µm"
LIGHT = 299_792_458.0  # m/s
ELECTRONVOLT = 1239.841984  # nm times eV

LENGTHS = {"nm": 1.0, "um": 1e3, "angstrom": 0.1, "mm": 1e6, "cm": 1e7, "m": 1e9}
RECIPROCALS = {
    "hz": LIGHT * 1e9,
    "mhz": LIGHT * 1e3,
    "ghz": LIGHT,
    "thz": LIGHT / 1e3,
    "cm-1": 1e7,
    "m-1": 1e9,
    "ev": ELECTRONVOLT,
}
"""Numbers that, divided by a frequency, wavenumber or energy, give nm."""

SPELLINGS = {
    "nm": ("nanometer", "nanometre", "nanomètre", "nanometro", "nanómetro"),
    "um": ("micrometer", "micrometre", "micromètre", "micron", "microm", "mum", "mkm"),
    "angstrom": ("å", "a", "ang", "ångström", "angström", "ångstrom"),
    "mm": ("millimeter", "millimetre"),
    "cm": ("centimeter", "centimetre"),
    "m": ("meter", "metre"),
    "hz": ("hertz",),
    "mhz": ("megahertz",),
    "ghz": ("gigahertz",),
    "thz": ("terahertz",),
    "cm-1": ("1/cm", "cm^-1", "cm**-1", "wavenumber", "kayser", "percm"),
    "m-1": ("1/m", "m^-1", "m**-1"),
    "ev": ("electronvolt",),
}
UNITS = {spelling: unit for unit, others in SPELLINGS.items() for spelling in (unit, *others)}
UNSTATED = {"", "unknown", "none", "undefined", "notspecified", "n/a", "na", "-", "null"}
NO_WAVELENGTHS = {"index", "1", "unitless", "dimensionless", "bandnumber"}
MISSING = {"", "n/a", "na", "nan", "none", "null", "unknown", "-", "--", "?"}

NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"
ITEM = re.compile(rf"({NUMBER})\s*(.*)", re.DOTALL)
BARE = re.compile(NUMBER)
WITH_UNIT = re.compile(rf"(?<![\w.,])({NUMBER})\s*\[?\(?([^\W\d_]+(?:\^?-1|⁻¹)?|1/cm)(?!\w)")
IN_BRACKETS = re.compile(rf"[(\[{{]\s*({NUMBER})\s*[)\]}}]\s*$")


@dataclass(frozen=True)
class Spelled:
    """Numbers of a file, one for each band.

    Attributes
    ----------
    values : (C,) float64
        The numbers, NaN where the file has none.
    unit : str or None
        A key of `LENGTHS` or `RECIPROCALS`; None where the numbers stand without a unit.
    """

    values: Vector
    unit: str | None = None

    @property
    def complete(self) -> bool:
        """Whether each band has a number."""
        return bool(np.isfinite(self.values).all())


def unit_of(text: str) -> str | None:
    """Return the unit that a text names, or None for a text that leaves it open.

    Raises
    ------
    InputError
        The unit is not known. The message lacks the file's name.
    """
    word = text.strip().strip("[]().{}").replace(" ", "").replace("μ", "u").replace("µ", "u")
    word = word.replace("⁻¹", "-1").replace("\u2212", "-").lower()
    if word in UNSTATED:
        return None
    for candidate in (word, word.removesuffix("s")):
        if candidate in UNITS:
            return UNITS[candidate]
    raise InputError(
        f"{text.strip()!r} is no unit of wavelengths that is known; those are "
        "nm, µm, Angstrom, mm, m, GHz, THz, cm-1, eV"
    )


def numbers_wavelengths(text: str) -> bool:
    """Return whether a unit says that the numbers are no wavelengths, such as ENVI's `Index`."""
    return text.strip().replace(" ", "").lower() in NO_WAVELENGTHS


def as_number(text: str) -> float:
    """Return a number, whose decimal sign may be a comma; NaN for words that say there is none.

    Raises
    ------
    ValueError
        The text is another.
    """
    text = text.strip().strip("\"'").strip()
    return float("nan") if text.lower() in MISSING else float(text.replace(",", "."))


def listed(text: str, count: int) -> list[str]:
    """Split the text of a list into its entries.

    Entries are separated by semicolons, commas or blanks; a comma between two digits is a decimal sign where
    only this gives `count` entries, or where the text has no brackets.

    Parameters
    ----------
    text : str
        The list, which may stand in brackets.
    count : int
        Expected number of entries.
    """
    inner = text.strip().strip("{}[]()").strip()
    bare = inner == text.strip()
    splits = [re.split(r"\s*;\s*", inner), re.split(r"\s*,\s*", inner), re.split(r",\s+|;\s*", inner)]
    splits.append(inner.split())
    if bare and re.fullmatch(r"\d+,\d+\D*", inner):
        return [inner]
    for entries in splits:
        kept = [entry for entry in entries if entry]
        if len(kept) == count and count > 1:
            return kept
    return [entry for entry in splits[1] if entry] if "," in inner or ";" in inner else [inner]


def spelled(texts: list[str], unit: str | None = None) -> Spelled:
    """Return the numbers of one text for each band, each of which may carry its unit.

    Parameters
    ----------
    texts : list of str
        The texts; an empty one and words such as `n/a` give NaN.
    unit : str, optional
        Unit of numbers that carry none.

    Raises
    ------
    InputError
        A text is no number, or units differ between bands. The message lacks the file's name.
    """
    values: list[float] = []
    units: set[str | None] = set()
    for band, text in enumerate(texts, 1):
        item = ITEM.fullmatch(_unquoted(text))
        if _unquoted(text).lower() in MISSING:
            values.append(float("nan"))
            continue
        try:
            if item is None:
                raise InputError("no number")
            values.append(as_number(item[1]))
            units.add(unit_of(item[2]) or unit)
        except InputError as error:
            reason = "" if item is None else f": {error}"
            raise InputError(f"{text[:60]!r} of band {band} is no number with a known unit{reason}") from None
    if len(units) == 2 and None in units and unit_of(_after_number(texts[-1])):
        units -= {None}  # the unit stands at the end of the list
    if len(units) > 1:
        names = " and ".join(sorted(name or "no unit" for name in units))
        raise InputError(f"its bands have different units, {names}")
    return Spelled(np.array(values), units.pop() if units else unit)


def _after_number(text: str) -> str:
    item = ITEM.fullmatch(_unquoted(text))
    return item[2] if item else ""


def _unquoted(text: str) -> str:
    """Return a text without quotes, brackets and blanks around it."""
    return text.strip().strip("\"'{}[]()").strip()


def described(descriptions: list[str]) -> Spelled | None:
    """Return the wavelengths in the descriptions of bands, or None where not all of them have one.

    >>> described(["B02 (492 nm)", "B03 (560 nm)"]).values.tolist()
    [492.0, 560.0]
    >>> described(["Band 1 (402.1)", "Band 2 (412.7)"]).values.tolist()
    [402.1, 412.7]
    """
    matches = [_with_unit(text) for text in descriptions]
    if descriptions and all(matches):
        units = {unit for match in matches if match for unit in [match[1]]}
        values = [match[0] for match in matches if match]
        return Spelled(np.array(values), units.pop()) if len(units) == 1 else None
    brackets = [IN_BRACKETS.search(text) for text in descriptions]
    bare = [BARE.fullmatch(text.strip()) for text in descriptions]
    for candidates in (brackets, bare):
        texts = [match[match.lastindex or 0] for match in candidates if match]
        numbers = np.array([as_number(text) for text in texts])
        if len(texts) == len(descriptions) and len(texts) and _looks_spectral(texts, numbers):
            return Spelled(numbers)
    return None


def name_of(description: str) -> str:
    """Return a band's description without its wavelength.

    >>> name_of("B02 (492 nm)"), name_of("NIR"), name_of("408.5 nm")
    ('B02', 'NIR', '')
    """
    match = _with_unit(description)
    text = description if match is None else description[: match[2]]
    text = IN_BRACKETS.sub("", text)
    return "" if BARE.fullmatch(text.strip()) else text.strip(" ([{:,;-@_")


def _with_unit(text: str) -> tuple[float, str, int] | None:
    """Return the first number with a known unit in a text, its unit, and where it begins."""
    for match in WITH_UNIT.finditer(text):
        try:
            unit = unit_of(match[2])
        except InputError:
            continue
        if unit is not None and not (unit == "angstrom" and match[2].lower() == "a") and unit != "m":
            return as_number(match[1]), unit, match.start()
    return None


def _looks_spectral(texts: list[str], values: Vector) -> bool:
    """Return whether bare numbers of descriptions may be wavelengths: nm, or µm with decimals."""
    if (values >= SHORTEST).all() and (values <= LONGEST).all():
        return len(values) > 1 and not (np.diff(values) == 1).all()
    decimals = any("." in text or "," in text for text in texts)
    return bool(decimals and (values >= SHORTEST / 1e3).all() and (values <= LONGEST / 1e3).all())


@dataclass(frozen=True)
class Centres:
    """Band centres.

    Attributes
    ----------
    nm : (C,) float64
        Wavelengths in nm.
    unit : str or None
        Unit that they had, also if it was guessed.
    guess : str or None
        How the unit was guessed; None where the file states it.
    """

    nm: Vector
    unit: str | None
    guess: str | None = None


def centres_nm(numbers: Spelled) -> Centres:
    """Return wavelengths in nm; a missing unit is guessed.

    Parameters
    ----------
    numbers : Spelled
        The numbers.

    Raises
    ------
    InputError
        Neither nm nor µm can be their unit. The message lacks the file's name.
    """
    if numbers.unit is not None:
        return Centres(_to_nm(numbers.values, numbers.unit), numbers.unit)
    known = numbers.values[np.isfinite(numbers.values) & (numbers.values > 0)]
    if known.size == 0:
        return Centres(numbers.values, None)
    extent = f"{known.min():g} to {known.max():g}"
    for name, unit in (("nm", "nm"), ("µm", "um")):
        nm = numbers.values * LENGTHS[unit]
        if not impossible(nm[np.isin(numbers.values, known)]).any():
            return Centres(nm, unit, f"the unit of the wavelengths, {extent}, is not stated: {name} assumed")
    raise InputError(
        f"wavelengths {extent} have no unit, and neither nm nor µm puts them into {RANGE}; "
        "give `wavelengths` in nm"
    )


def widths_nm(numbers: Spelled, centres: Vector, unit: str | None) -> Vector:
    """Return widths in nm.

    Parameters
    ----------
    numbers : Spelled
        The widths, by default in the unit of the centres.
    centres : (C,) float64
        Centres in nm, which a width in GHz or cm-1 is converted at.
    unit : str or None
        Unit of the centres, None where it was guessed.
    """
    unit = numbers.unit or unit
    if unit is None:
        return numbers.values
    if unit in LENGTHS:
        return numbers.values * LENGTHS[unit]
    return numbers.values * np.square(centres) / RECIPROCALS[unit]


def _to_nm(values: Vector, unit: str) -> Vector:
    if unit in LENGTHS:
        return values * LENGTHS[unit]
    with np.errstate(divide="ignore"):
        return np.asarray(RECIPROCALS[unit] / values)


def impossible(nm: Vector) -> NDArray[np.bool_]:
    """Return where numbers are no wavelengths of an image; NaN is none that is impossible."""
    return np.isfinite(nm) & ((nm < SHORTEST) | (nm > LONGEST)) | np.isinf(nm)
