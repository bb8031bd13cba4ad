"""Reduction of a scene's images to thumbnails, error maps, spectral angles and a few spectra.

One pass over fixed windows reads the reference, if there is one, and all fused cubes side by side, so that
memory holds a window of the reference and a window of one cube, whatever the scene's size.
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
"""Number of quantiles of the spectral angle."""
SAMPLE = 2**20
"""Approximate number of pixels whose angles are kept; of smaller scenes all are."""


@dataclass(frozen=True)
class Views:
    """Pictures and spectra of a fused cube.

    Attributes
    ----------
    planes : (composite, 3, h, w)
        Bands of the composites.
    spectra : (pixel, C)
        At the typical pixels.
    deviation : (h, w), optional
        RMS standard deviation over the bands, averaged over a picture pixel.
    """

    planes: Floats
    spectra: Floats
    deviation: Floats | None = None


@dataclass(frozen=True)
class Errors:
    """Differences of a fused cube from the reference.

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
    """Reduced images of a scene under one response.

    Attributes
    ----------
    lr_hsi : (composite, 3, h, w)
        Bands of the composites.
    hr_msi : (c, h, w)
        All bands.
    reference : (composite, 3, h, w) or None
        Bands of the composites.
    pixels : list of (int, int)
        Row and column of the typical pixels, chosen on the reference or else on the first fused cube.
    spectra : (pixel, C)
        Spectra of the reference at these pixels, or else of the LR pixels around them.
    msi_values : (pixel, c)
        Values of the HR-MSI at these pixels.
    views : dict of Views
        Fused cubes, by label.
    errors : dict of Errors
        Their differences from the reference, by label; empty without a reference.
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
    composites: Sequence[Composite],
    progress: Progress,
    deviations: Mapping[str, Image] | None = None,
) -> Overview:
    """Read every image once and keep the pixels and pictures that the page shows.

    Parameters
    ----------
    reference : (C, H, W) or None
        In memory, or anything whose slices NumPy can read; so are all other images.
    observation : ObservedScene
        LR-HSI and HR-MSI with their responses.
    cubes : dict of (C, H, W)
        Fused cubes by label.
    composites : sequence of Composite
        Bands that are shown.
    progress : callable
        Is called with the number of windows that are read.
    deviations : dict of (C, H, W), optional
        Standard deviations of some of the cubes.
    """
    deviations = deviations or {}
    shape = (observation.bands, *observation.hr_shape)
    _check_shapes(reference, cubes, shape)
    bands = np.array([composite.bands for composite in composites])
    truth = None if reference is None else _ReducedCube(reference, None, bands, known=False)
    reduced = {
        label: _ReducedCube(cube, deviations.get(label), bands, known=reference is not None)
        for label, cube in cubes.items()
    }
    pixels = _read_all(truth, reduced, shape, progress)
    around = [lr_pixel_around(observation, pixel) for pixel in pixels]
    return Overview(
        lr_hsi=thumbnail(observation.lr_hsi, bands),
        hr_msi=thumbnail(observation.hr_msi, np.arange(observation.hr_msi.shape[0])),
        reference=None if truth is None else truth.planes.values,
        pixels=pixels,
        spectra=_spectra(observation.lr_hsi, around) if reference is None else _spectra(reference, pixels),
        msi_values=_spectra(observation.hr_msi, pixels),
        views={label: cube.views(pixels) for label, cube in reduced.items()},
        errors={
            label: cube.differences.errors()
            for label, cube in reduced.items()
            if cube.differences is not None
        },
    )


def _read_all(
    truth: _ReducedCube | None,
    cubes: Mapping[str, _ReducedCube],
    shape: tuple[int, int, int],
    progress: Progress,
) -> list[tuple[int, int]]:
    """Read reference and cubes side by side; choose typical pixels on the reference or the first cube."""
    candidates = Candidates(*shape)
    stand_in = next(iter(cubes), None) if truth is None else None
    parts = list(windows(*shape[1:]))
    for done, window in enumerate(parts, start=1):
        block = None if truth is None else truth.add(window)
        if block is not None:
            candidates.add(window, block)
        for label, cube in cubes.items():
            own = cube.add(window, block)
            if label == stand_in:
                candidates.add(window, own)
        progress("pictures", done, len(parts))
    return candidates.typical()


def _check_shapes(reference: Image | None, cubes: Mapping[str, Image], shape: tuple[int, ...]) -> None:
    """Refuse images whose shape differs from the observation's HR-HSI."""
    named = {f"fused cube of {label}": cube for label, cube in cubes.items()}
    for name, image in (named if reference is None else {"reference": reference} | named).items():
        if tuple(image.shape) != shape:
            raise InputError(
                f"{name}: shape {tuple(image.shape)} does not match the observation's {shape}; "
                "run the workflow again"
            )


def lr_pixel_around(observation: ObservedScene, pixel: tuple[int, int]) -> tuple[int, int]:
    """Return row and column of the LR pixel that holds an HR pixel's centre, by the grids and H's shift.

    Parameters
    ----------
    observation : ObservedScene
        Sizes of the grids, and H.
    pixel : (int, int)
        Row and column of the HR pixel.
    """
    response = observation.spatial_response
    places = zip(pixel, response.shift, observation.lr_shape, strict=True)
    row, column = (
        min(max(floor((at + 0.5) / float(response.ratio) - shift), 0), size - 1) for at, shift, size in places
    )
    return row, column


class _ReducedCube:
    """A fused cube, or the reference, that is reduced window by window.

    Parameters
    ----------
    cube : (C, H, W)
        The image.
    deviation : (C, H, W) or None
        Its standard deviation.
    bands : (composite, 3) of int
        Bands that are shown.
    known : bool
        Whether there is a reference to compare it with.
    """

    def __init__(self, cube: Image, deviation: Image | None, bands: NDArray[np.intp], known: bool) -> None:
        height, width = cube.shape[1:]
        self.cube, self.deviation, self.bands = cube, deviation, bands
        self.planes = Thumbnail(*bands.shape, height, width)
        self.spread = Thumbnail(height, width)
        self.differences = _Differences(height, width) if known else None

    def add(self, window: Window, reference: Floats | None = None) -> Floats:
        """Read a window of a cube, compare it with the reference, and return it.

        Parameters
        ----------
        window : Window
            Its place in the scene.
        reference : (C, h, w), optional
            The reference's values.
        """
        block = read(self.cube, window)
        self.planes.add(window, block[self.bands])
        if self.deviation is not None:
            spread = read(self.deviation, window)
            self.spread.add(window, rms_error_map(np.zeros_like(spread), spread))
        if self.differences is not None and reference is not None:
            self.differences.add(window, reference, block)
        return block

    def views(self, pixels: Sequence[tuple[int, int]]) -> Views:
        """Return pictures, and the spectra of a few pixels.

        Parameters
        ----------
        pixels : sequence of (int, int)
            Row and column.
        """
        spread = None if self.deviation is None else self.spread.values
        return Views(self.planes.values, _spectra(self.cube, pixels), spread)


class _Differences:
    """The differences of one fused cube from the reference, gathered window by window."""

    def __init__(self, height: int, width: int) -> None:
        self.rms, self.sam = Thumbnail(height, width), Thumbnail(height, width)
        self.angles = Sample(height * width)

    def add(self, window: Window, reference: Floats, cube: Floats) -> None:
        """Compare a window of the reference with the same window of the cube.

        Parameters
        ----------
        window : Window
            Its place in the scene.
        reference, cube : (C, h, w)
            Its values.
        """
        angles = sam_map(reference, cube)
        self.rms.add(window, rms_error_map(reference, cube))
        self.sam.add(window, angles)
        self.angles.add(angles)

    def errors(self) -> Errors:
        """Return the differences after all windows."""
        return Errors(self.rms.values, self.sam.values, self.angles.quantiles(SHARES))


class Sample:
    """A random sample of a scene's values, or all of them if they are few.

    Pixels are drawn at random, since a regular grid could coincide with the LR pixels. Equal windows in
    equal order draw equal pixels.

    Parameters
    ----------
    pixels : int
        Number of pixels of the scene.
    size : int
        Approximate number of pixels to draw.
    """

    def __init__(self, pixels: int, size: int = SAMPLE) -> None:
        self._share = min(1.0, size / pixels)
        self._generator = np.random.default_rng(0)
        self._drawn: list[Floats] = []

    def add(self, values: Floats) -> None:
        """Draw from a window; values that are not finite are left out.

        Parameters
        ----------
        values : (h, w)
            The window.
        """
        drawn = values[self._generator.random(values.shape) < self._share]
        self._drawn.append(drawn[np.isfinite(drawn)])

    def quantiles(self, count: int) -> Floats:
        """Return quantiles at `count` equal steps from 0 to 1; none without values.

        Parameters
        ----------
        count : int
            Number of steps.
        """
        values = np.concatenate(self._drawn)
        return np.quantile(values, np.linspace(0, 1, count)) if values.size else np.empty(0)


def _spectra(image: Image, pixels: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Read the spectra of a few pixels, ``(pixel, C)``."""
    return np.array([image[:, y : y + 1, x : x + 1][:, 0, 0] for y, x in pixels], np.float32)
