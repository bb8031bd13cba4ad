"""Displacement of a pair's HSI on its MSI beyond their georeferences, and its record.

The shift is configured or estimated from the images. Where the HSI's detectors are displaced against each
other, the shift of the detector with the smallest error is used, and the bands of displaced detectors are
resampled to it later.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from pipeline.config.scenes import Pair
from pipeline.core.estimation.shift import Alignment, Alignments, estimate_alignment, most_precise
from pipeline.core.sensing.observation import ObservedScene, Progress
from pipeline.errors import InputError
from pipeline.inputs.pairs.grids import Nesting, Offset
from pipeline.inputs.pairs.pair import OpenPair

log = logging.getLogger(__name__)
CERTAIN = 2.0  # standard errors beyond which two detectors are taken to be displaced
RESOLVED = 1e-3  # LR pixels, below which shifts are equal: some steps of the search's tolerance


@dataclass(frozen=True)
class Placement:
    """Displacement of the HSI on the MSI, in addition to the offset between their georeferences.

    Attributes
    ----------
    shift : (float, float)
        Rows and columns in LR pixels.
    error : (float, float) or None
        Standard errors of an estimated shift.
    detector : str
        The detector that the shift belongs to; empty where it belongs to all bands.
    moved : mapping of str to Alignment
        That detector, and the detectors whose bands are resampled to its shift; empty if none is displaced.
    estimates : Alignments or None
        Every estimated shift, by all bands and by detector; None for a configured shift.
    """

    shift: Offset
    error: Offset | None = None
    detector: str = ""
    moved: Mapping[str, Alignment] = field(default_factory=dict)
    estimates: Alignments | None = None


def place_pair(
    pair: Pair,
    images: OpenPair,
    scene: ObservedScene,
    detector: NDArray[np.str_] | None,
    spectral_known: bool,
    progress: Progress,
) -> Placement:
    """Return the configured shift between two images, or estimate it.

    Parameters
    ----------
    pair : Pair
        The pair as the experiment describes it.
    images : OpenPair
        The opened images.
    scene : ObservedScene
        Both images on the footprint of their georeferences, with the PSF from which the search starts.
    detector : (C,) str or None
        Name of the detector of each HSI band; None to give all bands one shift.
    spectral_known : bool
        Whether the scene's R is known; otherwise bands are matched by correlation.
    progress : callable
        Called while the shift is searched.

    Raises
    ------
    InputError
        The images lie further apart than the configuration allows, or nothing in them shows their shift.
    """
    configured = pair.alignment.shift
    if configured != "estimated":
        return Placement(configured)
    nesting = images.nesting()
    estimates = estimate_alignment(scene, detector, progress, spectral_known=spectral_known)
    by_response = {name: shift for name, shift in estimates.detectors.items() if shift.by_response}
    candidates = by_response or estimates.detectors
    name = most_precise(candidates) if candidates else ""
    best = candidates[name] if name else estimates.overall
    displaced = {other: shift for other, shift in candidates.items() if _displaced(shift, best)}
    for alignment in (best, *displaced.values()):
        _check_distance(_remaining(alignment, nesting), alignment.shift_error, pair, images)
    moved = {name: best} | displaced if displaced else {}
    return Placement(_remaining(best, nesting), best.shift_error, name, moved, estimates)


def _remaining(alignment: Alignment, nesting: Nesting) -> Offset:
    """Return an estimated shift without the part that the georeferences explain."""
    (dy, dx), (y, x) = alignment.shift, nesting.shift
    return dy - y, dx - x


def _displaced(first: Alignment, second: Alignment) -> bool:
    """Return whether two detectors lie further apart than their errors explain, and than can be resolved."""
    return any(
        abs(a - b) > max(CERTAIN * hypot(error_a, error_b), RESOLVED)
        for a, b, error_a, error_b in zip(
            first.shift, second.shift, first.shift_error, second.shift_error, strict=True
        )
    )


def _check_distance(shift: Offset, error: Offset, pair: Pair, images: OpenPair) -> None:
    """Refuse a shift that is too uncertain, or larger than the configuration allows."""
    limit = pair.alignment.largest_shift
    if not hypot(*error) <= limit:
        raise InputError(
            f"{images.hsi.name}: nothing in it and in {images.msi.name} determines the shift between "
            "them; use a part with more texture, or give `alignment.shift`"
        )
    if hypot(*shift) > limit:
        raise InputError(
            f"{images.hsi.name}: is displaced against {images.msi.name} by {shift[0]:+.2f} rows "
            f"and {shift[1]:+.2f} columns of LR pixels, beyond alignment.largest_shift {limit:g}; register "
            "the images first, or raise the limit if that is right"
        )


def placement_record(pair: Pair, images: OpenPair, nesting: Nesting, placement: Placement) -> dict[str, Any]:
    """Return the JSON-ready record of an alignment; its notes are logged as warnings.

    Shifts exclude the offset between the georeferences; they are in LR pixels and in metres.

    Parameters
    ----------
    pair : Pair
        The pair as the experiment describes it.
    images : OpenPair
        The opened images.
    nesting : Nesting
        The common footprint of both images, after the shift and the crop.
    placement : Placement
        Displacement of the HSI on the MSI.
    """
    record: dict[str, Any] = {
        "ratio": str(images.ratio),
        "shift": list(placement.shift),
        "shift_error": placement.error and list(placement.error),
        "shift_metres": _metres(placement.shift, images),
        "limit": pair.alignment.largest_shift,
        "detectors": {},
        "notes": [],
        "resampled": images.resampled,
        "lr_window": list(vars(nesting.lr).values()),
        "hr_window": list(vars(nesting.hr).values()),
        "msi_shape": list(images.msi.shape[1:]),
    }
    if images.resampled:
        record["notes"].append("The MSI was resampled (cubic convolution) onto the HSI's grid.")
    if placement.estimates is None:
        return record
    overall = placement.estimates.overall
    record |= {
        "fwhm": overall.fwhm,
        "fwhm_error": overall.fwhm_error,
        "correlation": list(overall.correlation),
        "pixels": overall.pixels,
        "detectors": _detectors(placement, images.nesting()),
    }
    if overall.ambiguous:
        record["notes"].append(
            "Another shift explains the images nearly as well: check this one, or give `alignment.shift`."
        )
    for note in record["notes"]:
        log.warning("%s", note)
    return record


def _detectors(placement: Placement, nesting: Nesting) -> dict[str, Any]:
    """Return the record of the shift of each detector."""
    assert placement.estimates is not None
    return {
        name: {
            "shift": list(_remaining(alignment, nesting)),
            "shift_error": list(alignment.shift_error),
            "correlation": list(alignment.correlation),
            "resampled": name in placement.moved and name != placement.detector,
            "matched_by": "response" if alignment.by_response else "correlation",
        }
        for name, alignment in placement.estimates.detectors.items()
    }


def _metres(shift: Offset, images: OpenPair) -> list[float] | None:
    """Return a shift in metres, down and right along the grid's axes; None without a projected CRS."""
    place, crs = images.hsi.metadata.transform, images.hsi.metadata.crs
    if place is None or crs is None or not CRS.from_user_input(crs).is_projected:
        return None
    metre = CRS.from_user_input(crs).linear_units_factor[1]
    a, b, _, d, e, _ = place
    return [shift[0] * hypot(b, e) * metre, shift[1] * hypot(a, d) * metre]
