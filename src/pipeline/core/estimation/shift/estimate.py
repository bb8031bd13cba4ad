"""The alignment of a scene and of each of its HSI's detectors: bands are matched, then a shift is found.

The scene's own spatial response says where to start; it is not changed here.
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
from pipeline.core.sensing.observation import ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

DEFAULT_FWHM = 1.0  # LR pixels, where the scene's PSF is not a Gaussian
APART = 1.5  # LR pixels between shifts that count as different
AMBIGUOUS = 0.8  # of what the second best shift leaves unexplained, the best one leaves more than this


@dataclass(frozen=True)
class Alignments:
    """The alignment by all bands and by those of each detector.

    Attributes
    ----------
    overall : Alignment
    detectors : mapping of str to Alignment
        Empty where the HSI has none; without those that have no matched bands.
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
    """Where the LR pixels of a scene lie on its HR image.

    Shifts up to a quarter of the image (or of the windows of a large scene) are found, starting at
    that of the scene's spatial response. A shift that does not stand out is returned as `ambiguous`.

    Parameters
    ----------
    scene : ObservedScene
    detector : (C,) str, optional
        Name of the detector of each HSI band.
    progress : callable
    spectral_known : bool
        Whether the scene's spectral response tells which HSI bands match an MSI band. Otherwise, and
        for a detector that holds less than half of every MSI band's response, it is the HSI band that
        correlates best.

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
    found, at = {}, np.array([*overall.shift, overall.fwhm])
    for done, name in enumerate(names, start=2):
        own, by_response = _detector_pairs(_placed(scene, at), windows, detector == name, spectral_known)
        if own.msi:
            matched = _matched(scene, windows, own)
            alignment = refined(matched, scene.spatial_response.ratio, own.msi, at)
            found[name] = replace(alignment, ambiguous=ambiguous, by_response=by_response)
        progress("align", done, 1 + len(names))
    return Alignments(replace(overall, ambiguous=ambiguous, by_response=spectral_known), found)


def _detector_pairs(
    scene: ObservedScene, windows: list[Window], bands: NDArray[np.bool_], spectral_known: bool
) -> tuple[Pairs, bool]:
    """Of a detector's bands, maybe none; and whether R matched them: it does if it holds enough of them."""
    if spectral_known:
        pairs = response_pairs(scene.spectral_response, bands)
        if pairs.msi:
            return pairs, True
    return correlated_pairs(scene, windows, bands), False


def _placed(scene: ObservedScene, at: NDArray[np.float64]) -> ObservedScene:
    """The scene with a Gaussian PSF of a given shift and FWHM ``(dy, dx, fwhm)``."""
    dy, dx, fwhm = at.tolist()
    ratio = scene.spatial_response.ratio
    return replace(scene, spatial_response=SpatialResponse.gaussian(ratio=ratio, fwhm=fwhm).shifted(dy, dx))


def _matched(scene: ObservedScene, windows: list[Window], pairs: Pairs) -> list[Matched]:
    """The matched bands of each window, read."""
    return [
        Matched(
            combined(scene.lr_hsi, pairs.weights, scene.lr_window(window)),
            np.asarray(scene.hr_msi[:, *window.slices], np.float64)[list(pairs.msi)],
        )
        for window in windows
    ]


def _start(scene: ObservedScene, windows: list[Matched]) -> tuple[NDArray[np.float64], bool]:
    """Shift and FWHM ``(dy, dx, fwhm)`` near the truth, and whether another shift does nearly as well.

    Of the highest peaks of the phase correlation, and the shift that the scene comes with, the one of
    the highest correlation between the matched bands.
    """
    response = scene.spatial_response
    fwhm, ratio = response.fwhm or DEFAULT_FWHM, response.ratio
    degraded = [response.operator(*part.y.shape[1:]).forward_with_nodata(part.y) for part in windows]
    peaks = phase_correlation(np.concatenate([part.x for part in windows]), np.concatenate(degraded))
    shifts = np.array(response.shift) + np.array([(0.0, 0.0), *peaks])
    starts = np.column_stack([shifts, np.full(len(shifts), fwhm)])
    found = np.array([mean_correlation(windows, ratio, start) for start in starts])
    best = first_largest(found, scale=1.0)
    others = found[np.abs(shifts - shifts[best]).max(axis=1) > APART]
    ambiguous = others.size > 0 and 1 - found[best] + TIED > AMBIGUOUS * (1 - others.max())
    return starts[best], bool(ambiguous)
