"""What the page keeps of a scene's images: thumbnails, error maps, spectral angles, a few spectra.

One pass over fixed windows reads the reference, if there is one, and all fused cubes side by side, so that
memory holds a window of the reference and one of a cube, whatever the scene's size. Nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.observation import Image, ObservedScene, Progress
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.report.drawing.pictures import Composite, Floats, rms_error_map, sam_map
from pipeline.report.drawing.pixels import Candidates
from pipeline.report.drawing.thumbnails import Thumbnail, read, thumbnail, windows

SHARES = 401
"""Points of the distribution of spectral angles."""
SAMPLE = 2**20
"""Pixels that stand for the distribution, about; a scene that has no more is represented by all."""


@dataclass(frozen=True)
class Views:
    """What is kept of a fused cube.

    Attributes
    ----------
    planes : (composite, 3, h, w)
    spectra : (pixel, C)
    deviation : (h, w), optional
        RMS standard deviation over the bands, averaged over a picture pixel.
    """

    planes: Floats
    spectra: Floats
    deviation: Floats | None = None


@dataclass(frozen=True)
class Errors:
    """What is kept of a fused cube's differences from the reference.

    Attributes
    ----------
    rms : (h, w)
        RMS over the bands, averaged over a picture pixel.
    sam : (h, w)
        Spectral angle in degrees, averaged likewise.
    sam_shares : (SHARES,)
        Quantiles of the spectral angle at equal steps; empty if no pixel has one.
    """

    rms: Floats
    sam: Floats
    sam_shares: Floats


@dataclass(frozen=True)
class Overview:
    """What is kept of a scene under one response.

    Attributes
    ----------
    lr_hsi : (composite, 3, h, w)
    hr_msi : (c, h, w)
    reference : (composite, 3, h, w) or None
    pixels : list of (int, int)
        Row and column of the typical pixels: of the reference, or else of the first fused cube.
    spectra : (pixel, C)
        The reference's, or else those of the LR pixels around them.
    msi_values : (pixel, c)
        The HR-MSI's.
    views : dict
        Of each fused cube, by label.
    errors : dict
        Of each fused cube, by label; empty without a reference.
    """

    lr_hsi: Floats
    hr_msi: Floats
    reference: Floats | None
    pixels: list[tuple[int, int]]
    spectra: Floats
    msi_values: Floats
    views: dict[str, Views]
    errors: dict[str, Errors]


def overview(
    reference: Image | None,
    observation: ObservedScene,
    cubes: Mapping[str, Image],
    shown: Sequence[Composite],
    progress: Progress,
    deviations: Mapping[str, Image] | None = None,
) -> Overview:
    """Read every image once and keep what the page shows.

    Parameters
    ----------
    reference : (C, H, W) or None
        In memory, or anything whose slices NumPy can read; so are all other images.
    observation : ObservedScene
    cubes : dict of (C, H, W)
    shown : sequence of Composite
    progress : callable
    deviations : dict of (C, H, W), optional
        Standard deviations of some of the cubes.
    """
    deviations = deviations or {}
    shape = (observation.bands, *observation.hr_shape)
    named = {f"fused cube of {label}": cube for label, cube in cubes.items()}
    for name, image in (named if reference is None else {"reference": reference} | named).items():
        if tuple(image.shape) != shape:
            raise InputError(
                f"{name}: shape {tuple(image.shape)} does not match the observation's {shape}; "
                "run the workflow again"
            )
    bands = np.array([composite.bands for composite in shown])
    candidates = Candidates(*shape)
    truth = Thumbnail(*bands.shape, *shape[1:])
    planes = {label: Thumbnail(*bands.shape, *shape[1:]) for label in cubes}
    spreads = {label: Thumbnail(*shape[1:]) for label in deviations}
    errors = {} if reference is None else {label: _Differences(*shape[1:]) for label in cubes}
    parts = list(windows(*shape[1:]))
    for done, window in enumerate(parts, start=1):
        block = None if reference is None else read(reference, window)
        if block is not None:
            candidates.add(window, block)
            truth.add(window, block[bands])
        for index, (label, cube) in enumerate(cubes.items()):
            own = read(cube, window)
            planes[label].add(window, own[bands])
            if label in deviations:
                spread = read(deviations[label], window)
                spreads[label].add(window, rms_error_map(np.zeros_like(spread), spread))
            if block is not None:
                errors[label].add(window, block, own)
            elif index == 0:
                candidates.add(window, own)
        progress("pictures", done, len(parts))
    pixels = candidates.typical()
    around = [lr_pixel_around(observation, pixel) for pixel in pixels]
    return Overview(
        lr_hsi=thumbnail(observation.lr_hsi, bands),
        hr_msi=thumbnail(observation.hr_msi, np.arange(observation.hr_msi.shape[0])),
        reference=None if reference is None else truth.values,
        pixels=pixels,
        spectra=_spectra(observation.lr_hsi, around) if reference is None else _spectra(reference, pixels),
        msi_values=_spectra(observation.hr_msi, pixels),
        views={
            label: Views(
                planes[label].values,
                _spectra(cube, pixels),
                spreads[label].values if label in spreads else None,
            )
            for label, cube in cubes.items()
        },
        errors={label: found.errors() for label, found in errors.items()},
    )


def lr_pixel_around(observation: ObservedScene, pixel: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the LR pixel in which an HR pixel's centre lies, by the grids and H's shift."""
    response = observation.spatial_response
    places = zip(pixel, response.shift, observation.lr_shape, strict=True)
    row, column = (
        min(max(floor((at + 0.5) / float(response.ratio) - shift), 0), size - 1) for at, shift, size in places
    )
    return row, column


class _Differences:
    """The differences of one fused cube from the reference in the making."""

    def __init__(self, height: int, width: int) -> None:
        self.rms, self.sam = Thumbnail(height, width), Thumbnail(height, width)
        self.angles = Sample(height * width)

    def add(self, window: Window, reference: Floats, cube: Floats) -> None:
        """Take a window of the reference and of the cube."""
        angles = sam_map(reference, cube)
        self.rms.add(window, rms_error_map(reference, cube))
        self.sam.add(window, angles)
        self.angles.add(angles)

    def errors(self) -> Errors:
        """What came together."""
        return Errors(self.rms.values, self.sam.values, self.angles.quantiles(SHARES))


class Sample:
    """An even sample of a scene's values, or all of them if they are few.

    Pixels are drawn at random, since a regular grid could fall into step with the LR pixels. Equal
    windows in equal order draw equal pixels.

    Parameters
    ----------
    pixels : int
        Of the scene.
    size : int
        Pixels to draw, about.
    """

    def __init__(self, pixels: int, size: int = SAMPLE) -> None:
        self._share = min(1.0, size / pixels)
        self._generator = np.random.default_rng(0)
        self._drawn: list[Floats] = []

    def add(self, values: Floats) -> None:
        """Draw from a window; values that are not finite do not count."""
        drawn = values[self._generator.random(values.shape) < self._share]
        self._drawn.append(drawn[np.isfinite(drawn)])

    def quantiles(self, count: int) -> Floats:
        """Quantiles at `count` equal steps from 0 to 1; none without values."""
        values = np.concatenate(self._drawn)
        return np.quantile(values, np.linspace(0, 1, count)) if values.size else np.empty(0)


def _spectra(image: Image, pixels: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Spectra of a few pixels, ``(pixel, C)``."""
    return np.array([image[:, y : y + 1, x : x + 1][:, 0, 0] for y, x in pixels], np.float32)
