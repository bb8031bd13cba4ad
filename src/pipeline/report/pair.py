"""What is said of two real images: how they were aligned, and which responses the methods were told.

Follows the records that the steps `align` and `estimate` leave in their stores. Nothing is estimated or
judged here beyond what they hold.
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
    "calibrated": "as given, with a gain of each MSI band from the two images",
    "estimated": "estimated from the two images",
    "gaussian": "a Gaussian, its width and shift estimated from the two images",
    "separable": "a separable kernel, estimated from the two images",
    "free": "a free kernel, estimated from the two images",
}


@dataclass(frozen=True)
class Records:
    """What `align` and `estimate` recorded, as JSON holds it; None where a step did not run."""

    alignment: Mapping[str, Any] | None = None
    responses: Mapping[str, Any] | None = None

    def msi_names(self, count: int) -> list[str]:
        """Names of the MSI's bands; their numbers where nothing is known."""
        bands = (self.responses or {}).get("bands") or []
        names = [_name(band) for band in bands]
        return names if len(names) == count else [f"band {n}" for n in range(1, count + 1)]


def _name(band: Mapping[str, Any]) -> str:
    """What an MSI band is called; some have a number alone."""
    name = str(band["name"])
    return f"band {name}" if name.isdigit() else name


@dataclass(frozen=True)
class TextTable:
    """Headings with their units, and lines of text."""

    columns: list[tuple[str, str]]
    rows: list[list[str]]


@dataclass(frozen=True)
class Alignment:
    """The page's part on the shift between the two images."""

    table: TextTable
    warnings: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Responses:
    """The page's part on the told responses."""

    facts: str
    warnings: list[str]
    table: TextTable
    figures: list[tuple[Markup, str]]


def alignment(records: Records) -> Alignment | None:
    """Shift and width of the PSF, overall and by detector."""
    found = records.alignment
    if found is None:
        return None
    metres = _metres_per_pixel(found)
    columns = [("Bands", ""), ("Shift, rows", "LR pixels"), ("Shift, columns", "LR pixels")]
    if metres is not None:
        columns += [("Shift, rows", "m"), ("Shift, columns", "m")]
    columns += [("FWHM", "LR pixels"), ("Correlation", ""), ("Matched by", ""), ("Resampled", "")]
    rows = [[*_aligned("all", found, metres), NO_VALUE, NO_VALUE]]
    for name, own in (found.get("detectors") or {}).items():
        way, resampled = own.get("matched_by", NO_VALUE), "yes" if own.get("resampled") else "no"
        rows.append([*_aligned(name, own, metres), way, resampled])
    return Alignment(TextTable(columns, rows), _too_far(found), list(found.get("notes") or []))


def _metres_per_pixel(found: Mapping[str, Any]) -> float | None:
    """Size of an LR pixel, as the shift in both units tells; unknown without a CRS or a shift."""
    shift, metres = found["shift"], found.get("shift_metres")
    return hypot(*metres) / hypot(*shift) if metres is not None and any(shift) else None


def _aligned(name: str, found: Mapping[str, Any], metres: float | None) -> list[str]:
    """A line: the shift of some bands, their width and how well they fit the MSI's."""
    shifts = list(zip(_numbers(found["shift"], 2), _numbers(found.get("shift_error"), 2), strict=True))
    cells = [with_error(value, error, 3) for value, error in shifts]
    if metres is not None:
        cells += [with_error(metres * value, metres * error, 2) for value, error in shifts]
    width = with_error(found.get("fwhm"), found.get("fwhm_error"), 2)
    return [name, *cells, width, _span(found.get("correlation"))]


def _span(values: Any) -> str:
    """The least and the largest of several numbers."""
    found = _numbers(values)
    found = np.sort(found[np.isfinite(found)])
    return " to ".join(dict.fromkeys(f"{end:.3f}" for end in (*found[:1], *found[-1:]))) or NO_VALUE


def _numbers(values: Any, count: int = 1) -> NDArray[np.float64]:
    """One number or several as `count` or more; what is None in JSON is NaN."""
    found = np.atleast_1d(np.asarray(values, np.float64))
    return np.broadcast_to(found, max(count, len(found)))


def _too_far(found: Mapping[str, Any]) -> list[str]:
    """A warning where the images are further apart than the limit."""
    limit, largest = found.get("limit"), hypot(*found["shift"])
    if limit is None or largest <= limit:
        return []
    far = f"{largest:.2f} LR pixels apart, beyond the limit of {limit:g}"
    return [f"The images are {far}: check the georeferences."]


def with_error(value: Any, error: Any, digits: int) -> str:
    """A number, or several, with the standard error.

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
    """A number of any size to four digits, its error to two."""
    return NO_VALUE if value is None else f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")


def responses(records: Records, observation: ObservedScene, wavelength: Wavelengths) -> Responses | None:
    """What the methods were told of R and H, with the fit of each MSI band."""
    found = records.responses
    if found is None or (found.get("spectral") == found.get("spatial") == "given" and not found.get("bands")):
        return None
    names = records.msi_names(observation.hr_msi.shape[0])
    spectral = pair_figures.spectral_response(observation.spectral_response, wavelength, names)
    spatial = pair_figures.spatial_response(observation.spatial_response)
    return Responses(
        _told(found, observation),
        list(found.get("warnings") or []),
        _fit_table(found.get("bands") or []),
        [(Markup(spectral), pair_figures.SPECTRAL), (Markup(spatial), pair_figures.SPATIAL)],
    )


def _told(found: Mapping[str, Any], observation: ObservedScene) -> str:
    """Where R and H come from, and H in numbers."""
    spectral, spatial = (
        KINDS.get(str(found.get(key)), str(found.get(key))) for key in ("spectral", "spatial")
    )
    width = found.get("fwhm", observation.spatial_response.fwhm)
    width = with_error(width, found.get("fwhm_error"), 2)
    told = "" if width == NO_VALUE else f", FWHM {width} LR pixels"
    shift = _numbers(found.get("shift", observation.spatial_response.shift), 2)
    rows, columns = map(with_error, shift, _numbers(found.get("shift_error"), 2), (3, 3))
    told += f", shifted by {rows} rows and {columns} columns (LR pixels, down and right)"
    return f"Spectral response: {spectral}. Spatial response: {spatial}{told}."


def _fit_table(bands: Sequence[Mapping[str, Any]]) -> TextTable:
    """How well R and H of the HSI predict each MSI band."""
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
