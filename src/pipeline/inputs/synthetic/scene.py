"""The embedded scene: a landscape of any size as a function of the seed and the absolute pixel.

Regions of fields, woods and towns, roads, a river; in each pixel a few materials mix, and every
object has spectra of its own. A window equals the same window of a larger scene bit for bit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.config.scenes import SyntheticSource
from pipeline.core.scene import Metadata, OpenScene, Scene, shifted
from pipeline.core.sensing.noise import derived_seed
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.synthetic.landscape import COVERS, Ground, Keys, ground
from pipeline.inputs.synthetic.lattice import Field, fractal, uniform
from pipeline.inputs.synthetic.spectra import MATERIALS, MODES, material_spectra

CRS = "EPSG:32633"
CORNER = (10.0, 0.0, 380_000.0, 0.0, -10.0, 5_820_000.0)
SAMPLES = 2  # positions per pixel and axis at which the ground is looked up
HILL_SHADE = 0.9  # strength of the relief in the illumination
SKYLIGHT = 0.25  # share of diffuse light at 550 nm
TILE = 128

MAIN, REST = (
    np.array([list(MATERIALS).index(getattr(cover, part)) for cover in COVERS.values()])
    for part in ("main", "rest")
)
"""Number of each cover's materials."""


def synthetic_scene(source: SyntheticSource, window: Window | None = None) -> Scene:
    """Compute the reflectance of the scene, or of a window of it.

    Parameters
    ----------
    source : SyntheticSource
        Size, bands and seed.
    window : Window, optional
        The window; by default the whole scene.

    Returns
    -------
    Scene
        Evenly spaced bands whose FWHM is the spacing; pixels of 10 m.
    """
    opened = SyntheticScene(source)
    window = window or Window(0, source.height, 0, source.width)
    place = replace(opened.metadata, transform=shifted(CORNER, window.y0, window.x0))
    return Scene(opened.read(window), **vars(place))


class SyntheticScene(OpenScene):
    """The embedded scene; nothing is kept between two reads.

    Parameters
    ----------
    source : SyntheticSource
        Size, bands and seed.

    Attributes
    ----------
    name : str
        `synthetic scene`.
    shape : (int, int, int)
        Bands, height and width.
    metadata : Metadata
        Evenly spaced bands whose FWHM is the spacing; pixels of 10 m.
    """

    name = "synthetic scene"

    def __init__(self, source: SyntheticSource) -> None:
        nm = np.linspace(*source.wavelength_range, source.bands)
        self.metadata = Metadata(
            wavelength=nm, fwhm=np.full(source.bands, nm[1] - nm[0]), crs=CRS, transform=CORNER
        )
        self.shape = (source.bands, source.height, source.width)
        self._keys = cache(partial(derived_seed, source.seed))
        self._spectra = material_spectra(nm).reshape(-1, source.bands).astype(np.float32)
        self._diffuse = SKYLIGHT * (nm / 550) ** -1.5

    def read(self, window: Window) -> NDArray[np.float32]:
        """Compute the reflectance of a window, in tiles that stay in the processor's cache."""
        bands, height, width = self.shape
        if not (0 <= window.y0 < window.y1 <= height and 0 <= window.x0 < window.x1 <= width):
            raise InputError(f"synthetic scene: {window} leaves its {height}x{width} pixels")
        data = np.empty((bands, *window.shape), np.float32)
        for tile in window.split(TILE):
            data[:, *tile.relative_to(window).slices] = self._tile(tile)
        return data

    def _tile(self, tile: Window) -> NDArray[np.float32]:
        weights, light = _weights(self._keys, tile)

        # a sparse product adds the terms of a pixel one by one in the order of the materials; a
        # dense one would round in an order that depends on the tile's size
        data = weights @ self._spectra
        diffuse = self._diffuse.astype(np.float32)
        data *= (light.reshape(-1, 1) + diffuse) / (1 + self._diffuse).astype(np.float32)
        np.clip(data, 0, 1, out=data)
        return np.asarray(data.T.reshape(-1, *tile.shape))


def _weights(keys: Keys, window: Window) -> tuple[csr_array, NDArray[np.float32]]:
    """Compute the weight of each material's mean and modes, and the direct light, for every pixel.

    Returns
    -------
    weights : (pixels, materials * (1 + MODES)) float32
        Sparse, since a pixel shows few materials.
    light : (height, width)
        Relative to flat open ground.
    """
    y, x = (np.arange(a, b, dtype=np.float64) for a, b in ((window.y0, window.y1), (window.x0, window.x1)))
    fields = [0.55 * fractal(keys(f"mode {m}"), y, x, period=11, octaves=4, gain=0.75) for m in range(MODES)]
    weights = np.zeros((y.size * x.size, len(MATERIALS), 1 + MODES), np.float32)
    light = np.zeros(window.shape)
    offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES
    for dy in offsets:
        for dx in offsets:
            sample = ground(keys, y + dy, x + dx)
            light += sample.light / SAMPLES**2
            _add_sample(weights, keys, sample, fields)
    return _sparse(weights), (light * _hill_shade(keys, y, x)).astype(np.float32)


def _add_sample(weights: NDArray[np.float32], keys: Keys, sample: Ground, fields: list[Field]) -> None:
    """Add one position's materials, whose parameters belong to the object and vary within it."""
    parameters = [
        0.8 * (2 * uniform(keys(f"object mode {m}"), sample.object) - 1) + field
        for m, field in enumerate(fields)
    ]
    pixels = np.arange(len(weights))
    terms = np.empty((1 + MODES, *sample.share.shape), np.float32)
    for materials, amount in ((MAIN, sample.share), (REST, 1 - sample.share)):
        terms[0] = amount
        for term, parameter in zip(terms[1:], parameters, strict=True):
            np.multiply(amount, parameter, out=term, casting="same_kind")
        weights[pixels, materials[sample.cover.ravel()]] += terms.reshape(1 + MODES, -1).T


def _sparse(weights: NDArray[np.float32]) -> csr_array:
    """Compute the mean over the samples of just the materials that a pixel shows."""
    pixels, materials, terms = weights.shape
    shown = weights[:, :, 0] > 0
    columns = np.nonzero(shown)[1][:, None] * terms + np.arange(terms)
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(shown, axis=1))]) * terms
    means = weights[shown].ravel() / np.float32(SAMPLES**2)
    return csr_array((means, columns.ravel(), starts), shape=(pixels, materials * terms))


def _hill_shade(keys: Keys, y: Field, x: Field) -> Field:
    """Compute the light on a slope that faces north-west or away from it."""
    key = keys("relief")

    def height(dy: float, dx: float) -> Field:
        return fractal(key, y + dy, x + dx, period=48, octaves=4, gain=0.45)

    return np.clip(1 + HILL_SHADE * (height(1, 1) - height(-1, -1)), 0.45, 1.5)
