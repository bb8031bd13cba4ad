"""The questions that are put to a pair, and their answers in one sentence each, most likely cause first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.core.estimation.agreement.geometry import Geometry, explain
from pipeline.core.estimation.agreement.places import changed_places, striped_bands
from pipeline.core.estimation.agreement.planes import Planes, hsi_planes, sample_planes
from pipeline.core.estimation.agreement.radiometry import Radiometry, better_order, relate
from pipeline.core.estimation.agreement.rim import rim_difference
from pipeline.core.estimation.responses.sample import PairSample, read_sample
from pipeline.core.estimation.responses.shape import width_of
from pipeline.core.sensing.observation import ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import FWHM_PER_SIGMA, SpatialResponse
from pipeline.errors import InputError

Array = NDArray[np.float64]

# deviations below which a fusion hardly suffers
GAIN = 0.03  # of a band's gain from 1; of its offset in units of its level
ROUGH_GAIN = 0.1  # the same before the images are registered
SHIFT = 0.2  # LR pixels
WIDTH = 0.15  # of the PSF's FWHM
EXPLAINS = 0.2  # fraction of the difference that a cause has to explain
CHANGED = 0.01  # fraction of the LR pixels
RIM = 3.0  # times the difference inside
BEYOND = {"mirror": "its mirror image", "zero": "zeros"}


@dataclass(frozen=True)
class Finding:
    """A likely cause of the difference between the two images.

    Attributes
    ----------
    cause : str
        `order`, `gain`, `offset`, `gain and offset`, `shift`, `rotation`, `psf`, `change`, `border`,
        `zero border` or `stripes`.
    sentence : str
        What was found, with the likely cause and without a remedy.
    """

    cause: str
    sentence: str

    def with_remedy(self, remedies: Mapping[str, str]) -> str:
        """Return the sentence, followed by the remedy for its cause if there is any.

        Parameters
        ----------
        remedies : mapping of str to str
            By cause.
        """
        remedy = remedies.get(self.cause)
        return f"{self.sentence}; {remedy}" if remedy else self.sentence


def agreement(
    scene: ObservedScene, names: Sequence[str] | None = None, progress: Progress = no_progress
) -> tuple[Finding, ...]:
    """Compare H(Y) with R X, and name the causes of a difference, the most likely first.

    Parameters
    ----------
    scene : ObservedScene
        The pair with the responses that the fusion is given. Its noise levels are not used.
    names : sequence of str, optional
        Names of the MSI bands; default: their numbers.
    progress : callable
        Called while the sample is read.
    """
    sample = _sample(scene, progress)
    if sample is None:
        return ()
    degraded, predicted = sample_planes(sample, scene.spatial_response, scene.spectral_response)
    relation, first = _radiometric(degraded, predicted, names, GAIN)
    gain, offset = relation.gain[:, None, None], relation.offset[:, None, None]
    related = predicted.map(lambda image: gain * image + offset)
    geometry = explain(degraded, related)
    causes = (
        *first,
        *_geometric(geometry, scene.spatial_response),
        *_changed(geometry.residual, degraded),
    )
    # other causes make the images differ at the rim, too
    return (*(causes or _bordered(scene, relation)), *_striped(hsi_planes(sample)))


def radiometric_agreement(scene: ObservedScene, names: Sequence[str] | None = None) -> tuple[Finding, ...]:
    """Compare gain, offset and order of the bands alone, for images that are not registered yet.

    Parameters
    ----------
    scene : ObservedScene
        The pair with R, and a rough H.
    names : sequence of str, optional
        Names of the MSI bands; default: their numbers.
    """
    sample = _sample(scene, no_progress)
    if sample is None:
        return ()
    degraded, predicted = sample_planes(sample, scene.spatial_response, scene.spectral_response)
    return tuple(_radiometric(degraded, predicted, names, ROUGH_GAIN)[1])


def _sample(scene: ObservedScene, progress: Progress) -> PairSample | None:
    """Return a sample of the pair; None where it has too few pixels to ask."""
    try:
        return read_sample(scene, progress)
    except InputError:
        return None


def _radiometric(
    degraded: Planes, predicted: Planes, names: Sequence[str] | None, tolerance: float
) -> tuple[Radiometry, list[Finding]]:
    """Return gain and offset of the bands, and the finding on them or on the order of the bands."""
    y, x = degraded.values, predicted.values
    names = names or [str(band) for band in range(len(y))]
    relation = relate(y, x, tolerance)
    return relation, _order(y, x, names) or _radiometry(relation, names)


def _order(degraded: Array, predicted: Array, names: Sequence[str]) -> list[Finding]:
    """Return the finding that the bands are in another order, if they are."""
    order = better_order(degraded, predicted)
    if order is None:
        return []
    likeness = ", ".join(
        f"{names[band]} resembles {names[other]}" for band, other in enumerate(order) if band != other
    )
    return [Finding("order", f"MSI bands seem to be in another order than R's rows: {likeness}")]


def _radiometry(relation: Radiometry, names: Sequence[str]) -> list[Finding]:
    """Return the finding on gain and offset of the bands, if they matter."""
    if relation.kind == "none" or relation.after > (1 - EXPLAINS) * relation.before:
        return []
    return [Finding(relation.kind, _relation_in_words(relation, names))]


def _relation_in_words(relation: Radiometry, names: Sequence[str]) -> str:
    parts, causes = [], []
    if "gain" in relation.kind:
        parts.append(f"{_numbers(relation.gain, names)} times what R predicts from the HSI")
        causes.append("rows of R that do not sum to 1, or other units")
    if "offset" in relation.kind:
        parts.append(f"{_numbers(relation.offset, names, signed=True)} beside what R predicts from the HSI")
        causes.append(
            "an additive offset in the values, as in Sentinel-2 products from baseline 04.00, or a dark level"
        )
    return (
        f"MSI values are {' and '.join(parts)} (likely cause: {'; '.join(causes)}); corrected, the "
        f"difference of the images falls from {relation.before:.1%} to {relation.after:.1%} of the values"
    )


def _numbers(values: Array, names: Sequence[str], signed: bool = False) -> str:
    """Write one number that holds for all bands, or one for each."""
    form = "+.3g" if signed else ".3g"
    if np.ptp(values) <= GAIN * np.abs(values).max():
        return f"{np.median(values):{form}}"
    return ", ".join(f"{value:{form}} ({name})" for value, name in zip(values, names, strict=True))


def _geometric(geometry: Geometry, spatial: SpatialResponse) -> Iterator[Finding]:
    """Yield findings on displacement, rotation and PSF, the one that explains most first."""
    turn, shift, width = geometry.turn.explained, geometry.shift.explained, geometry.width.explained
    turned = _turned(geometry) if turn - shift >= EXPLAINS else None  # else a shift does as well
    moved = (turn, turned) if turned else (shift, _shifted(geometry))
    for explained, finding in sorted([moved, (width, _blurred(geometry, spatial))], key=lambda e: -e[0]):
        if finding is not None and explained >= EXPLAINS:
            yield finding


def _turned(geometry: Geometry) -> Finding | None:
    if geometry.corner < SHIFT:
        return None
    return Finding(
        "rotation",
        f"the HR-MSI is rotated by {geometry.rotation:+.2g} degrees or scaled against the LR-HSI, which "
        f"moves the corners by {geometry.corner:.2g} LR pixels",
    )


def _shifted(geometry: Geometry) -> Finding | None:
    rows, columns = geometry.displacement
    if hypot(rows, columns) < SHIFT:
        return None
    return Finding(
        "shift",
        f"the HR-MSI lies {rows:+.2f} rows and {columns:+.2f} columns of LR pixels off the place "
        "that H gives it",
    )


def _blurred(geometry: Geometry, spatial: SpatialResponse) -> Finding | None:
    given = float(np.mean(width_of(spatial)))
    squared = given**2 + FWHM_PER_SIGMA**2 * geometry.variance
    better = sqrt(max(squared, 0.0))
    if abs(better - given) < WIDTH * given:
        return None
    word = "wider" if better > given else "narrower"
    return Finding(
        "psf",
        f"the HSI's PSF is {word} than H: a width at half maximum of roughly {better:.2g} LR pixels fits "
        f"better than {given:.2g}",
    )


def _changed(residual: Planes, degraded: Planes) -> Iterator[Finding]:
    change = changed_places(residual, degraded)
    if change.fraction >= CHANGED:
        y, x = change.place
        how = "brighter" if change.brighter else "darker"
        yield Finding(
            "change",
            f"{change.fraction:.1%} of the LR pixels differ far more than the others, most of them around "
            f"row {y}, column {x} of the LR-HSI, where the HR-MSI is {how}: clouds, their shadows, or change "
            "between the dates",
        )


def _bordered(scene: ObservedScene, relation: Radiometry) -> Iterator[Finding]:
    border = scene.spatial_response.border
    difference = None if border == "ignore" else rim_difference(scene, relation)
    if difference is None or difference.rim <= RIM * difference.inside:
        return
    sentence = (
        "LR pixels that see beyond the scene contradict H: the images differ there by "
        f"{difference.rim:.1%} of the values, inside by {difference.inside:.1%}; "
    )
    if border == "mirror":
        zero = replace(scene, spatial_response=scene.spatial_response.bordered("zero"))
        other = rim_difference(zero, relation)
        if other and other.rim <= RIM * other.inside:
            yield Finding("zero border", f"{sentence}with zeros beyond the scene they agree")
            return
    yield Finding("border", f"{sentence}beyond the scene is not {BEYOND[border]}")


def _striped(hsi: Planes) -> Iterator[Finding]:
    for axis, bands in striped_bands(hsi).items():
        if bands:
            listed = ", ".join(map(str, bands[:8])) + (" …" if len(bands) > 8 else "")
            which = f"HSI band {listed} (0-based) has" if len(bands) == 1 else f"{len(bands)} HSI bands have"
            numbers = "" if len(bands) == 1 else f" (0-based: {listed})"
            yield Finding("stripes", f"{which} stripes along {axis}{numbers}")
