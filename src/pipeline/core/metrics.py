"""Quality of a fused cube against the reference: PSNR, SAM, ERGAS, SSIM, UIQI, Q2n, CC, RMSE.

Sums are gathered in float64 over strips of rows, so that cubes of any size fit and the result does
not depend on the strips. Windows of SSIM and UIQI slide inside the image, as in scikit-image.

>>> x = np.random.default_rng(0).random((4, 40, 40))
>>> scores = evaluate(x, x + 0.01, ratio=4)
>>> round(scores["rmse"], 6), round(scores["psnr_peak1"], 6), scores["sam_skipped"]
(0.01, 40.0, 0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality_index import BLOCK, q2n_blocks, uiqi_map
from pipeline.core.spatial import as_ratio
from pipeline.core.ssim import Moments, gaussian_window, local_moments, sliding_mean, ssim_map, uniform_window
from pipeline.errors import InputError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Scores = list[float | None]

PSNR_LIMIT = 140.0  # dB, given to a band without error; float32 resolves about as much
STRIP_VALUES = 2**23  # values of one cube held at a time by default: 64 MiB of float64
OVERLAP = 10  # rows by which the largest sliding window reaches into the next strip


def evaluate(
    reference: Any, cube: Any, *, ratio: float | str | Fraction, block_rows: int | None = None
) -> dict[str, Any]:
    """All metrics of a fused cube that need the reference.

    A pixel that is NaN in any band of either cube counts in no metric, nor does any window (SSIM,
    UIQI) or block (Q2n) that holds one. What is not defined is None and is left out of the mean
    over bands: PSNR with the band's maximum as peak where that is not positive, SSIM and CC of a
    band in which the reference is constant, any window index where no window fits.

    Parameters
    ----------
    reference, cube : (C, H, W)
        NumPy arrays, or anything with a shape whose slices NumPy can read (xarray, Zarr).
    ratio : rational
        LR pixel size over HR pixel size, for ERGAS.
    block_rows : int, optional
        Rows read at a time, rounded up to a multiple of 32. Only speed and memory depend on it.

    Returns
    -------
    dict
        psnr : mean over bands of ``10 log10(max_b^2 / MSE_b)``, at most 140 dB per band;
        psnr_peak1 : the same with peak 1;
        sam : mean spectral angle in degrees; sam_skipped : pixels left out for a zero norm;
        ergas : ``100 / ratio sqrt(mean_b MSE_b / mean_b^2)``, over bands of non-zero mean;
        ssim, ssim_gaussian : 7x7 uniform and 11x11 Gaussian windows, range of the reference's band;
        uiqi : 8x8 windows; q2n : 32x32 blocks, mirrored at the border;
        cc : mean over bands of Pearson's correlation (0 where only the cube is constant);
        rmse : over all bands; pixels_skipped : pixels that are NaN;
        per_band : lists psnr, rmse, ssim, cc.
    """
    strips = _Strips(reference, cube, block_rows)
    totals = _Totals(strips)
    spans = totals.top_x - totals.low_x
    correlation = _Correlation(totals)
    ssim = _Sliding(uniform_window(7), partial(ssim_map, covariance_norm=49 / 48), spans)
    ssim_gaussian = _Sliding(gaussian_window(), ssim_map, spans)
    uiqi = _Sliding(uniform_window(8), lambda moments, _: uiqi_map(moments), np.ones_like(spans))
    for x, y, rows in strips.read(OVERLAP):
        valid = _valid(x, y)
        correlation.add(x[:, :rows, :][:, valid[:rows]], y[:, :rows, :][:, valid[:rows]])
        x[:, ~valid] = y[:, ~valid] = 0
        for index in (ssim, ssim_gaussian, uiqi):
            index.add(x, y, valid, rows)
    mse = totals.squared_error / totals.pixels
    psnr = [_psnr(peak, error) for peak, error in zip(totals.top_x, mse, strict=True)]
    return {
        "psnr": _mean(psnr),
        "psnr_peak1": _mean([_psnr(1.0, error) for error in mse]),
        "sam": totals.angle / totals.angles if totals.angles else None,
        "sam_skipped": totals.pixels - totals.angles,
        "ergas": _ergas(mse, totals.sum_x / totals.pixels, float(as_ratio(ratio))),
        "ssim": _mean(ssim.scores),
        "ssim_gaussian": _mean(ssim_gaussian.scores),
        "uiqi": _mean(uiqi.scores),
        "q2n": _q2n(strips),
        "cc": _mean(correlation.scores),
        "rmse": float(np.sqrt(mse.mean())),
        "pixels_skipped": strips.shape[1] * strips.shape[2] - totals.pixels,
        "per_band": {
            "psnr": psnr,
            "rmse": np.sqrt(mse).tolist(),
            "ssim": ssim.scores,
            "cc": correlation.scores,
        },
    }


class _Strips:
    """Two cubes, read in strips of rows as float64."""

    def __init__(self, reference: Any, cube: Any, block_rows: int | None) -> None:
        reference, cube = (_sliceable(image) for image in (reference, cube))
        if len(reference.shape) != 3 or tuple(reference.shape) != tuple(cube.shape):
            raise InputError(
                f"cube: shape {tuple(cube.shape)} does not match the reference's {tuple(reference.shape)}; "
                "both are (band, y, x)"
            )
        bands, height, width = (int(n) for n in reference.shape)
        self.shape = bands, height, width
        self.cubes = {"reference": reference, "cube": cube}
        rows = STRIP_VALUES // (bands * width) if block_rows is None else block_rows + BLOCK - 1
        self.rows = max(1, rows // BLOCK) * BLOCK

    def read(self, overlap: int = 0) -> Iterator[tuple[Array, Array, int]]:
        """Both cubes' strips with up to `overlap` rows of the next one, and the rows without these."""
        height = self.shape[1]
        for top in range(0, height, self.rows):
            rows = min(self.rows, height - top)
            yield *self._rows(top, min(top + rows + overlap, height)), rows

    def mirrored(self) -> Iterator[tuple[Array, Array]]:
        """Both cubes' strips, mirrored at the lower and right border to whole Q2n blocks."""
        _, height, width = self.shape
        cols = _mirror(np.arange(-(-width // BLOCK) * BLOCK), width)
        for top in range(0, height, self.rows):
            bottom = min(top + self.rows, height)
            rows = _mirror(np.arange(top, -(-bottom // BLOCK) * BLOCK), height)
            first = int(rows.min())
            x, y = self._rows(first, bottom)
            yield x[:, rows - first][:, :, cols], y[:, rows - first][:, :, cols]

    def _rows(self, top: int, bottom: int) -> tuple[Array, Array]:
        images = []
        for name, cube in self.cubes.items():
            images.append(np.array(cube[:, top:bottom, :], dtype=np.float64))
            if np.isinf(images[-1]).any():
                raise InputError(f"{name}: holds infinite values; mark no-data as NaN")
        return images[0], images[1]


def _sliceable(image: Any) -> Any:
    """The image as it is, or as an array where it has no shape of its own."""
    return image if hasattr(image, "shape") else np.asarray(image)


def _mirror(indices: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Indices beyond ``size`` folded back, the border repeated."""
    folded = indices % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


def _valid(x: Array, y: Array) -> Mask:
    """Pixels that are not NaN in any band of either cube."""
    return ~np.logical_or(np.isnan(x).any(axis=0), np.isnan(y).any(axis=0))


class _Totals:
    """Sums and extremes over the valid pixels: per band, and of the spectral angle."""

    def __init__(self, strips: _Strips) -> None:
        bands = strips.shape[0]
        self.pixels = self.angles = 0
        self.angle = 0.0  # degrees
        self.sum_x, self.sum_y, self.squared_error = np.zeros((3, bands))
        self.low_x, self.low_y = np.full((2, bands), np.inf)
        self.top_x, self.top_y = np.full((2, bands), -np.inf)
        for x, y, _ in strips.read():
            valid = _valid(x, y)
            self._add(x[:, valid], y[:, valid])
        if not self.pixels:
            raise InputError(
                "cube: no pixel is valid in all bands of both cubes; leave bands without data out"
            )

    def _add(self, x: Array, y: Array) -> None:
        self.pixels += x.shape[1]
        self.sum_x += x.sum(axis=1)
        self.sum_y += y.sum(axis=1)
        self.low_x = np.minimum(self.low_x, x.min(axis=1, initial=np.inf))
        self.low_y = np.minimum(self.low_y, y.min(axis=1, initial=np.inf))
        self.top_x = np.maximum(self.top_x, x.max(axis=1, initial=-np.inf))
        self.top_y = np.maximum(self.top_y, y.max(axis=1, initial=-np.inf))
        self.squared_error += np.square(x - y).sum(axis=1)
        norms = np.linalg.norm(x, axis=0) * np.linalg.norm(y, axis=0)
        cosine = np.einsum("bp,bp->p", x, y)[norms > 0] / norms[norms > 0]
        self.angle += float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).sum())
        self.angles += cosine.size


class _Correlation:
    """Pearson's correlation per band, from deviations about the means."""

    def __init__(self, totals: _Totals) -> None:
        self.mean_x = totals.sum_x[:, None] / totals.pixels
        self.mean_y = totals.sum_y[:, None] / totals.pixels
        self.varies_x = totals.top_x > totals.low_x
        self.varies_y = totals.top_y > totals.low_y
        self.xx, self.yy, self.xy = np.zeros((3, totals.sum_x.size))

    def add(self, x: Array, y: Array) -> None:
        x, y = x - self.mean_x, y - self.mean_y
        self.xx += np.einsum("bp,bp->b", x, x)
        self.yy += np.einsum("bp,bp->b", y, y)
        self.xy += np.einsum("bp,bp->b", x, y)

    @property
    def scores(self) -> Scores:
        defined = self.varies_x & self.varies_y
        value = np.divide(self.xy, np.sqrt(self.xx * self.yy), out=np.zeros_like(self.xy), where=defined)
        return [float(v) if varies else None for v, varies in zip(value, self.varies_x, strict=True)]


class _Sliding:
    """Mean per band of an index over the sliding windows that hold valid pixels only."""

    def __init__(self, window: Array, index: Callable[[Moments, float], Array], spans: Array) -> None:
        self.window, self.index, self.spans = window, index, spans
        self.sums = np.zeros(spans.size)
        self.windows = 0

    def add(self, x: Array, y: Array, valid: Mask, rows: int) -> None:
        """Windows whose first row is among the `rows` first ones."""
        size = self.window.size
        near = slice(0, rows + size - 1)
        if min(valid[near].shape) < size:
            return
        missing = (~valid[near]).astype(np.float64)
        whole = sliding_mean(missing, self.window) == 0
        self.windows += int(whole.sum())
        for band in np.flatnonzero(self.spans > 0):
            moments = local_moments(x[band, near], y[band, near], self.window)
            self.sums[band] += self.index(moments, self.spans[band])[whole].sum()

    @property
    def scores(self) -> Scores:
        if not self.windows:
            return [None] * self.sums.size
        return [
            float(total / self.windows) if span > 0 else None
            for total, span in zip(self.sums, self.spans, strict=True)
        ]


def _q2n(strips: _Strips) -> float | None:
    """Mean over the blocks without NaN."""
    values = np.concatenate([q2n_blocks(x, y).ravel() for x, y in strips.mirrored()])
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _psnr(peak: float, mse: float) -> float | None:
    if peak <= 0:
        return None
    return float(10 * np.log10(peak**2 / max(mse, peak**2 * 10 ** (-PSNR_LIMIT / 10))))


def _ergas(mse: Array, mean: Array, ratio: float) -> float | None:
    level = mean != 0
    if not level.any():
        return None
    return float(100 / ratio * np.sqrt(np.mean(mse[level] / mean[level] ** 2)))


def _mean(scores: Scores) -> float | None:
    """Mean of the bands in which a score is defined."""
    defined = [score for score in scores if score is not None]
    return float(np.mean(defined)) if defined else None
