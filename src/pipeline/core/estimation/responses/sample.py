"""LR pixels of a pair, with the HR-MSI around them, from which responses are estimated.

Whole small scenes, or windows spread evenly over large ones, so that memory is bounded. Pixels near
the scene's border or near no-data are left out: a real sensor sees there what the HR-MSI lacks. No
response is estimated here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, isqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from pipeline.core.sensing.nodata import fill_nearest, missing_pixels
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

REACH = 2  # whole LR pixels around an LR pixel that its response may reach into
SIDE = 32  # LR pixels of a window
MOST_LR_PIXELS = 2**15
MOST_HR_PIXELS = 2**22
FOLDS = 8
FEWEST_PIXELS = 50
FEWEST_FOLDS = 4


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

    @property
    def count(self) -> int:
        """Number of pixels used."""
        return int(self.used.sum())

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
        Which of `FOLDS` a pixel belongs to: of the 4x4 blocks that make up the scene or, of a large
        scene, a window, each fold has two.
    parts : tuple of Part
        In the order of the pixels.
    ratio : Fraction
    """

    hsi: NDArray[np.float64]
    fold: NDArray[np.intp]
    parts: tuple[Part, ...]
    ratio: Fraction

    @property
    def folds(self) -> list[int]:
        """The folds that have pixels."""
        return np.unique(self.fold).tolist()

    def split(self, fold: int) -> tuple[PairSample, PairSample]:
        """The sample without a fold, and the fold."""
        held = self.fold == fold
        return self._only(~held), self._only(held)

    def _only(self, chosen: NDArray[np.bool_]) -> PairSample:
        parts, start = [], 0
        for part in self.parts:
            used = part.used.copy()
            used[part.used] = chosen[start : start + part.count]
            start += part.count
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
        Fewer than `FEWEST_PIXELS` pixels, or than `FEWEST_FOLDS` folds with any; an image of zeros.
    """
    windows, block = _windows(scene)
    hsi, fold, parts = [], [], []
    for done, window in enumerate(windows, start=1):
        read = scene.padded_window(window, REACH)
        seen = scene.crop(read)
        rows, cols = scene.lr_window(read).slices
        y, x = np.mgrid[rows, cols]
        used = _complete(seen) & _inside(y, x, scene, scene.lr_window(window))
        hsi.append(seen.lr_hsi[:, used].astype(np.float64))
        fold.append(_fold(y, x, block)[used])
        parts.append(Part(fill_nearest(seen.hr_msi), used))
        progress("sample", done, len(windows))
    ratio = scene.spatial_response.ratio
    sample = PairSample(np.concatenate(hsi, axis=1), np.concatenate(fold), tuple(parts), ratio)
    count = len(sample.fold)
    if count < FEWEST_PIXELS or len(sample.folds) < FEWEST_FOLDS:
        raise InputError(
            f"lr_hsi and hr_msi: {count} LR pixels are valid in both with all that lies within "
            f"{REACH} pixels of them, of which an estimation of responses needs {FEWEST_PIXELS} spread over "
            "the scene; use a larger scene with less no-data, or give the responses"
        )
    for name, empty in (("lr_hsi", not sample.hsi.any()), ("hr_msi", not any(p.msi.any() for p in parts))):
        if empty:
            raise InputError(f"{name}: every valid value is 0, expected radiance or reflectance above 0")
    return sample


def _windows(scene: ObservedScene) -> tuple[list[Window], tuple[int, int]]:
    """Windows of whole LR pixels, and height and width of a block in LR pixels.

    The windows cover the scene, or are an even grid of as many as memory allows. A covered scene has
    4x4 blocks, and so has each window of another.
    """
    ratio = scene.spatial_response.ratio
    side = ceil(SIDE / ratio.denominator) * ratio.numerator  # HR pixels
    windows = list(scene.whole.split(side))
    most = max(1, int(min(MOST_LR_PIXELS // (side / ratio) ** 2, MOST_HR_PIXELS // side**2)))
    if len(windows) <= most:
        height, width = scene.lr_shape
        return windows, (ceil(height / 4), ceil(width / 4))
    rows, columns = (ceil(n / side) for n in scene.hr_shape)
    down = min(rows, isqrt(most))
    across = min(columns, most // down)
    down = min(rows, most // across)
    chosen = [windows[y * columns + x] for y in _even(rows, down) for x in _even(columns, across)]
    return chosen, (SIDE // 4, SIDE // 4)


def _even(count: int, chosen: int) -> list[int]:
    """So many of a number of places, evenly spread."""
    return [(2 * k + 1) * count // (2 * chosen) for k in range(chosen)]


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


def _fold(y: NDArray[np.intp], x: NDArray[np.intp], block: tuple[int, int]) -> NDArray[np.intp]:
    """The fold of a pixel's block; two blocks of a fold lie two rows and two columns of blocks apart."""
    row, column = y // block[0], x // block[1]
    return np.asarray(row % 2 * 4 + (column + 2 * (row // 2)) % 4)
