"""Windows of a scene on which its alignment is estimated: all of a small scene, else windows with texture."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from pipeline.core.rounding import FLAT_POWER
from pipeline.core.sensing.nodata import degraded_with_gaps, missing_pixels
from pipeline.core.sensing.observation import Image, ObservedScene, Progress, no_progress
from pipeline.core.window import Window
from pipeline.errors import InputError

WHOLE_HR = 2**22  # HR pixels up to which a scene is taken as a whole
WHOLE_LR = 5 * 10**7  # values of the LR-HSI up to which it is
SIDE = 512  # HR pixels: least side of a window
SIDE_LR = 48  # LR pixels: least side of a window
WINDOWS = 16  # windows of `SIDE`, or fewer larger ones
FEWEST = 4
CANDIDATES = 64
VALID_FRACTION = 0.5  # of a window's pixels, below which the window is not used


def sample_windows(scene: ObservedScene, progress: Progress = no_progress) -> list[Window]:
    """Return windows of whole LR pixels: a small scene as a whole, or those with most texture.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    progress : callable
        Receives the number of windows that were read.

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
    """Return weighted sums ``(P, h, w)`` of bands in a window.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        The LR-HSI; NaN spreads from bands of non-zero weight.
    weights : (P, C)
        Weights of the bands.
    window : Window
        LR pixels to read.
    """
    used = np.flatnonzero((weights != 0).any(axis=0))
    image = np.asarray(lr_hsi[:, *window.slices], np.float64)[used]
    return np.stack([np.tensordot(row[row != 0], image[row != 0], axes=1) for row in weights[:, used]])


def _texture(scene: ObservedScene, window: Window) -> float:
    """Return the mean squared difference of neighbouring pixels of H(Y); 0 without data or texture."""
    image = np.asarray(scene.hr_msi[:, *window.slices], np.float64)
    coarse = np.asarray(scene.lr_hsi[:, *scene.lr_window(window).slices])
    if any(missing_pixels(part).mean() > 1 - VALID_FRACTION for part in (image, coarse)):
        return 0.0
    degraded = degraded_with_gaps(scene.spatial_response.operator(*window.shape), image).mean(axis=0)
    down, right = np.diff(degraded, axis=0), np.diff(degraded, axis=1)
    texture = float(np.nan_to_num(np.nanmean(down**2) + np.nanmean(right**2)))
    return texture if texture > FLAT_POWER * np.nanmean(degraded**2) else 0.0
