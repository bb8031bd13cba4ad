"""LR pixels of a pair, with the HR-MSI around them, from which responses are estimated.

Whole small scenes, or windows spread evenly over large ones, so that memory is bounded. Pixels near
the scene's border or near no-data are left out: a real sensor sees there what the HR-MSI lacks. No
response is estimated here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from pipeline.core.nodata import fill_nearest, missing_pixels
from pipeline.core.observation import Observation, ObservedScene, Progress
from pipeline.core.spatial import SpatialOperator, SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

REACH = 2  # whole LR pixels around an LR pixel that its response may reach into
SIDE = 32  # LR pixels of a window
MOST_LR_PIXELS = 2**15
MOST_HR_PIXELS = 2**22
BLOCKS = 4  # along an axis of the scene
FOLDS = 8
FEWEST_PIXELS = 50


@dataclass(frozen=True)
class Part:
    """A window of the sample.

    Attributes
    ----------
    msi : (c, H, W) float32
        Without no-data.
    used : (h, w) bool
        LR pixels that belong to the sample.
    """

    msi: NDArray[np.float32]
    used: NDArray[np.bool_]

    def forward(self, operator: SpatialOperator) -> NDArray[np.float64]:
        """The HR-MSI through an operator ``(c, n)`` at the pixels used."""
        return operator.forward(self.msi.astype(np.float64))[:, self.used]


@dataclass(frozen=True)
class PairSample:
    """LR pixels ``n`` that both images hold, in spatial blocks.

    Attributes
    ----------
    hsi : (C, n) float64
        X at the pixels.
    fold : (n,) int
        Which of `FOLDS` a pixel belongs to, each two of the 16 rectangles that make up the scene.
    parts : tuple of Part
        In the order of the pixels.
    ratio : Fraction
    """

    hsi: NDArray[np.float64]
    fold: NDArray[np.intp]
    parts: tuple[Part, ...]
    ratio: Fraction

    def split(self, fold: int) -> tuple[PairSample, PairSample]:
        """The sample without a fold, and the fold."""
        held = self.fold == fold
        return self._only(~held), self._only(held)

    def _only(self, chosen: NDArray[np.bool_]) -> PairSample:
        parts, start = [], 0
        for part in self.parts:
            used = part.used.copy()
            used[part.used] = chosen[start : start + np.count_nonzero(part.used)]
            start += np.count_nonzero(part.used)
            parts.append(replace(part, used=used))
        return replace(self, hsi=self.hsi[:, chosen], fold=self.fold[chosen], parts=tuple(parts))

    def degraded(self, response: SpatialResponse) -> NDArray[np.float64]:
        """H(Y) ``(c, n)`` at the pixels."""
        return np.concatenate(
            [part.forward(response.operator(*part.msi.shape[1:])) for part in self.parts], axis=1
        )


def read_sample(scene: ObservedScene, progress: Progress) -> PairSample:
    """Read the valid pixels of a scene, or of some 32 windows of a large one.

    Raises
    ------
    InputError
        Fewer than `FEWEST_PIXELS` pixels, or a fold without any.
    """
    windows = list(_windows(scene))
    hsi, fold, parts = [], [], []
    for done, window in enumerate(windows, start=1):
        read = scene.padded_window(window, REACH)
        seen = scene.crop(read)
        rows, cols = scene.lr_window(read).slices
        y, x = np.mgrid[rows, cols]
        used = _complete(seen) & _inside(y, x, scene, scene.lr_window(window))
        hsi.append(seen.lr_hsi[:, used].astype(np.float64))
        fold.append(_fold(y, x, scene.lr_shape)[used])
        parts.append(Part(fill_nearest(seen.hr_msi), used))
        progress("sample", done, len(windows))
    sample = PairSample(
        np.concatenate(hsi, axis=1), np.concatenate(fold), tuple(parts), scene.spatial_response.ratio
    )
    count = len(sample.fold)
    if count < FEWEST_PIXELS or len(np.unique(sample.fold)) < FOLDS:
        raise InputError(
            f"lr_hsi and hr_msi: {count} LR pixels are valid in both with all that lies within "
            f"{REACH} pixels of them, of which an estimation of responses needs {FEWEST_PIXELS} spread over "
            "the scene; use a larger scene with less no-data, or give the responses"
        )
    return sample


def _windows(scene: ObservedScene) -> Iterator[Window]:
    """Windows of whole LR pixels that cover the scene, or as many as the sample may hold of these."""
    ratio = scene.spatial_response.ratio
    whole = ceil(SIDE / ratio.denominator) * ratio.numerator  # HR pixels
    windows = list(scene.whole.split(whole))
    lr_pixels = (whole / ratio) ** 2
    most = max(1, int(min(MOST_LR_PIXELS // lr_pixels, MOST_HR_PIXELS // whole**2)))
    if len(windows) <= most:
        yield from windows
        return
    for k in range(most):
        yield windows[(2 * k + 1) * len(windows) // (2 * most)]


def _complete(seen: Observation) -> NDArray[np.bool_]:
    """LR pixels with data around which the HR-MSI has data."""
    box = SpatialResponse.box(ratio=seen.spatial_response.ratio).operator(*seen.hr_shape)
    missing = box.touches(missing_pixels(seen.hr_msi))
    missing = binary_dilation(missing, np.ones((2 * REACH + 1, 2 * REACH + 1)))
    return ~(missing | missing_pixels(seen.lr_hsi))


def _inside(
    y: NDArray[np.intp], x: NDArray[np.intp], scene: ObservedScene, window: Window
) -> NDArray[np.bool_]:
    """Pixels of a window that lie `REACH` pixels off the scene's border."""
    height, width = scene.lr_shape
    return (
        (y >= max(window.y0, REACH))
        & (y < min(window.y1, height - REACH))
        & (x >= max(window.x0, REACH))
        & (x < min(window.x1, width - REACH))
    )


def _fold(y: NDArray[np.intp], x: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.intp]:
    """A fold's rectangles lie two rows and two columns of rectangles apart."""
    row, column = y * BLOCKS // shape[0], x * BLOCKS // shape[1]
    return np.asarray(row % 2 * BLOCKS + (column + 2 * (row // 2)) % BLOCKS)
