"""Step `align`: two real images on nested grids, cut to their common footprint, and the shift between them.

What the georeferences leave of the shift is estimated from the images. Whole HR pixels of it move the
window that is cut from the MSI, and what remains goes into H: spectra are not resampled, except for
those of a detector that is displaced against the others. Responses and noise levels stored here are a
first guess, which `estimate` settles.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.alignment import Alignment, Alignments, DetectorImage, estimate_alignment
from pipeline.core.estimation import estimate_hsi_noise, estimate_msi_noise, matched_pixels
from pipeline.core.observation import Image, ObservedScene, Progress
from pipeline.core.spatial import SpatialResponse
from pipeline.core.spectral import gaussian_response
from pipeline.core.window import Window
from pipeline.data.files import json_digest, read_json
from pipeline.data.grids import Nesting, cropped
from pipeline.data.pairs import OpenPair, ScenePart, open_pair
from pipeline.data.response_files import read_response
from pipeline.data.scene import Metadata, crop_window, shifted
from pipeline.data.schema import observation_dataset, placeholder, valid_pixels
from pipeline.data.shards import Journal, Part, ShardWriter, fill_store, shard_side
from pipeline.errors import InputError
from pipeline.provenance import provenance
from pipeline.scenes import BandsOf, Crop, Pair
from pipeline.scenes import Scene as SceneConfig
from pipeline.steps.progress import ProgressReport
from pipeline.steps.timing import Timing

log = logging.getLogger(__name__)
START_FWHM = 1.0  # LR pixels, of the Gaussian PSF from which the estimate starts


def run(*, source: Path, settings: SceneConfig, out: Path) -> None:
    """Write `observation.zarr` and its ledger `out`.

    Parameters
    ----------
    source : Path
        `source.json`, which holds the files' digests.
    settings : SceneConfig
        Of a scene with a pair.
    out : Path
    """
    timing = Timing("align")
    pair = settings.pair
    if pair is None:
        raise InputError("align: the scene has no `pair`; scenes with a source are simulated")
    record = read_json(source)
    with timing.measure("io"):
        images = open_pair(pair, {role: record[role]["sha256"] for role in ("hsi", "msi")})
        origin = provenance("align", settings=settings, inputs=[source])
    with timing.measure("compute"), ProgressReport() as progress:
        aligned = align(pair, settings.crop, images, progress)
        like = aligned.metadata
        template = observation_dataset(aligned.without_images(), like)
        template.attrs["alignment"] = aligned.report
        step = aligned.scene.spatial_response.ratio.numerator
        side = shard_side(aligned.scene.bands, step)
        lr_side = int(side / aligned.scene.spatial_response.ratio)
        shards = {"y": side, "x": side, "y_lr": lr_side, "x_lr": lr_side}
        writer = ShardWriter(out.with_suffix(".zarr"), template, origin, shards)
        units = {
            f"{tile.y0}/{tile.x0}": partial(aligned.parts, tile) for tile in aligned.scene.whole.split(side)
        }
        fill_store(writer, Journal(out.with_suffix(".journal"), json_digest(origin)), units, progress)
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

    def without_images(self) -> ObservedScene:
        """The scene's description for a store that is filled tile by tile."""
        return replace(
            self.scene,
            lr_hsi=placeholder(self.scene.bands, *self.scene.lr_shape),
            hr_msi=placeholder(self.scene.hr_msi.shape[0], *self.scene.hr_shape),
        )

    def parts(self, tile: Window) -> Iterator[Part]:
        """The shards of one tile of all rasters."""
        lr = self.scene.lr_window(tile)
        seen = self.scene.crop(tile)
        yield "lr_hsi", lr, seen.lr_hsi
        yield "mask_lr", lr, valid_pixels(seen.lr_hsi)
        yield "hr_msi", tile, seen.hr_msi
        yield "mask", tile, valid_pixels(seen.hr_msi)


def align(pair: Pair, crop: Crop | None, images: OpenPair, progress: Progress) -> Aligned:
    """Find the shift between two images and cut both to what they have in common.

    Raises
    ------
    InputError
        The images do not overlap, or lie further apart than the configuration allows.
    """
    response, known = first_response(pair, images)
    detectors = images.hsi.metadata.detector
    coarse = images.nesting()
    start = pair.spatial.build() if pair.spatial else SpatialResponse.gaussian(ratio=images.ratio, fwhm=START_FWHM)
    found = None
    shift = pair.alignment.shift
    if shift == "estimated":
        scene = _scene(images, coarse, start, response)
        found = estimate_alignment(scene, detectors, spectral_known=known, progress=progress)
        placed = _placement(found, pair)
        shift = tuple(value - left for value, left in zip(placed.shift, coarse.shift, strict=True))
        _check_distance(shift, placed, pair, images)
        if pair.spatial is None:
            start = SpatialResponse.gaussian(ratio=images.ratio, fwhm=placed.fwhm)
    nesting = images.nesting(shift)
    if crop is not None:
        nesting = cropped(nesting, _whole_pixels(crop, nesting))
    scene = _scene(images, nesting, start, response)
    if found and pair.alignment.detectors == "each":
        scene = replace(scene, lr_hsi=_detectors_together(images, nesting, found, detectors))
    scene = _with_noise(scene, known, progress)
    transform = shifted(images.msi.metadata.transform, nesting.hr.y0, nesting.hr.x0)
    like = replace(images.hsi.metadata, crs=images.msi.metadata.crs, transform=transform)
    return Aligned(scene, like, _report(pair, images, nesting, shift, found, known))


def first_response(pair: Pair, images: OpenPair) -> tuple[NDArray[np.float64], bool]:
    """R ``(c, C)`` as the configuration or the MSI's own bands tell, else a flat one, and whether it is told."""
    hsi, msi = images.hsi.metadata, images.msi.metadata
    bands = images.msi.shape[0], images.hsi.shape[0]
    spectral = pair.msi.spectral if isinstance(pair.msi, BandsOf) else pair.spectral
    if spectral is not None:
        response = read_response(spectral, hsi.wavelength, hsi.fwhm)
        if len(response) != bands[0]:
            raise InputError(
                f"{pair.files['msi'].path}: has {bands[0]} bands, but `spectral` describes {len(response)}; "
                "name the bands of both in the same order"
            )
        return response, True
    if hsi.wavelength is None or msi.wavelength is None:
        return np.full(bands, 1 / bands[1]), False
    widths = msi.fwhm if msi.fwhm is not None else band_spacing(msi.wavelength)
    names = [f"{i} ({centre:g} nm)" for i, centre in enumerate(msi.wavelength)]
    return gaussian_response(msi.wavelength, widths, hsi.wavelength, hsi.fwhm, names), True


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
    window, step = crop_window(crop, nesting.lr.shape), nesting.ratio.denominator
    if crop.at != "centre":
        return window
    y0, x0 = (low // step * step for low in (window.y0, window.x0))
    return Window(y0, y0 + crop.height, x0, x0 + crop.width)


def _check_distance(shift: Offset, pair: Pair, images: OpenPair) -> None:
    """Refuse images that lie further apart than the configuration allows."""
    limit = pair.alignment.largest_shift
    if hypot(*shift) > limit:
        raise InputError(
            f"{pair.hsi.path}: is displaced against {pair.files['msi'].path} by {shift[0]:+.2f} rows and "
            f"{shift[1]:+.2f} columns of LR pixels, beyond alignment.largest_shift {limit:g}; register the "
            "images first, or raise the limit if that is right"
        )
