"""The embedded scene: a landscape of any size as a function of the seed and the absolute pixel.

Regions of fields, woods and towns, roads, a river; in each pixel a few materials mix, and every
object has spectra of its own. A window equals the same window of a larger scene bit for bit.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.config import SyntheticSource
from pipeline.core.noise import derived_seed
from pipeline.core.window import Window
from pipeline.data.landscape import COVERS, Ground, Keys, ground
from pipeline.data.lattice import Field, fractal, uniform
from pipeline.data.scene import Scene, shifted
from pipeline.data.spectra import MATERIALS, MODES, material_spectra
from pipeline.errors import InputError

CRS = "EPSG:32633"
CORNER = (10.0, 0.0, 380_000.0, 0.0, -10.0, 5_820_000.0)
SAMPLES = 2  # positions per pixel and axis at which the ground is looked up
HILL_SHADE = 0.9  # strength of the relief in the illumination
SKYLIGHT = 0.25  # share of diffuse light at 550 nm


def synthetic_scene(source: SyntheticSource, window: Window | None = None) -> Scene:
    """Reflectance of the scene, or of a window of it.

    Parameters
    ----------
    source : SyntheticSource
    window : Window, optional
        Default: the whole scene.

    Returns
    -------
    Scene
        Evenly spaced bands whose FWHM is the spacing; pixels of 10 m.
    """
    whole = Window(0, source.height, 0, source.width)
    window = window or whole
    if not (0 <= window.y0 < window.y1 <= whole.y1 and 0 <= window.x0 < window.x1 <= whole.x1):
        raise InputError(f"synthetic scene: {window} leaves its {source.height}x{source.width} pixels")
    nm = np.linspace(*source.wavelength_range, source.bands)
    keys = partial(derived_seed, source.seed)
    weights, light = _weights(keys, window)
    spectra = material_spectra(nm).reshape(-1, source.bands).astype(np.float32)
    data = np.empty((source.bands, *light.shape), np.float32)
    diffuse = SKYLIGHT * (nm / 550) ** -1.5
    term = np.empty_like(light)

    # plane by plane, not as a matrix product, whose rounding depends on the window's size
    for band, out in enumerate(data):
        out[...] = 0
        for spectrum, weight in zip(spectra[:, band], weights, strict=True):
            out += np.multiply(weight, spectrum, out=term)
        out *= (light + np.float32(diffuse[band])) / np.float32(1 + diffuse[band])
    return Scene(
        np.clip(data, 0, 1, out=data),
        wavelength=nm,
        fwhm=np.full(source.bands, nm[1] - nm[0]),
        crs=CRS,
        transform=shifted(CORNER, window.y0, window.x0),
    )


def _weights(keys: Keys, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight of each material's mean and modes, and the direct light, for every pixel.

    Returns
    -------
    weights : (materials * (1 + MODES), height, width)
    light : (height, width)
    """
    y, x = (np.arange(a, b, dtype=np.float64) for a, b in ((window.y0, window.y1), (window.x0, window.x1)))
    y, x = y[:, None], x[None, :]
    shape = (y.size, x.size)
    fields = [0.55 * fractal(keys(f"mode {m}"), y, x, period=11, octaves=4, gain=0.75) for m in range(MODES)]
    weights = np.zeros((len(MATERIALS), 1 + MODES, *shape), np.float32)
    light = np.zeros(shape)
    offsets = (np.arange(SAMPLES) + 0.5) / SAMPLES
    for dy in offsets:
        for dx in offsets:
            sample = ground(keys, np.broadcast_to(y + dy, shape), np.broadcast_to(x + dx, shape))
            light += sample.light / SAMPLES**2
            _add_sample(weights, keys, sample, fields)
    weights /= SAMPLES**2
    return weights.reshape(-1, *shape), (light * _hill_shade(keys, y, x)).astype(np.float32)


def _add_sample(weights: NDArray[np.float32], keys: Keys, sample: Ground, fields: list[Field]) -> None:
    """Add one position's materials, whose parameters belong to the object and vary within it."""
    parameters = [
        0.8 * (2 * uniform(keys(f"object mode {m}"), sample.object) - 1) + field
        for m, field in enumerate(fields)
    ]
    names = list(MATERIALS)
    for number, cover in enumerate(COVERS.values()):
        here = sample.cover == number
        if not here.any():
            continue
        for material, share in ((cover.main, sample.share), (cover.rest, 1 - sample.share)):
            amount = np.where(here, share, 0.0)
            target = weights[names.index(material)]
            target[0] += amount.astype(np.float32)
            for m, parameter in enumerate(parameters):
                target[1 + m] += (amount * parameter).astype(np.float32)


def _hill_shade(keys: Keys, y: Field, x: Field) -> Field:
    """Light on a slope that faces north-west or away from it."""
    key = keys("relief")

    def height(dy: float, dx: float) -> Field:
        return fractal(key, y + dy, x + dx, period=48, octaves=4, gain=0.45)

    return np.clip(1 + HILL_SHADE * (height(1, 1) - height(-1, -1)), 0.45, 1.5)
