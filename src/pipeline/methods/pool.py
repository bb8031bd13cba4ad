"""Images for training: all of a small scene, or a sample of a large one; and the images' scale.

The sample depends on the seed and does not grow with the scene. Only the images' largest value is sought in
the whole scene.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from math import ceil, floor, lcm

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import missing_pixels
from pipeline.core.sensing.noise import philox_key
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.window import Window
from pipeline.errors import InputError

WINDOWS = 64  # windows of the sample
SIDE = 256  # their side in HR pixels
VALID_FRACTION = 0.4  # of a window's pixels, below which it is not used; every second pixel may be missing


def training_pool(scene: ObservedScene, seed: int, method: str, stride: int = 1) -> list[Observation]:
    """Return the parts of a scene to train on: the whole scene, or `WINDOWS` windows of side `SIDE`.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    seed : int
        Seed of the draw.
    method : str
        Name of the method, for the draw and the error.
    stride : int
        Number that divides the windows' sides.

    Raises
    ------
    InputError
        No window of a large scene has enough valid pixels.
    """
    height, width = scene.hr_shape
    if height * width <= WINDOWS * SIDE**2:
        return [scene.crop(scene.whole)]
    unit = lcm(stride, scene.spatial_response.ratio.numerator)
    windows = squares(scene.whole, max(1, SIDE // unit) * unit)
    generator = np.random.Generator(np.random.Philox(key=philox_key(seed, f"{method}/pool")))
    read = (scene.crop(windows[i]) for i in generator.permutation(len(windows)))
    pool = list(islice((part for part in read if mostly_valid(part, part.whole)), WINDOWS))
    if not pool:
        raise InputError(
            f"{method}: no window of {SIDE}x{SIDE} pixels has data in {VALID_FRACTION:.0%} of its pixels; "
            "crop the scene to where both images have data"
        )
    return pool


def squares(window: Window, side: int) -> list[Window]:
    """Return the whole squares in a window.

    Parameters
    ----------
    window : Window
        The window.
    side : int
        Side of a square; narrower if the window is.
    """
    shape = tuple(min(side, size) for size in window.shape)
    return [square for square in window.split(side) if square.shape == shape]


def drawn_windows(
    pool: list[Observation], seed: int, purpose: str, side: int, count: int
) -> list[Observation]:
    """Draw squares with data from parts of a scene.

    Parameters
    ----------
    pool : list of Observation
        Parts of the scene.
    seed : int
        Seed of the draw.
    purpose : str
        Name of the draw.
    side : int
        Side of a square in HR pixels, rounded down to whole LR pixels.
    count : int
        Largest number of squares.
    """
    step = pool[0].spatial_response.ratio.numerator
    side = max(1, side // step) * step
    candidates = [(part, window) for part in pool for window in squares(part.whole, side)]
    generator = np.random.Generator(np.random.Philox(key=philox_key(seed, purpose)))
    order = generator.permutation(len(candidates))
    valid = (candidates[i] for i in order if mostly_valid(*candidates[i]))
    return [part.crop(window) for (part, window), _ in zip(valid, range(count), strict=False)]


def mostly_valid(part: Observation, window: Window) -> bool:
    """Tell whether both images of a part have data in enough of a window's pixels."""
    images = (
        part.lr_hsi[:, *window.coarsened(part.spatial_response.ratio).slices],
        part.hr_msi[:, *window.slices],
    )
    return all(1 - missing_pixels(image).mean() >= VALID_FRACTION for image in images)


def unit_scale(scene: ObservedScene) -> float:
    """Return the largest value of valid pixels in both images; reads the scene in blocks.

    Raises
    ------
    InputError
        No value is positive.
    """

    def largest(image: NDArray[np.float32]) -> float:
        return float(image.max(initial=-np.inf, where=~missing_pixels(image)))

    parts = (scene.crop(window) for window in scene.blocks())
    scale = max(largest(image) for part in parts for image in (part.lr_hsi, part.hr_msi))
    if scale <= 0:
        raise InputError(
            f"lr_hsi, hr_msi: the largest value is {scale:g}, expected radiance or reflectance above 0"
        )
    return scale


def lr_inside(scene: ObservedScene, window: Window) -> Window:
    """Return the LR pixels that depend on no HR pixel outside a window.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    window : Window
        HR pixels, in the scene's coordinates.
    """
    ratio, reach = scene.spatial_response.ratio, scene.spatial_response.support_lr - Fraction(1, 2)

    def bounds(low: int, high: int, hr_size: int, lr_size: int) -> tuple[int, int]:
        first = ceil(low / ratio + reach) if low else 0
        last = floor(high / ratio - reach) if high < hr_size else lr_size
        return first, max(first, last)

    (height, width), (lr_height, lr_width) = scene.hr_shape, scene.lr_shape
    return Window(
        *bounds(window.y0, window.y1, height, lr_height), *bounds(window.x0, window.x1, width, lr_width)
    )
