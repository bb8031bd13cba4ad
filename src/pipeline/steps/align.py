"""Step `align`: cut two real images to their common footprint on nested grids and estimate their shift.

The shift that remains after georeferencing is estimated from the images. Its whole HR pixels move the
window that is cut from the MSI, and the fraction becomes part of H. Spectra are therefore not resampled,
except for the bands of a detector that is displaced against the other detectors. Responses and noise levels
stored here are a first guess, which `estimate` replaces.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import Crop, Pair
from pipeline.config.scenes import Scene as SceneConfig
from pipeline.core.estimation.agreement import suspicious_values
from pipeline.core.estimation.noise_levels import estimate_hsi_noise, matched_pixels
from pipeline.core.estimation.shift import resampled_bands
from pipeline.core.scene import Metadata, shifted
from pipeline.core.sensing.observation import ObservedScene, Progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.completion import completed, learn_completion
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.pairs.grids import Nesting, cropped
from pipeline.inputs.pairs.msi_response import msi_bands
from pipeline.inputs.pairs.pair import START_FWHM, OpenPair, open_pair
from pipeline.runs.observation import observation_template, write_observation
from pipeline.runs.placement import Placement, place_pair, placement_record
from pipeline.runs.progress import ProgressReport
from pipeline.runs.provenance import provenance
from pipeline.runs.timing import Timing
from pipeline.store.files import read_record

log = logging.getLogger(__name__)
FIRST_LOOK = 16  # blocks of the scene in which missing values are sought before `estimate` reads them all
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
    record = read_record(source)
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
        Both images on their common footprint.
    metadata : Metadata
        Bands of the HSI, place of the MSI's part.
    report : dict
        JSON-ready record of the alignment.
    """

    scene: ObservedScene
    metadata: Metadata
    report: dict[str, Any]

    def images(self, tile: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the LR-HSI and the HR-MSI in one tile."""
        part = self.scene.crop(tile)
        return part.lr_hsi, part.hr_msi


def align(pair: Pair, crop: Crop | None, images: OpenPair, progress: Progress) -> Aligned:
    """Find the shift between two images and cut both to their common footprint.

    Parameters
    ----------
    pair : Pair
        The pair as the experiment describes it.
    crop : Crop or None
        Part of the common footprint, in LR pixels; None for all of it.
    images : OpenPair
        The opened images.
    progress : callable
        Called while the shift is searched and the noise estimated.

    Raises
    ------
    InputError
        The images do not overlap, or lie further apart than the configuration allows.
    """
    bands = msi_bands(pair, images)
    detector = images.hsi.metadata.detector if pair.alignment.detectors == "each" else None
    blur = _configured_blur(pair, images)
    start = blur or SpatialResponse.gaussian(ratio=images.ratio, fwhm=START_FWHM)
    coarse = images.observed(images.nesting(), start, bands.response)
    coarse = completed(coarse, learn_completion(coarse, FIRST_LOOK))
    placement = place_pair(pair, images, coarse, detector, bands.known, progress)
    nesting = images.nesting(placement.shift)
    if crop is not None:
        nesting = cropped(nesting, _whole_pixels(crop, nesting))
    scene = images.observed(nesting, _blur(blur, placement, images), bands.response)
    if detector is not None and placement.moved:
        lr_hsi = resampled_bands(scene.lr_hsi, detector, placement.moved, placement.detector)
        scene = replace(scene, lr_hsi=lr_hsi)
    scene = _with_noise(scene, progress)
    transform = shifted(images.msi.metadata.transform, nesting.hr.y0, nesting.hr.x0)
    like = replace(images.hsi.metadata, crs=images.msi.metadata.crs, transform=transform)
    report = placement_record(pair, images, nesting, placement) | {
        "spectral_known": bands.known,
        "msi_bands": bands.names,
        "coverage": bands.coverage,
        "assumed": {"hsi": list(images.hsi.assumed), "msi": list(images.msi.assumed)},
    }
    suspicions = _suspicions(images)
    for sentence in suspicions:
        log.warning("%s", sentence)
    return Aligned(scene, like, report | {"notes": [*report["notes"], *suspicions]})


def _suspicions(images: OpenPair) -> list[str]:
    """Return sentences on values of the two files that look like undeclared no-data or saturation."""
    return [
        f"{image.name}: {suspicion.sentence(image.metadata.scale)}."
        for image in (images.hsi, images.msi)
        for suspicion in suspicious_values(image.read, *image.shape[1:])
    ]


def _blur(configured: SpatialResponse | None, placement: Placement, images: OpenPair) -> SpatialResponse:
    """Return the PSF without the shift that the placement holds: the configured one, or a Gaussian."""
    if configured is None:
        fwhm = placement.estimates.overall.fwhm if placement.estimates else START_FWHM
        return SpatialResponse.gaussian(ratio=images.ratio, fwhm=fwhm)
    if placement.estimates is None:
        return configured
    y, x = configured.shift  # where the search began: the estimate contains it
    return configured.shifted(-y, -x)


def _configured_blur(pair: Pair, images: OpenPair) -> SpatialResponse | None:
    """Return the configured PSF of the HSI, whose ratio must equal the ratio of the images."""
    blur = pair.spatial.build() if pair.spatial else None
    if blur and blur.ratio != images.ratio:
        raise InputError(
            f"spatial.ratio: {blur.ratio}, but {images.hsi.name} and {images.msi.name} have the "
            f"ratio {images.ratio}; correct it"
        )
    return blur


def _with_noise(scene: ObservedScene, progress: Progress) -> ObservedScene:
    """Return the scene with a first guess of its noise: the HSI's from its bands, the MSI's a hundredth."""
    pixels = matched_pixels(completed(scene, learn_completion(scene, FIRST_LOOK)), progress=progress)
    return replace(
        scene,
        sigma_hsi=estimate_hsi_noise(pixels),
        sigma_msi=MSI_NOISE * np.sqrt(np.square(pixels.msi).mean(axis=1)),
    )


def _whole_pixels(crop: Crop, nesting: Nesting) -> Window:
    """Return the crop of the common footprint in LR pixels; a centred crop may move to whole HR pixels."""
    window, step = crop.window(nesting.lr.shape), nesting.ratio.denominator
    if crop.at != "centre":
        return window
    y0, x0 = (low // step * step for low in (window.y0, window.x0))
    return Window(y0, y0 + crop.height, x0, x0 + crop.width)
