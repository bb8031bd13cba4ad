"""What training and the choice of the basis read: all of a small scene, else a fixed sample of it.

The sample is drawn by the seed and does not grow with the scene; only the images' largest value is
sought everywhere. Nothing is trained here.
"""

from __future__ import annotations

from itertools import islice
from math import lcm

import numpy as np
from numpy.typing import NDArray

from pipeline.core.farthest import farthest_points
from pipeline.core.nodata import missing_pixels
from pipeline.core.noise import philox_key
from pipeline.core.observation import Observation, ObservedScene
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.args_diff.networks import STRIDE

WINDOWS = 64  # windows of the sample
SIDE = 256  # their side in HR pixels
ANCHOR_PIXELS = 256**2  # HR pixels on which the basis is drawn
VALID_SHARE = 0.5  # of a window's pixels, below which it is passed over


def training_pool(scene: ObservedScene, seed: int) -> list[Observation]:
    """Windows of a scene to train on, at most `WINDOWS` of `SIDE` x `SIDE` pixels, or the whole scene.

    Raises
    ------
    InputError
        Where no window of a large scene has enough valid pixels.
    """
    height, width = scene.hr_shape
    if height * width <= WINDOWS * SIDE**2:
        return [scene.crop(scene.whole)]
    unit = lcm(STRIDE, scene.spatial_response.ratio.numerator)
    windows = squares(scene.whole, max(1, SIDE // unit) * unit)
    generator = np.random.Generator(np.random.Philox(key=philox_key(seed, "args_diff/pool")))
    read = (scene.crop(windows[i]) for i in generator.permutation(len(windows)))
    pool = list(islice((part for part in read if mostly_valid(part, part.whole)), WINDOWS))
    if not pool:
        raise InputError(
            f"args_diff: no window of {SIDE}x{SIDE} pixels has data in half of its pixels; "
            "crop the scene to where both images have data"
        )
    return pool


def anchor_windows(scene: ObservedScene, pool: list[Observation]) -> list[tuple[Observation, Window]]:
    """Windows of a scene of `ANCHOR_PIXELS` together, with the parts that hold them; or the whole scene.

    The first has the most common spectra of the pool; each next one differs most from those chosen, in
    mean and standard deviation of its LR spectra.
    """
    height, width = scene.hr_shape
    if height * width <= ANCHOR_PIXELS:
        return [(pool[0], scene.whole)]
    candidates = [
        (part, window)
        for part in pool
        for window in squares(part.whole, SIDE // 2)
        if mostly_valid(part, window)
    ]
    if not candidates:
        raise InputError(
            f"args_diff: no window of {SIDE // 2}x{SIDE // 2} pixels has data in half of its pixels; "
            "crop the scene to where both images have data"
        )
    features = np.stack([spectral_feature(part, window) for part, window in candidates])
    rows, cols = candidates[0][1].shape
    chosen = farthest(features, ANCHOR_PIXELS // (rows * cols))
    return [(part, of_scene(scene, part, window)) for part, window in (candidates[i] for i in chosen)]


def squares(window: Window, side: int) -> list[Window]:
    """The whole squares of `side` pixels in a window, as narrow as the window where that is narrower."""
    shape = tuple(min(side, size) for size in window.shape)
    return [square for square in window.split(side) if square.shape == shape]


def mostly_valid(part: Observation, window: Window) -> bool:
    """Whether both images have data in enough of a window's pixels."""
    images = (
        part.lr_hsi[:, *window.coarsened(part.spatial_response.ratio).slices],
        part.hr_msi[:, *window.slices],
    )
    return all(1 - missing_pixels(image).mean() >= VALID_SHARE for image in images)


def spectral_feature(part: Observation, window: Window) -> NDArray[np.float64]:
    """Mean and standard deviation ``(2 C,)`` of a window's valid LR spectra."""
    image = part.lr_hsi[:, *window.coarsened(part.spatial_response.ratio).slices]
    spectra = image[:, ~missing_pixels(image)].astype(np.float64)
    return np.concatenate([spectra.mean(axis=1), spectra.std(axis=1)])


def farthest(features: NDArray[np.float64], count: int) -> list[int]:
    """Rows of ``(n, k)``: the one nearest to the mean, then each time the one farthest from those chosen."""
    typical = int(np.linalg.norm(features - features.mean(axis=0), axis=1).argmin())
    return farthest_points(features, typical, count)


def of_scene(scene: ObservedScene, part: Observation, window: Window) -> Window:
    """A window of a part in the coordinates of the scene."""
    own = scene.window_of(part)
    return window.relative_to(Window(-own.y0, 0, -own.x0, 0))


def unit_scale(scene: ObservedScene) -> float:
    """The largest value of valid pixels, by which both images are divided; reads the scene in blocks."""

    def largest(image: NDArray[np.float32]) -> float:
        return float(image.max(initial=-np.inf, where=~missing_pixels(image)))

    parts = (scene.crop(window) for window in scene.blocks())
    return max(largest(image) for part in parts for image in (part.lr_hsi, part.hr_msi))
