"""A fused cube compared with the reference: PSNR, SAM, ERGAS, SSIM, UIQI, Q2n, CC and RMSE.

Partial sums are gathered in float64 over square blocks in two passes, so that cubes of any size
fit. Windows of SSIM and UIQI slide inside the image, as in scikit-image. How the scores are named and
shown is written in `pipeline.core.quality.metrics`.

>>> x = np.random.default_rng(0).random((4, 40, 40))
>>> comparison = compare(x, x + 0.01, ratio=4)
>>> round(comparison.rmse, 6), round(mean(comparison.psnr_of_peak_1), 6), comparison.pixels_without_angle
(0.01, 40.0, 0)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.blockwise import CubePair, Mapped, added, block_side, blocks
from pipeline.core.quality.partial_scores import (
    PixelFunction,
    Similarity,
    Totals,
    block_similarity,
    block_totals,
)
from pipeline.core.quality.quality_index import BLOCK
from pipeline.core.quality.reliability import Reliability, Tally, UncertainCube, reliability_of
from pipeline.core.rounding import SUMS
from pipeline.core.sensing.arrays import oriented, real_array
from pipeline.core.sensing.spatial import as_ratio
from pipeline.core.window import Window
from pipeline.errors import InputError

Array = NDArray[np.float64]
Scores = list[float | None]
"""A score for each band, None where it is undefined."""

PSNR_LIMIT = 140.0  # dB, given to a band without error; float32 resolves about as much


def compare(
    reference: Any,
    cube: Any,
    *,
    ratio: float | str | Fraction,
    pixelwise: Sequence[PixelFunction] = (),
    deviation: Any | None = None,
    mapped: Mapped = map,
) -> Comparison:
    """Gather the sums from which all scores against the reference follow.

    A pixel that is NaN in any band of either cube counts in no score, nor does any window (SSIM,
    UIQI) or block (Q2n) that holds one.

    Parameters
    ----------
    reference, cube : (C, H, W)
        Arrays as in `pipeline.core.sensing.arrays`, or anything with a shape whose slices are such arrays
        (Zarr); masked values are NaN.
    ratio : rational
        LR pixel size over HR pixel size, for ERGAS.
    pixelwise : sequence of callable
        Functions of the spectra of both cubes, whose values are averaged over the scene.
    deviation : (C, H, W), optional
        Standard deviation of the truth about the cube, whose reliability is measured in the same pass.
    mapped : callable
        Like `map`, which is the default; computes the blocks anywhere and yields them in order.

    Raises
    ------
    InputError
        The shapes differ, a cube holds infinite values, or no pixel is valid in all bands of both cubes, or
        of these and the deviation.
    """
    lr_pixel = float(as_ratio(ratio))
    if not lr_pixel > 0:
        raise InputError(f"ratio: expected a positive number, got {ratio}")
    pair = CubePair(_sliceable("reference", reference), _sliceable("cube", cube))
    windows = blocks(pair.size, block_side(pair.bands), BLOCK)
    uncertain = None if deviation is None else UncertainCube(pair, deviation)
    totals, tallies = _gathered(mapped(partial(_first_pass, pair, uncertain, tuple(pixelwise)), windows))
    if not totals.pixels:
        raise InputError("cube: no pixel is valid in all bands of both cubes; leave bands without data out")
    similarity = reduce(added, mapped(partial(block_similarity, pair, totals), windows))
    means = totals.pixelwise[0] / np.maximum(totals.pixelwise[1], 1)
    pixelwise_means = {
        function: float(value) if count else None
        for function, value, count in zip(pixelwise, means, totals.pixelwise[1], strict=True)
    }
    intervals = reliability_of(tallies) if uncertain else None
    return Comparison(totals, similarity, lr_pixel, pair.size[0] * pair.size[1], pixelwise_means, intervals)


def _first_pass(
    pair: CubePair, uncertain: UncertainCube | None, pixelwise: Sequence[PixelFunction], block: Window
) -> tuple[Totals, Tally | None]:
    """Read a block once, and sum up what needs no totals of the scene."""
    x, y = pair.read(block)
    return block_totals(x, y, pixelwise), uncertain.tally(x, y, block) if uncertain else None


def _gathered(parts: Iterable[tuple[Totals, Tally | None]]) -> tuple[Totals, list[Tally]]:
    """Merge the totals of blocks as they come, and list their tallies."""
    totals, tallies = None, []
    for part, tally in parts:
        totals = part if totals is None else totals.merged(part)
        if tally:
            tallies.append(tally)
    assert totals is not None
    return totals, tallies


@dataclass(frozen=True)
class Comparison:
    """Sums over two cubes, and the scores that follow from them.

    Undefined scores are None and are left out of means over bands.

    Attributes
    ----------
    totals : Totals
        Sums and extremes over the valid pixels.
    similarity : Similarity
        Sums of the window indices.
    ratio : float
        LR pixel size over HR pixel size.
    pixels : int
        Pixels of the image, valid or not.
    pixelwise : dict
        Mean over the scene of each function given to `compare`.
    intervals : Reliability or None
        Of the standard deviation given to `compare`.
    """

    totals: Totals
    similarity: Similarity
    ratio: float
    pixels: int
    pixelwise: dict[PixelFunction, float | None]
    intervals: Reliability | None = None

    @cached_property
    def mse(self) -> Array:
        """Mean square error of each band."""
        return self.totals.squared_error / self.totals.pixels

    @cached_property
    def psnr(self) -> Scores:
        """PSNR of each band in dB, its largest reference value the peak; None where that is not positive."""
        return [_psnr(peak, error) for peak, error in zip(self.totals.top[0], self.mse, strict=True)]

    @cached_property
    def psnr_of_peak_1(self) -> Scores:
        """PSNR of each band in dB with 1 as peak."""
        return [_psnr(1.0, error) for error in self.mse]

    @property
    def sam(self) -> float | None:
        """Mean spectral angle in degrees."""
        return self.totals.angle / self.totals.angles if self.totals.angles else None

    @property
    def pixels_without_angle(self) -> int:
        """Valid pixels at which one of the spectra is zero."""
        return self.totals.pixels - self.totals.angles

    @property
    def pixels_without_data(self) -> int:
        """Pixels that are NaN in some band of one of the cubes."""
        return self.pixels - self.totals.pixels

    @property
    def ergas(self) -> float | None:
        """``100 / ratio sqrt(mean_b MSE_b / mean_b^2)`` over the bands whose mean is not zero."""
        mean = self.totals.mean[0]
        level = np.abs(mean) > SUMS * self.totals.largest[0]
        if not level.any():
            return None
        return float(100 / self.ratio * np.sqrt(np.mean(self.mse[level] / mean[level] ** 2)))

    @cached_property
    def window_scores(self) -> list[Scores]:
        """SSIM, SSIM with Gaussian windows and UIQI of each band, means over the windows.

        None where no window fits, SSIM also where the reference is constant.
        """
        varies, windows = self.totals.varies[0], self.similarity.windows
        defined = np.array([varies, varies, np.ones_like(varies)]) & (windows > 0)[:, None]
        means = self.similarity.indices / np.maximum(windows, 1)[:, None]
        return [_where(*scores) for scores in zip(means, defined, strict=True)]

    @property
    def q2n(self) -> float | None:
        """Mean of Q2n over blocks of 32x32 pixels, mirrored at the border."""
        return self.totals.q2n / self.totals.q2n_blocks if self.totals.q2n_blocks else None

    @cached_property
    def correlation(self) -> Scores:
        """Pearson's correlation of each band, 0 where only the cube is constant."""
        xx, yy, xy = self.totals.deviations
        both_vary = self.totals.varies.all(axis=0)
        values = np.divide(xy, np.sqrt(xx * yy), out=np.zeros_like(xy), where=both_vary)
        return _where(values, self.totals.varies[0])

    @property
    def rmse(self) -> float:
        """Root mean square error over all bands."""
        return float(np.sqrt(self.mse.mean()))

    @property
    def band_rmse(self) -> Scores:
        """Root mean square error of each band."""
        return list(np.sqrt(self.mse).tolist())


def mean(scores: Scores) -> float | None:
    """Average over the bands in which a score is defined.

    Parameters
    ----------
    scores : list of float or None
        A score of each band.
    """
    defined = [score for score in scores if score is not None]
    return float(np.mean(defined)) if defined else None


def _sliceable(name: str, image: Any) -> Any:
    """Return the image as (band, y, x), converted to an array if it has no shape of its own."""
    return oriented(image) if hasattr(image, "shape") else real_array(name, image)


def _where(values: Array, defined: NDArray[np.bool_]) -> Scores:
    return [float(value) if known else None for value, known in zip(values, defined, strict=True)]


def _psnr(peak: float, mse: float) -> float | None:
    if peak <= 0:
        return None
    return float(10 * np.log10(peak**2 / max(mse, peak**2 * 10 ** (-PSNR_LIMIT / 10))))
