"""Windows of a large scene that settle what couples its pixels: few, as diverse as the pool's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import missing_pixels
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.subspace.farthest import farthest_points
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.pool import SIDE, VALID_FRACTION, mostly_valid, squares

ANCHOR_PIXELS = 256**2  # HR pixels on which the basis is drawn: as many as a scene sampled as published


def anchor_windows(
    scene: ObservedScene, pool: list[Observation], method: str
) -> list[tuple[Observation, Window]]:
    """Choose windows with `ANCHOR_PIXELS` pixels in total, or the whole scene if it has no more.

    The first window has the most common spectra of the pool. Each further window differs most from those
    already chosen, in mean and standard deviation of its LR spectra.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    pool : list of Observation
        Parts of the scene, among whose squares the windows are chosen.
    method : str
        Name of the method in the error.

    Returns
    -------
    list of (Observation, Window)
        Each window in the scene's coordinates, with the part that contains it.

    Raises
    ------
    InputError
        No square has data in `VALID_FRACTION` of its pixels.
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
            f"{method}: no window of {SIDE // 2}x{SIDE // 2} pixels has data in {VALID_FRACTION:.0%} of its "
            "pixels; crop the scene to where both images have data"
        )
    features = np.stack([spectral_feature(part, window) for part, window in candidates])
    rows, cols = candidates[0][1].shape
    chosen = farthest(features, ANCHOR_PIXELS // (rows * cols))
    return [(part, of_scene(scene, part, window)) for part, window in (candidates[i] for i in chosen)]


def spectral_feature(part: Observation, window: Window) -> NDArray[np.float64]:
    """Return mean and standard deviation ``(2 C,)`` of the valid LR spectra in a window of a part."""
    image = part.lr_hsi[:, *window.coarsened(part.spatial_response.ratio).slices]
    spectra = image[:, ~missing_pixels(image)].astype(np.float64)
    return np.concatenate([spectra.mean(axis=1), spectra.std(axis=1)])


def farthest(features: NDArray[np.float64], count: int) -> list[int]:
    """Choose rows of features ``(n, k)``: the nearest to the mean, then the farthest from all chosen."""
    typical = int(np.linalg.norm(features - features.mean(axis=0), axis=1).argmin())
    return farthest_points(features, typical, count)


def of_scene(scene: ObservedScene, part: Observation, window: Window) -> Window:
    """Return a window of a part in the coordinates of the scene.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    part : Observation
        Part of the scene.
    window : Window
        Window of the part.
    """
    own = scene.window_of(part)
    return window.relative_to(Window(-own.y0, 0, -own.x0, 0))
