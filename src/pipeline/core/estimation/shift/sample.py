"""The windows of a scene on which its alignment is estimated: all of a small scene, else some with texture.

They depend on the scene alone. Nothing is estimated here.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import FLAT_POWER
from pipeline.core.sensing.nodata import missing_pixels
from pipeline.core.sensing.observation import Image, ObservedScene, Progress, no_progress
from pipeline.core.window import Window
from pipeline.errors import InputError

WHOLE_HR = 2**22  # HR pixels up to which a scene is taken as a whole
WHOLE_LR = 5 * 10**7  # values of the LR-HSI up to which it is
SIDE = 512  # HR pixels, and at least
SIDE_LR = 48  # so many LR pixels, that a window is wide
WINDOWS = 16  # windows of `SIDE`, or fewer larger ones
FEWEST = 4
CANDIDATES = 64
VALID_SHARE = 0.5  # of a window's pixels, below which it is passed over


def sample_windows(scene: ObservedScene, progress: Progress = no_progress) -> list[Window]:
    """Windows of whole LR pixels: the whole of a small scene, or those of most texture on a fixed grid.

    Raises
    ------
    InputError
        No window of a large scene has enough valid pixels.
    """
    (height, width), (lr_height, lr_width) = scene.hr_shape, scene.lr_shape
    if height * width <= WHOLE_HR and scene.bands * lr_height * lr_width <= WHOLE_LR:
        return [scene.whole]
    ratio = scene.spatial_response.ratio
    side = ceil(max(Fraction(SIDE), SIDE_LR * ratio) / ratio.numerator) * ratio.numerator
    shape = min(side, height), min(side, width)
    places = [window for window in scene.whole.split(side) if window.shape == shape]
    places = places[:: ceil(len(places) / CANDIDATES)]
    textures = []
    for done, window in enumerate(places, start=1):
        textures.append(_texture(scene, window))
        progress("texture", done, len(places))
    count = max(FEWEST, WINDOWS * SIDE**2 // side**2)
    best = sorted(np.argsort(textures, kind="stable")[::-1][:count].tolist())
    chosen = [places[i] for i in best if textures[i] > 0]
    if not chosen:
        raise InputError(
            f"hr_msi: no window of {shape[0]}x{shape[1]} pixels has data and texture to align the LR-HSI by; "
            "crop the scene to where both images have data"
        )
    return chosen


def combined(lr_hsi: Image, weights: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Weighted sums ``(P, h, w)`` of bands of a window; NaN in a band matters where its weight is not 0."""
    used = np.flatnonzero((weights != 0).any(axis=0))
    image = np.asarray(lr_hsi[:, *window.slices], np.float64)[used]
    return np.stack([np.tensordot(row[row != 0], image[row != 0], axes=1) for row in weights[:, used]])


def _texture(scene: ObservedScene, window: Window) -> float:
    """Mean squared difference of neighbouring LR pixels of the degraded HR-MSI; 0 without data or texture."""
    image = np.asarray(scene.hr_msi[:, *window.slices], np.float64)
    coarse = np.asarray(scene.lr_hsi[:, *scene.lr_window(window).slices])
    if any(missing_pixels(part).mean() > 1 - VALID_SHARE for part in (image, coarse)):
        return 0.0
    seen = scene.spatial_response.operator(*window.shape).forward_with_nodata(image.mean(axis=0))
    down, right = np.diff(seen, axis=0), np.diff(seen, axis=1)
    texture = float(np.nan_to_num(np.nanmean(down**2) + np.nanmean(right**2)))
    return texture if texture > FLAT_POWER * np.nanmean(seen**2) else 0.0
