"""Alignment of a scene, and of each detector of its HSI: bands are matched, then the shift is estimated.

The search starts at the scene's own spatial response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.core.estimation.shift.coarse import phase_correlation
from pipeline.core.estimation.shift.pairs import Pairs, correlated_pairs, response_pairs
from pipeline.core.estimation.shift.refinement import Alignment, Matched, mean_correlation, refined
from pipeline.core.estimation.shift.sample import combined, sample_windows
from pipeline.core.rounding import TIED, first_largest
from pipeline.core.sensing.nodata import degraded_with_gaps
from pipeline.core.sensing.observation import ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

DEFAULT_FWHM = 1.0  # LR pixels, where the scene's PSF is not a Gaussian
APART = 1.5  # LR pixels between shifts that count as different
# ratio of the unexplained parts at the best and the second-best shift above which both fit
AMBIGUOUS = 0.8


@dataclass(frozen=True)
class Alignments:
    """Alignments by all bands and by the bands of each detector.

    Attributes
    ----------
    overall : Alignment
        Alignment by all bands.
    detectors : mapping of str to Alignment
        Alignment by the bands of each detector that has matched bands.
    """

    overall: Alignment
    detectors: Mapping[str, Alignment] = field(default_factory=dict)


def estimate_alignment(
    scene: ObservedScene,
    detector: NDArray[np.str_] | None = None,
    progress: Progress = no_progress,
    *,
    spectral_known: bool = True,
) -> Alignments:
    """Estimate the position of the LR pixels of a scene on its HR image.

    Shifts up to a quarter of the image (or of the windows of a large scene) are found, relative to that of
    the scene's spatial response. A shift that another explains nearly as well is marked as `ambiguous`.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    detector : (C,) str, optional
        Name of the detector of each HSI band.
    progress : callable
        Receives the phase and the number of finished steps.
    spectral_known : bool
        Whether HSI bands are matched to an MSI band by the scene's spectral response. Otherwise, and for a
        detector with less than half of every MSI band's response, the HSI band that correlates best is taken.

    Raises
    ------
    InputError
        Nothing correlates, or too few LR pixels can be compared.
    """
    if detector is not None and detector.shape != (scene.bands,):
        raise InputError(f"detector: {detector.size} names for {scene.bands} bands; give one per HSI band")
    windows = sample_windows(scene, progress)
    every = np.ones(scene.bands, bool)
    if spectral_known:
        pairs = response_pairs(scene.spectral_response, every)
    else:
        pairs = correlated_pairs(scene, windows, every, smooth=True)
    if not pairs.msi:
        raise InputError(
            "lr_hsi and hr_msi: no band of one correlates with a band of the other; they show different "
            "places, or an axis of one is reversed"
        )
    matched = _matched(scene, windows, pairs)
    start, ambiguous = _start(scene, matched)
    if not spectral_known:
        pairs = correlated_pairs(_placed(scene, start), windows, every)
        matched = _matched(scene, windows, pairs)
    overall = refined(matched, scene.spatial_response.ratio, pairs.msi, start)
    names = [] if detector is None else list(dict.fromkeys(detector.tolist()))
    progress("align", 1, 1 + len(names))
    detectors, at = {}, np.array([*overall.shift, overall.fwhm])
    for done, name in enumerate(names, start=2):
        own, by_response = _detector_pairs(_placed(scene, at), windows, detector == name, spectral_known)
        if own.msi:
            matched = _matched(scene, windows, own)
            alignment = refined(matched, scene.spatial_response.ratio, own.msi, at)
            detectors[name] = replace(alignment, ambiguous=ambiguous, by_response=by_response)
        progress("align", done, 1 + len(names))
    return Alignments(replace(overall, ambiguous=ambiguous, by_response=spectral_known), detectors)


def _detector_pairs(
    scene: ObservedScene, windows: list[Window], bands: NDArray[np.bool_], spectral_known: bool
) -> tuple[Pairs, bool]:
    """Return the matched bands of a detector, and whether they were matched through R."""
    if spectral_known:
        pairs = response_pairs(scene.spectral_response, bands)
        if pairs.msi:
            return pairs, True
    return correlated_pairs(scene, windows, bands), False


def _placed(scene: ObservedScene, at: NDArray[np.float64]) -> ObservedScene:
    """Return the scene with a Gaussian PSF of a given shift and FWHM ``(dy, dx, fwhm)``."""
    dy, dx, fwhm = at.tolist()
    ratio = scene.spatial_response.ratio
    return replace(scene, spatial_response=SpatialResponse.gaussian(ratio=ratio, fwhm=fwhm).shifted(dy, dx))


def _matched(scene: ObservedScene, windows: list[Window], pairs: Pairs) -> list[Matched]:
    """Read the matched bands of each window."""
    return [
        Matched(
            combined(scene.lr_hsi, pairs.weights, scene.lr_window(window)),
            np.asarray(scene.hr_msi[:, *window.slices], np.float64)[list(pairs.msi)],
        )
        for window in windows
    ]


def _start(scene: ObservedScene, windows: list[Matched]) -> tuple[NDArray[np.float64], bool]:
    """Return shift and FWHM ``(dy, dx, fwhm)`` near the truth, and whether another shift fits nearly as well.

    Candidates are the highest peaks of the phase correlation and the scene's own shift; the matched bands
    correlate most at the chosen shift.
    """
    response = scene.spatial_response
    fwhm, ratio = response.fwhm or DEFAULT_FWHM, response.ratio
    degraded = [degraded_with_gaps(response.operator(*part.y.shape[1:]), part.y) for part in windows]
    peaks = phase_correlation(np.concatenate([part.x for part in windows]), np.concatenate(degraded))
    shifts = np.array(response.shift) + np.array([(0.0, 0.0), *peaks])
    starts = np.column_stack([shifts, np.full(len(shifts), fwhm)])
    correlation = np.array([mean_correlation(windows, ratio, start) for start in starts])
    best = first_largest(correlation, scale=1.0)
    others = correlation[np.abs(shifts - shifts[best]).max(axis=1) > APART]
    ambiguous = others.size > 0 and 1 - correlation[best] + TIED > AMBIGUOUS * (1 - others.max())
    return starts[best], bool(ambiguous)
