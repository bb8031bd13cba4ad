"""The page's parts on two real images: their alignment, and the responses that the methods were given.

They show the records that the steps `align` and `estimate` leave in their stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline.core.sensing.observation import ObservedScene
from pipeline.report.drawing import pair_figures
from pipeline.report.drawing.pictures import Wavelengths
from pipeline.report.numbers.tables import NO_VALUE

KINDS = {
    "given": "as given",
    "calibrated": "as given, with a gain of each MSI band estimated from the two images",
    "estimated": "estimated from the two images",
    "gaussian": "a Gaussian, its width and shift estimated from the two images",
    "separable": "a separable kernel, estimated from the two images",
    "free": "a free kernel, estimated from the two images",
}


@dataclass(frozen=True)
class Records:
    """The records of `align` and `estimate` as JSON holds them.

    Attributes
    ----------
    alignment : mapping or None
        Shift and width of the PSF; None where `align` did not run.
    responses : mapping or None
        Estimated responses; None where `estimate` did not run.
    agreement : tuple of str
        Sentences on where the two images contradict the responses.
    missing : str or None
        Sentence on how much of the images is missing; None without missing values.
    assumed : tuple of str
        What was assumed of the files when they were read.
    """

    alignment: Mapping[str, Any] | None = None
    responses: Mapping[str, Any] | None = None
    agreement: tuple[str, ...] = ()
    missing: str | None = None
    assumed: tuple[str, ...] = ()

    def msi_names(self, count: int) -> list[str]:
        """Return the names of `count` MSI bands; their numbers where names are not known.

        Parameters
        ----------
        count : int
            Number of MSI bands.
        """
        bands = (self.responses or {}).get("bands") or []
        names = [_name(band) for band in bands]
        return names if len(names) == count else [f"band {n}" for n in range(1, count + 1)]


def _name(band: Mapping[str, Any]) -> str:
    """Return the name of an MSI band; some have only a number."""
    name = str(band["name"])
    return f"band {name}" if name.isdigit() else name


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes
    ----------
    columns : list of (str, str)
        Headings and units.
    rows : list of list of str
        Lines.
    """

    columns: list[tuple[str, str]]
    rows: list[list[str]]


@dataclass(frozen=True)
class Alignment:
    """The page's part on the shift between the two images.

    Attributes
    ----------
    table : TextTable
        Shift, width and correlation, overall and by detector.
    warnings, notes : list of str
        Remarks of the step.
    """

    table: TextTable
    warnings: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Responses:
    """The page's part on the responses that the methods were given.

    Attributes
    ----------
    facts : str
        Origin of R and H, and H in numbers.
    warnings : list of str
        Remarks of the step.
    table : TextTable
        How well R and H predict each MSI band.
    figures : list of (Markup, str)
        SVG and caption.
    """

    facts: str
    warnings: list[str]
    table: TextTable
    figures: list[tuple[Markup, str]]


def alignment(records: Records) -> Alignment | None:
    """Tabulate shift and width of the PSF, overall and by detector; None without a record.

    Parameters
    ----------
    records : Records
        Records of the run, among them the one of `align`.
    """
    record = records.alignment
    if record is None:
        return None
    metres = _metres_per_pixel(record)
    columns = [("Bands", ""), ("Shift, rows", "LR pixels"), ("Shift, columns", "LR pixels")]
    if metres is not None:
        columns += [("Shift, rows", "m"), ("Shift, columns", "m")]
    columns += [("FWHM", "LR pixels"), ("Correlation", ""), ("Matched by", ""), ("Resampled", "")]
    rows = [[*_aligned("all", record, metres), NO_VALUE, NO_VALUE]]
    for name, own in (record.get("detectors") or {}).items():
        way, resampled = own.get("matched_by", NO_VALUE), "yes" if own.get("resampled") else "no"
        rows.append([*_aligned(name, own, metres), way, resampled])
    return Alignment(TextTable(columns, rows), _too_far(record), list(record.get("notes") or []))


def _metres_per_pixel(record: Mapping[str, Any]) -> float | None:
    """Derive the size of an LR pixel from the shift in both units; None without a CRS or a shift."""
    shift, metres = record["shift"], record.get("shift_metres")
    return hypot(*metres) / hypot(*shift) if metres is not None and any(shift) else None


def _aligned(name: str, record: Mapping[str, Any], metres: float | None) -> list[str]:
    """Write a line: the shift of some bands, their width and their correlation with the MSI."""
    shifts = list(zip(_numbers(record["shift"], 2), _numbers(record.get("shift_error"), 2), strict=True))
    cells = [with_error(value, error, 3) for value, error in shifts]
    if metres is not None:
        cells += [with_error(metres * value, metres * error, 2) for value, error in shifts]
    width = with_error(record.get("fwhm"), record.get("fwhm_error"), 2)
    return [name, *cells, width, _span(record.get("correlation"))]


def _span(values: Any) -> str:
    """Format the smallest and the largest of several numbers."""
    known = _numbers(values)
    known = np.sort(known[np.isfinite(known)])
    return " to ".join(dict.fromkeys(f"{end:.3f}" for end in (*known[:1], *known[-1:]))) or NO_VALUE


def _numbers(values: Any, count: int = 1) -> NDArray[np.float64]:
    """Return numbers as an array of at least `count`; None becomes NaN."""
    numbers = np.atleast_1d(np.asarray(values, np.float64))
    return np.broadcast_to(numbers, max(count, len(numbers)))


def _too_far(record: Mapping[str, Any]) -> list[str]:
    """Warn where the images are further apart than the limit."""
    limit, largest = record.get("limit"), hypot(*record["shift"])
    if limit is None or largest <= limit:
        return []
    return [
        f"The images are {largest:.2f} LR pixels apart; the limit is {limit:g}. Check both georeferences."
    ]


def with_error(value: Any, error: Any, digits: int) -> str:
    """Format a number, or several, with the standard error.

    Parameters
    ----------
    value, error : float, sequence of float or None
        Numbers and their errors; None or NaN where not known.
    digits : int
        Decimals.

    >>> with_error(0.5, 0.012, 2), with_error([1.0, 1.25], None, 2)
    ('0.50 ± 0.01', '1.00 and 1.25')
    """
    values = _numbers(value)
    known = [
        f"{v:.{digits}f}" + (f" ± {e:.{digits}f}" if np.isfinite(e) else "")
        for v, e in zip(values, _numbers(error, len(values)), strict=True)
        if np.isfinite(v)
    ]
    return " and ".join(known) or NO_VALUE


def _digits(value: float | None, error: float | None = None) -> str:
    """Format a number to four significant digits, and its error to two."""
    return NO_VALUE if value is None else f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")


def agreement(records: Records) -> list[str] | None:
    """Return where the two images contradict the responses; None for simulated images that agree.

    Parameters
    ----------
    records : Records
        Records of the run.
    """
    sentences = [_capital(sentence) + "." for sentence in records.agreement]
    return None if records.alignment is None and not sentences else sentences


def missing(records: Records) -> str | None:
    """Return how much of the images is missing and what becomes of it; None without missing values.

    Parameters
    ----------
    records : Records
        Records of the run.
    """
    return None if records.missing is None else _capital(records.missing) + "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def responses(records: Records, observation: ObservedScene, wavelength: Wavelengths) -> Responses | None:
    """Show R and H as the methods were given them, with the fit of each MSI band.

    Parameters
    ----------
    records : Records
        Records of the run, among them the one of `estimate`.
    observation : ObservedScene
        R and H.
    wavelength : (C,) or None
        Band centres in nm.

    Returns
    -------
    Responses or None
        None where nothing was estimated.
    """
    record = records.responses
    if record is None:
        return None
    if record.get("spectral") == record.get("spatial") == "given" and not record.get("bands"):
        return None
    names = records.msi_names(observation.hr_msi.shape[0])
    spectral = pair_figures.spectral_response(observation.spectral_response, wavelength, names)
    spatial = pair_figures.spatial_response(observation.spatial_response)
    return Responses(
        _responses_in_words(record, observation),
        list(record.get("warnings") or []),
        _fit_table(record.get("bands") or []),
        [(Markup(spectral), pair_figures.SPECTRAL), (Markup(spatial), pair_figures.SPATIAL)],
    )


def _responses_in_words(record: Mapping[str, Any], observation: ObservedScene) -> str:
    """Describe the origin of R and H, and H in numbers."""
    spectral, spatial = (
        KINDS.get(str(record.get(key)), str(record.get(key))) for key in ("spectral", "spatial")
    )
    fwhm = record.get("fwhm", observation.spatial_response.fwhm)
    fwhm = with_error(fwhm, record.get("fwhm_error"), 2)
    width = "" if fwhm == NO_VALUE else f", FWHM {fwhm} LR pixels"
    shift = _numbers(record.get("shift", observation.spatial_response.shift), 2)
    rows, columns = map(with_error, shift, _numbers(record.get("shift_error"), 2), (3, 3))
    return (
        f"Spectral response: {spectral}. Spatial response: {spatial}{width}, "
        f"shifted by {rows} rows and {columns} columns (LR pixels, down and right)."
    )


def _fit_table(bands: Sequence[Mapping[str, Any]]) -> TextTable:
    """Tabulate how well R and H predict each MSI band from the HSI."""
    columns = [
        ("MSI band", ""),
        ("Gain", ""),
        ("Offset", "scene values"),
        ("Correlation", ""),
        ("Residual", "noise levels, held out"),
        ("Covered by the HSI", "%"),
    ]
    rows = []
    for band in bands:
        covered = band.get("coverage")
        rows.append(
            [
                _name(band),
                _digits(band.get("gain"), band.get("gain_error")),
                _digits(band.get("offset")),
                with_error(band.get("correlation"), None, 4),
                with_error(band.get("residual"), None, 2),
                with_error(None if covered is None else 100 * covered, None, 0),
            ]
        )
    return TextTable(columns, rows)
