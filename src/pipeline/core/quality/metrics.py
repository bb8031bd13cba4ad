"""Quality of a fused cube against the reference: PSNR, SAM, ERGAS, SSIM, UIQI, Q2n, CC, RMSE.

Partial sums are gathered in float64 over square blocks in two passes, so that cubes of any size
fit. Windows of SSIM and UIQI slide inside the image, as in scikit-image.

>>> x = np.random.default_rng(0).random((4, 40, 40))
>>> scores = evaluate(x, x + 0.01, ratio=4)
>>> round(scores["rmse"], 6), round(scores["psnr_peak1"], 6), scores["sam_skipped"]
(0.01, 40.0, 0)
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.blockwise import CubePair, Mapped, added, block_side, blocks
from pipeline.core.quality.partial_scores import Similarity, Totals, block_similarity, block_totals
from pipeline.core.quality.quality_index import BLOCK
from pipeline.core.sensing.spatial import as_ratio
from pipeline.errors import InputError

Array = NDArray[np.float64]
Scores = list[float | None]

PSNR_LIMIT = 140.0  # dB, given to a band without error; float32 resolves about as much


def evaluate(
    reference: Any, cube: Any, *, ratio: float | str | Fraction, mapped: Mapped = map
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
    mapped : callable
        Like `map`, which is the default; computes the blocks wherever and yields them in order.

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
    lr_pixel = float(as_ratio(ratio))
    pair = CubePair(_sliceable(reference), _sliceable(cube))
    windows = blocks(pair.size, block_side(pair.bands), BLOCK)
    totals = reduce(Totals.merged, mapped(partial(block_totals, pair), windows))
    if not totals.pixels:
        raise InputError("cube: no pixel is valid in all bands of both cubes; leave bands without data out")
    sums = reduce(added, mapped(partial(block_similarity, pair, totals), windows))
    mse = totals.squared_error / totals.pixels
    psnr = [_psnr(peak, error) for peak, error in zip(totals.top[0], mse, strict=True)]
    ssim, ssim_gaussian, uiqi = _window_scores(totals, sums)
    correlation = _correlation(totals, sums)
    return {
        "psnr": _mean(psnr),
        "psnr_peak1": _mean([_psnr(1.0, error) for error in mse]),
        "sam": totals.angle / totals.angles if totals.angles else None,
        "sam_skipped": totals.pixels - totals.angles,
        "ergas": _ergas(mse, totals.mean[0], lr_pixel),
        "ssim": _mean(ssim),
        "ssim_gaussian": _mean(ssim_gaussian),
        "uiqi": _mean(uiqi),
        "q2n": totals.q2n / totals.q2n_blocks if totals.q2n_blocks else None,
        "cc": _mean(correlation),
        "rmse": float(np.sqrt(mse.mean())),
        "pixels_skipped": pair.size[0] * pair.size[1] - totals.pixels,
        "per_band": {"psnr": psnr, "rmse": np.sqrt(mse).tolist(), "ssim": ssim, "cc": correlation},
    }


def _sliceable(image: Any) -> Any:
    """The image as it is, or as an array where it has no shape of its own."""
    return image if hasattr(image, "shape") else np.asarray(image)


def _window_scores(totals: Totals, sums: Similarity) -> list[Scores]:
    """Mean over the windows of each index and band; only UIQI is defined where the reference is constant."""
    varies = totals.varies[0]
    defined = np.array([varies, varies, np.ones_like(varies)]) & (sums.windows > 0)[:, None]
    means = sums.indices / np.maximum(sums.windows, 1)[:, None]
    return [_where(*scores) for scores in zip(means, defined, strict=True)]


def _correlation(totals: Totals, sums: Similarity) -> Scores:
    """Pearson's correlation per band."""
    xx, yy, xy = sums.deviations
    both_vary = totals.varies.all(axis=0)
    values = np.divide(xy, np.sqrt(xx * yy), out=np.zeros_like(xy), where=both_vary)
    return _where(values, totals.varies[0])


def _where(values: Array, defined: NDArray[np.bool_]) -> Scores:
    return [float(value) if known else None for value, known in zip(values, defined, strict=True)]


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
