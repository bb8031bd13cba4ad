"""Step `align`: cut two real images to their common footprint on nested grids and estimate their shift.

What the georeferences leave of the shift is estimated from the images. Whole HR pixels of it move the
window that is cut from the MSI, and what remains goes into H: spectra are not resampled, except for
those of a detector that is displaced against the others. Responses and noise levels stored here are a
first guess, which `estimate` settles.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from pipeline.config.scenes import Crop, Pair
from pipeline.config.scenes import Scene as SceneConfig
from pipeline.core.estimation.noise_levels import estimate_hsi_noise, matched_pixels
from pipeline.core.estimation.shift import (
    Alignment,
    Alignments,
    estimate_alignment,
    most_precise,
    resampled_bands,
)
from pipeline.core.scene import Metadata, shifted
from pipeline.core.sensing.observation import ObservedScene, Progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.pairs.grids import Nesting, Offset, cropped
from pipeline.inputs.pairs.msi_response import MsiBands, msi_bands
from pipeline.inputs.pairs.pair import OpenPair, ScenePart, open_pair
from pipeline.runs.observation import observation_template, write_observation
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.timing import Timing
from pipeline.store.files import read_json

log = logging.getLogger(__name__)
START_FWHM = 1.0  # LR pixels, of the Gaussian PSF from which the estimate starts
CERTAIN = 2.0  # standard errors beyond which two detectors are taken to be displaced
RESOLVED = 1e-3  # LR pixels, below which shifts are equal: some steps of the search's tolerance
MSI_NOISE = 0.01  # of the RMS of each MSI band, until `estimate` knows better


def run(*, source: Path, settings: SceneConfig, out: Path) -> None:
    """Write `observation.zarr` and its ledger.

    Parameters
    ----------
    source : Path
        `source.json`, which holds the digests of the pair's files.
    settings : SceneConfig
        The scene's entry in the experiment, which has a `pair`.
    out : Path
        The ledger to write, `observation.json`.

    Raises
    ------
    InputError
        The scene has no pair, or its images cannot be read, do not overlap or lie too far apart.
    """
    timing = Timing("align")
    pair = settings.pair
    if pair is None:
        raise InputError("align: the scene has no `pair`; scenes with a source are simulated")
    record = read_json(source)
    with timing.measure("io"):
        images = open_pair(pair, {role: record[role]["sha256"] for role in ("hsi", "msi")})
        table = getattr(pair.configured_response, "path", None)
        inputs = [source, Path(table)] if table else [source]
        origin = provenance("align", settings=settings, inputs=inputs)
    with timing.measure("compute"), ProgressReport() as progress:
        aligned = align(pair, settings.crop, images, progress)
        template = observation_template(
            aligned.scene, aligned.metadata, images.msi.metadata, alignment=aligned.report
        )
        write_observation(out, template, images.ratio, origin, aligned.images, progress)
    timing.write(out.parent)


@dataclass(frozen=True)
class Aligned:
    """A pair on nested grids, whose images are read from their files.

    Attributes
    ----------
    scene : ObservedScene
    metadata : Metadata
        Bands of the HSI, place of the MSI's part.
    report : dict
        What was found, JSON-ready.
    """

    scene: ObservedScene
    metadata: Metadata
    report: dict[str, Any]

    def images(self, tile: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The two images in one tile."""
        seen = self.scene.crop(tile)
        return seen.lr_hsi, seen.hr_msi


def align(pair: Pair, crop: Crop | None, images: OpenPair, progress: Progress) -> Aligned:
    """Find the shift between two images and cut both to what they have in common.

    Raises
    ------
    InputError
        The images do not overlap, or lie further apart than the configuration allows.
    """
    bands = msi_bands(pair, images)
    detector = images.hsi.metadata.detector if pair.alignment.detectors == "each" else None
    blur = _configured_blur(pair, images)
    start = blur or SpatialResponse.gaussian(ratio=images.ratio, fwhm=START_FWHM)
    placed, found = _placement(pair, images, start, bands, detector, progress)
    nesting = images.nesting(placed.shift)
    if crop is not None:
        nesting = cropped(nesting, _whole_pixels(crop, nesting))
    fitted = found.overall.fwhm if found else START_FWHM
    if found and blur:  # whose own shift was where the estimate began
        blur = blur.shifted(*(-by for by in blur.shift))
    scene = _scene(
        images, nesting, blur or SpatialResponse.gaussian(ratio=images.ratio, fwhm=fitted), bands.response
    )
    if detector is not None and placed.moved:
        together = resampled_bands(scene.lr_hsi, detector, placed.moved, placed.detector)
        scene = replace(scene, lr_hsi=together)
    scene = _with_noise(scene, progress)
    transform = shifted(images.msi.metadata.transform, nesting.hr.y0, nesting.hr.x0)
    like = replace(images.hsi.metadata, crs=images.msi.metadata.crs, transform=transform)
    report = _report(pair, images, nesting, placed, found) | {
        "spectral_known": bands.known,
        "msi_bands": bands.names,
        "coverage": bands.coverage,
    }
    return Aligned(scene, like, report)


def _configured_blur(pair: Pair, images: OpenPair) -> SpatialResponse | None:
    """The HSI's PSF as the configuration has it."""
    blur = pair.spatial.build() if pair.spatial else None
    if blur and blur.ratio != images.ratio:
        raise InputError(
            f"spatial.ratio: {blur.ratio}, but {images.hsi.name} and {images.msi.name} have the "
            f"ratio {images.ratio}; correct it"
        )
    return blur


@dataclass(frozen=True)
class Placement:
    """Where the HSI lies on the MSI, beyond what the georeferences say.

    Attributes
    ----------
    shift : (float, float)
        Rows and columns in LR pixels.
    error : (float, float) or None
        Standard errors, of a shift that was estimated.
    detector : str
        The detector that it is of; empty where it is of all bands.
    moved : mapping of str to Alignment
        That detector and those whose bands are resampled to its shift; empty where there are none.
    """

    shift: Offset
    error: Offset | None = None
    detector: str = ""
    moved: Mapping[str, Alignment] = field(default_factory=dict)


def _placement(
    pair: Pair,
    images: OpenPair,
    start: SpatialResponse,
    bands: MsiBands,
    detector: NDArray[np.str_] | None,
    progress: Progress,
) -> tuple[Placement, Alignments | None]:
    """The configured shift, or the estimated one with all that was found."""
    given = pair.alignment.shift
    if given != "estimated":
        return Placement(given), None
    coarse = images.nesting()
    scene = _scene(images, coarse, start, bands.response)
    found = estimate_alignment(scene, detector, progress, spectral_known=bands.known)
    trusted = {name: one for name, one in found.detectors.items() if one.by_response} or found.detectors
    name = most_precise(trusted) if trusted else ""
    best = trusted[name] if name else found.overall
    displaced = {other: one for other, one in trusted.items() if _displaced(one, best)}
    for one in (best, *displaced.values()):
        _check_distance(_beyond(one, coarse), one.shift_error, pair, images)
    moved = {name: best} | displaced if displaced else {}
    return Placement(_beyond(best, coarse), best.shift_error, name, moved), found


def _beyond(found: Alignment, nesting: Nesting) -> Offset:
    """A shift without what the georeferences say of it."""
    (dy, dx), (y, x) = found.shift, nesting.shift
    return dy - y, dx - x


def _displaced(one: Alignment, other: Alignment) -> bool:
    """Whether two detectors lie further apart than their errors explain, and than can be resolved."""
    return any(
        abs(a - b) > max(CERTAIN * hypot(error_a, error_b), RESOLVED)
        for a, b, error_a, error_b in zip(
            one.shift, other.shift, one.shift_error, other.shift_error, strict=True
        )
    )


def _scene(
    images: OpenPair, nesting: Nesting, blur: SpatialResponse, response: NDArray[np.float64]
) -> ObservedScene:
    """The two images on their common footprint, with noise levels that no one knows yet."""
    return ObservedScene(
        ScenePart(images.hsi, nesting.lr),
        ScenePart(images.msi, nesting.hr),
        response,
        blur.shifted(*nesting.shift),
        np.ones(images.hsi.shape[0]),
        np.ones(images.msi.shape[0]),
    )


def _with_noise(scene: ObservedScene, progress: Progress) -> ObservedScene:
    """The scene with a first guess of its noise: of the HSI from its bands, of the MSI a hundredth."""
    pixels = matched_pixels(scene, progress=progress)
    return replace(
        scene,
        sigma_hsi=estimate_hsi_noise(pixels),
        sigma_msi=MSI_NOISE * np.sqrt(np.square(pixels.msi).mean(axis=1)),
    )


def _whole_pixels(crop: Crop, nesting: Nesting) -> Window:
    """The crop of the common footprint, in LR pixels; a centred one may move to whole HR pixels."""
    window, step = crop.window(nesting.lr.shape), nesting.ratio.denominator
    if crop.at != "centre":
        return window
    y0, x0 = (low // step * step for low in (window.y0, window.x0))
    return Window(y0, y0 + crop.height, x0, x0 + crop.width)


def _check_distance(shift: Offset, error: Offset, pair: Pair, images: OpenPair) -> None:
    """Refuse images that lie further apart than the configuration allows, or may."""
    limit = pair.alignment.largest_shift
    if not hypot(*error) <= limit:
        raise InputError(
            f"{images.hsi.name}: nothing in it and in {images.msi.name} tells the shift between "
            "them; use a part with more texture, or give `alignment.shift`"
        )
    if hypot(*shift) > limit:
        raise InputError(
            f"{images.hsi.name}: is displaced against {images.msi.name} by {shift[0]:+.2f} rows "
            f"and {shift[1]:+.2f} columns of LR pixels, beyond alignment.largest_shift {limit:g}; register "
            "the images first, or raise the limit if that is right"
        )


def _report(
    pair: Pair, images: OpenPair, nesting: Nesting, placed: Placement, found: Alignments | None
) -> dict[str, Any]:
    """What was found, JSON-ready; shifts are those beyond the georeferences, in LR pixels and in metres."""
    coarse = images.nesting()
    content: dict[str, Any] = {
        "ratio": str(images.ratio),
        "shift": list(placed.shift),
        "shift_error": placed.error and list(placed.error),
        "shift_metres": _metres(placed.shift, images),
        "limit": pair.alignment.largest_shift,
        "detectors": {},
        "notes": [],
        "resampled": images.resampled,
        "lr_window": list(vars(nesting.lr).values()),
        "hr_window": list(vars(nesting.hr).values()),
        "msi_shape": list(images.msi.shape[1:]),
    }
    if images.resampled:
        content["notes"].append("The MSI was resampled (cubic convolution) onto the HSI's grid.")
    if found is None:
        return content
    content |= {
        "fwhm": found.overall.fwhm,
        "fwhm_error": found.overall.fwhm_error,
        "correlation": list(found.overall.correlation),
        "pixels": found.overall.pixels,
        "detectors": {
            name: {
                "shift": list(_beyond(one, coarse)),
                "shift_error": list(one.shift_error),
                "correlation": list(one.correlation),
                "resampled": name in placed.moved and name != placed.detector,
                "matched_by": "response" if one.by_response else "correlation",
            }
            for name, one in found.detectors.items()
        },
    }
    if found.overall.ambiguous:
        content["notes"].append(
            "Another shift explains the images nearly as well: check this one, or give `alignment.shift`."
        )
    for note in content["notes"]:
        log.warning("%s", note)
    return content


def _metres(shift: Offset, images: OpenPair) -> list[float] | None:
    """A shift in metres, down and right along the grid's axes; None where the CRS does not have them."""
    place, crs = images.hsi.metadata.transform, images.hsi.metadata.crs
    if place is None or crs is None or not CRS.from_user_input(crs).is_projected:
        return None
    metre = CRS.from_user_input(crs).linear_units_factor[1]
    a, b, _, d, e, _ = place
    return [shift[0] * hypot(b, e) * metre, shift[1] * hypot(a, d) * metre]
