"""LR pixels of a pair, with the HR-MSI around them, from which responses are estimated.

A small scene is taken as a whole, a large one in evenly spread windows, so that memory is bounded. Pixels
near the scene's border or near no-data are left out: there a real sensor measures ground that the HR-MSI does
not show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, isqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from pipeline.core.sensing.nodata import SOME_GAPS, fill_nearest, missing_pixels, tolerated_share
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

REACH = 2  # whole LR pixels around an LR pixel into which its response may reach
SIDE = 32  # LR pixels of a window
MOST_LR_PIXELS = 2**15
MOST_HR_PIXELS = 2**22
FOLDS = 8
FEWEST_PIXELS = 50  # below which no response is estimated
FEWEST_FOLDS = 4  # below which errors and smoothness cannot be estimated


@dataclass(frozen=True)
class Part:
    """A window of the sample.

    Attributes
    ----------
    msi : (c, H, W) float32
        The HR-MSI, without no-data.
    used : (h, w) bool
        LR pixels that belong to the sample.
    corner : (int, int)
        Row and column of the first LR pixel in the scene.
    """

    msi: NDArray[np.float32]
    used: NDArray[np.bool_]
    corner: tuple[int, int] = (0, 0)

    @property
    def count(self) -> int:
        """Number of pixels used."""
        return int(self.used.sum())

    def forward(self, operator: SpatialOperator) -> NDArray[np.float64]:
        """Apply an operator to the HR-MSI, and return the result ``(c, n)`` at the pixels used."""
        return operator.forward(self.msi.astype(np.float64))[:, self.used]


@dataclass(frozen=True)
class PairSample:
    """LR pixels with data in both images, in spatial blocks.

    Attributes
    ----------
    hsi : (C, n) float64
        X at the pixels.
    fold : (n,) int
        Fold of each pixel, below `FOLDS`. A scene, or a window of a large scene, has 4x4 blocks, of which
        each fold has two.
    parts : tuple of Part
        The windows, in the order of the pixels.
    ratio : Fraction
        Size of an LR pixel in HR pixels.
    """

    hsi: NDArray[np.float64]
    fold: NDArray[np.intp]
    parts: tuple[Part, ...]
    ratio: Fraction

    @property
    def folds(self) -> list[int]:
        """Folds that have pixels."""
        return np.unique(self.fold).tolist()

    def split(self, fold: int) -> tuple[PairSample, PairSample]:
        """Return the sample without a fold, and the fold."""
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
        """Return H(Y) ``(c, n)`` at the pixels."""
        return np.concatenate(
            [part.forward(response.operator(*part.msi.shape[1:])) for part in self.parts], axis=1
        )


def read_sample(scene: ObservedScene, progress: Progress) -> PairSample:
    """Read the valid pixels of a scene, or of some 32 windows of a large scene.

    Pixels whose HR-MSI lacks bands are left out, unless too few others remain.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    progress : callable
        Receives the number of windows that were read.

    Raises
    ------
    InputError
        Fewer than `FEWEST_PIXELS` pixels, or than `FEWEST_FOLDS` folds with any; an image of zeros.
    """
    sample = _read(scene, progress, estimated=False)
    if scene.gaps is not None and not _enough(sample):
        sample = _read(scene, progress, estimated=True)
    if not _enough(sample):
        raise InputError(
            f"lr_hsi and hr_msi: {len(sample.fold)} LR pixels are valid in both, together with all pixels "
            f"within {REACH} LR pixels of them; an estimation of responses needs {FEWEST_PIXELS} such pixels "
            "spread over the scene; use a larger scene with less no-data, or give the responses"
        )
    with_values = {"lr_hsi": sample.hsi.any(), "hr_msi": any(part.msi.any() for part in sample.parts)}
    for name, valued in with_values.items():
        if not valued:
            raise InputError(f"{name}: every valid value is 0, expected radiance or reflectance above 0")
    return sample


def _enough(sample: PairSample) -> bool:
    """Return whether responses can be estimated from a sample."""
    return len(sample.fold) >= FEWEST_PIXELS and len(sample.folds) >= FEWEST_FOLDS


def _read(scene: ObservedScene, progress: Progress, estimated: bool) -> PairSample:
    """Read the sample, with or without pixels whose HR-MSI was estimated in some bands."""
    windows, block = _windows(scene)
    hsi, fold, parts = [], [], []
    for done, window in enumerate(windows, start=1):
        read = scene.padded_window(window, REACH)
        part = scene.crop(read)
        rows, cols = scene.lr_window(read).slices
        y, x = np.mgrid[rows, cols]
        used = _complete(part, estimated) & _inside(y, x, scene, scene.lr_window(window))
        hsi.append(part.lr_hsi[:, used].astype(np.float64))
        fold.append(_fold(y, x, block)[used])
        corner = int(y[0, 0]), int(x[0, 0])
        parts.append(Part(fill_nearest(np.asarray(part.filled[1])), used, corner))
        progress("sample", done, len(windows))
    ratio = scene.spatial_response.ratio
    return PairSample(np.concatenate(hsi, axis=1), np.concatenate(fold), tuple(parts), ratio)


def _windows(scene: ObservedScene) -> tuple[list[Window], tuple[int, int]]:
    """Return windows of whole LR pixels, and height and width of a block in LR pixels.

    The windows cover the scene, or form an even grid of as many as memory allows. In the first case the scene
    has 4x4 blocks, in the second each window.
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
    """Choose evenly spread indices out of a number of places."""
    return [(2 * k + 1) * count // (2 * chosen) for k in range(chosen)]


def _complete(part: Observation, estimated: bool) -> NDArray[np.bool_]:
    """Return the LR pixels with data around which the HR-MSI has data in most pixels.

    Parameters
    ----------
    part : Observation
        A window of the scene.
    estimated : bool
        Whether HR pixels count of which some bands were estimated.
    """
    box = SpatialResponse.box(ratio=part.spatial_response.ratio).operator(*part.hr_shape)
    gaps = missing_pixels(part.hr_msi)
    if part.gaps is not None and not estimated:
        gaps = np.logical_not(np.asarray(part.gaps.known_msi).all(axis=0))
    share = box.energy_share(gaps)
    missing = share > tolerated_share(share, SOME_GAPS)
    missing = binary_dilation(missing, np.ones((2 * REACH + 1, 2 * REACH + 1)))
    return ~(missing | missing_pixels(part.lr_hsi))


def _inside(
    y: NDArray[np.intp], x: NDArray[np.intp], scene: ObservedScene, window: Window
) -> NDArray[np.bool_]:
    """Return the pixels of a window that lie at least `REACH` pixels from the scene's border."""
    height, width = scene.lr_shape
    return (
        (y >= max(window.y0, REACH))
        & (y < min(window.y1, height - REACH))
        & (x >= max(window.x0, REACH))
        & (x < min(window.x1, width - REACH))
    )


def _fold(y: NDArray[np.intp], x: NDArray[np.intp], block: tuple[int, int]) -> NDArray[np.intp]:
    """Return the fold of each pixel; its two blocks lie two rows and two columns of blocks apart."""
    row, column = y // block[0], x // block[1]
    return np.asarray(row % 2 * 4 + (column + 2 * (row // 2)) % 4)
