"""What the page keeps of a scene's images: thumbnails, error maps, spectral angles, a few spectra.

One pass over fixed windows reads the reference and all fused cubes side by side, so that memory holds
a window of the reference and one of a cube, whatever the scene's size. Nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.core.observation import Image, ObservedScene, Progress
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.report.pictures import Composite, Floats, rms_error_map, sam_map
from pipeline.report.pixels import Candidates
from pipeline.report.thumbnails import Thumbnail, read, thumbnail, windows

SHARES = 401
"""Points of the distribution of spectral angles."""
SAMPLE = 2**20
"""Pixels that stand for the distribution, about; a scene that has no more is represented by all."""


@dataclass(frozen=True)
class Views:
    """What is kept of a fused cube; ``(h, w)`` is the size of its pictures.

    Attributes
    ----------
    planes : (composite, 3, h, w)
    error : (h, w)
        RMS over the bands, averaged over a picture pixel.
    sam : (h, w)
        Spectral angle in degrees, averaged likewise.
    sam_shares : (SHARES,)
        Quantiles of the spectral angle at equal steps; empty if no pixel has one.
    spectra : (pixel, C)
    """

    planes: Floats
    error: Floats
    sam: Floats
    sam_shares: Floats
    spectra: Floats


@dataclass(frozen=True)
class Overview:
    """What is kept of a scene under one response.

    Attributes
    ----------
    lr_hsi, reference : (composite, 3, h, w)
    hr_msi : (c, h, w)
    pixels : list of (int, int)
        Row and column of the typical pixels.
    spectra : (pixel, C)
        The reference's.
    views : dict
        Of each fused cube, by label.
    """

    lr_hsi: Floats
    hr_msi: Floats
    reference: Floats
    pixels: list[tuple[int, int]]
    spectra: Floats
    views: dict[str, Views]


def overview(
    reference: Image,
    observation: ObservedScene,
    cubes: Mapping[str, Image],
    shown: Sequence[Composite],
    progress: Progress,
) -> Overview:
    """Read every image once and keep what the page shows.

    Parameters
    ----------
    reference : (C, H, W)
        In memory, or anything whose slices NumPy can read; so are all other images.
    observation : ObservedScene
    cubes : dict of (C, H, W)
    shown : sequence of Composite
    progress : callable
    """
    for label, cube in cubes.items():
        if tuple(cube.shape) != tuple(reference.shape):
            raise InputError(
                f"fused cube of {label}: shape {tuple(cube.shape)} does not match the reference's "
                f"{tuple(reference.shape)}; run the workflow again"
            )
    bands = np.array([composite.bands for composite in shown])
    candidates = Candidates(*reference.shape)
    planes = Thumbnail(*bands.shape, *reference.shape[1:])
    gathered = {label: _Gathering(bands, *reference.shape[1:]) for label in cubes}
    parts = list(windows(*reference.shape[1:]))
    for done, window in enumerate(parts, start=1):
        block = read(reference, window)
        candidates.add(window, block)
        planes.add(window, block[bands])
        for label, cube in cubes.items():
            gathered[label].add(window, block, read(cube, window))
        progress("pictures", done, len(parts))
    pixels = candidates.typical()
    return Overview(
        lr_hsi=thumbnail(observation.lr_hsi, bands),
        hr_msi=thumbnail(observation.hr_msi, np.arange(observation.hr_msi.shape[0])),
        reference=planes.values,
        pixels=pixels,
        spectra=_spectra(reference, pixels),
        views={label: gathered[label].views(_spectra(cube, pixels)) for label, cube in cubes.items()},
    )


class _Gathering:
    """The views of one fused cube in the making."""

    def __init__(self, bands: NDArray[np.intp], height: int, width: int) -> None:
        self.bands = bands
        self.planes = Thumbnail(*bands.shape, height, width)
        self.error, self.sam = Thumbnail(height, width), Thumbnail(height, width)
        self.angles = Sample(height * width)

    def add(self, window: Window, reference: Floats, cube: Floats) -> None:
        """Take a window of the reference and of the cube."""
        angles = sam_map(reference, cube)
        self.planes.add(window, cube[self.bands])
        self.error.add(window, rms_error_map(reference, cube))
        self.sam.add(window, angles)
        self.angles.add(angles)

    def views(self, spectra: Floats) -> Views:
        """What came together."""
        return Views(
            self.planes.values, self.error.values, self.sam.values, self.angles.quantiles(SHARES), spectra
        )


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
    return np.array([np.asarray(image[:, y, x]) for y, x in pixels], np.float32)
