"""Noise levels of a pair, estimated from the pair itself.

Three estimates from a sample of pixels, with known responses: the regression of each HSI band on its
neighbours (as in HySime, Bioucas-Dias and Nascimento 2008), the disagreement of the two images away from the
rim, and the MSI's finest details, as far as its bands do not share them. Scales are robust: where H or its
border is wrong, the few pixels at edges and at the rim that contradict it do not count as noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import ceil, sqrt
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import BEST, SOME_GAPS, fill_nearest, missing_pixels, tolerated_share
from pipeline.core.sensing.noise import noise_floor, power_of
from pipeline.core.sensing.observation import ObservedScene, Progress, no_progress
from pipeline.core.subspace.basis import fit_subspace, signal_dimension
from pipeline.core.window import Window
from pipeline.errors import InputError

MOST_PIXELS = 100_000  # LR pixels in a sample
NEIGHBOURS = 30  # largest number of HSI bands on which a band is regressed
PIXELS_PER_NEIGHBOUR = 4
CORRECTIONS = 50  # iterations that remove the neighbours' noise from a band's estimate
ROUNDS = 4  # of the regression on the share of the gaps, whose weights follow from the last round
LEAST_INTERCEPT = 0.01  # of the mean: a noisy regression may cross zero
MOST_DETAILS = 250_000
SPACINGS = (1, 2, 3, 4)  # sides of the squares of pixels: larger ones where gaps leave no smaller square
DENSE_GAPS = 0.15  # share of the gaps at the best quarter of the pixels, beyond which H(Y) tells no noise
TINY = np.finfo(np.float32).tiny
NORMAL_MEDIAN = 0.6745  # median absolute value of the standard normal distribution
USUAL = 2.5  # standard deviations, beyond which a difference is no noise
USUAL_VARIANCE = 0.9113  # of the standard normal distribution within them
LEAST_INSIDE = 0.25  # of the pixels: with fewer away from the rim, all count
DETAILS_PER_BAND = 50  # fewest for the regression of a band's details on those of the other bands
LEAST_UNSHARED = 0.05  # of the details: textures of two bands are hardly ever more alike
REFITS = 3  # of that regression without its outliers


@dataclass(frozen=True)
class MatchedPixels:
    """LR pixels with data in both images.

    Attributes
    ----------
    hsi : (C, n) float64
        X at these pixels.
    msi : (c, n) float64
        H(Y) at these pixels.
    noise_gain : float
        Variance of H(Y) over that of Y, for white noise.
    known : (C, n) bool
        Values of X that were measured; the others are estimates.
    gaps : (c, n) float64
        Share of the response's energy on HR pixels that were not measured.
    inside : (n,) bool
        Pixels that do not see beyond the image.
    """

    hsi: NDArray[np.float64]
    msi: NDArray[np.float64]
    noise_gain: float
    known: NDArray[np.bool_]
    gaps: NDArray[np.float64]
    inside: NDArray[np.bool_]

    @classmethod
    def complete(cls, hsi: NDArray[np.float64], msi: NDArray[np.float64], noise_gain: float) -> MatchedPixels:
        """Take values of which none is missing.

        Parameters
        ----------
        hsi : (C, n)
            X.
        msi : (c, n)
            H(Y).
        noise_gain : float
            Variance of H(Y) over that of Y, for white noise.
        """
        known, inside = np.ones(hsi.shape, np.bool_), np.ones(hsi.shape[1], np.bool_)
        return cls(hsi, msi, noise_gain, known, np.zeros(msi.shape), inside)


def matched_pixels(
    scene: ObservedScene, most: int = MOST_PIXELS, progress: Progress = no_progress
) -> MatchedPixels:
    """Read the valid pixels of a regular grid of LR pixels, block by block.

    A pixel is valid if X was measured in some band and most of H(Y) too.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    most : int
        Approximate number of LR pixels in the grid.
    progress : callable
        Receives the number of blocks that were read.

    Raises
    ------
    InputError
        No pixel is valid, or an image is zero at all valid pixels.
    """
    height, width = scene.lr_shape
    stride = max(1, ceil(sqrt(height * width / most)))
    blocks = list(scene.blocks())
    parts = []
    for done, block in enumerate(blocks, start=1):
        parts.append(_matched(scene, scene.lr_window(block), stride))
        progress("sample", done, len(blocks))
    arrays = [np.concatenate(of_blocks, axis=1) for of_blocks in zip(*parts, strict=True)]
    share = arrays[-1][0]
    hsi, msi, known, gaps, inside, _ = (
        array[:, share <= tolerated_share(share, SOME_GAPS)] for array in arrays
    )
    if not hsi.size:
        raise InputError(
            f"lr_hsi and hr_msi: of every {stride}th LR pixel none has data in both; crop the "
            "scene to where they overlap, or give the noise levels and the spectral response"
        )
    for name, image in (("lr_hsi", hsi), ("hr_msi", msi)):
        if not image.any():
            raise InputError(f"{name}: every valid value is 0, expected radiance or reflectance above 0")
    gain = scene.spatial_response.noise_gain(*scene.hr_shape)
    return MatchedPixels(hsi, msi, gain, known, gaps, inside[0])


def _matched(scene: ObservedScene, window: Window, stride: int) -> tuple[NDArray[Any], ...]:
    """Return X, H(Y), the mask of measured values of X and the gaps of H(Y), at a window's pixels with X.

    Then follows the mask of the pixels that do not see beyond the image. The last array holds the share of
    the response's energy on HR pixels without any measured value.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    window : Window
        LR pixels.
    stride : int
        Spacing of the grid of pixels.
    """
    operator, support = scene.spatial_response.window_operator(scene.hr_shape, window)
    chosen = tuple(slice(-low % stride, None, stride) for low in (window.y0, window.x0))
    coarse = np.asarray(scene.lr_hsi[:, *window.slices], np.float64)[:, *chosen]
    fine = np.asarray(scene.hr_msi[:, *support.slices], np.float64)
    unmeasured = missing_pixels(fine)
    if scene.gaps is None:
        known, missing = ~np.isnan(coarse), np.broadcast_to(unmeasured, fine.shape)
    else:
        known = np.asarray(scene.gaps.known_hsi[:, *window.slices])[:, *chosen]
        missing = ~np.asarray(scene.gaps.known_msi[:, *support.slices])
        fine = np.asarray(scene.filled[1][:, *support.slices], np.float64)
    degraded = operator.forward(fill_nearest(fine))[:, *chosen]
    gaps = operator.energy_share(missing)[:, *chosen]
    share, valid = operator.energy_share(unmeasured)[None, *chosen], ~missing_pixels(coarse)
    rows, columns = scene.spatial_response.rim(*scene.hr_shape)
    inside = ~(rows[window.slices[0]][:, None] | columns[window.slices[1]])[None, *chosen]
    return tuple(array[:, valid] for array in (coarse, degraded, known, gaps, inside, share))


def estimate_hsi_noise(pixels: MatchedPixels) -> NDArray[np.float64]:
    """Estimate the noise of each HSI band as the part that its spectral neighbours do not explain.

    Each band is regressed on the nearest bands over all pixels. The residual's variance is corrected for the
    number of fitted coefficients w and for the neighbours' own noise, ``v_b = sigma_b^2 + sum_j w_bj^2
    sigma_j^2``, by a multiplicative iteration, which keeps the variances positive.

    Parameters
    ----------
    pixels : MatchedPixels
        LR pixels, of which the HSI's values are used.

    Returns
    -------
    (C,) float64, positive
    """
    bands, count = pixels.hsi.shape
    floor = noise_floor(power_of(pixels.hsi))
    most = max(1, min(NEIGHBOURS, bands - 1, count // PIXELS_PER_NEIGHBOUR))
    if bands == 1 or count <= most + 1:
        return np.full(bands, max(floor, float(pixels.hsi.std())))
    # an orthogonal rotation of the pixels: the same regressions on as many rows as columns
    factor = np.asarray(np.linalg.qr(np.vstack([pixels.hsi, np.ones(count)]).T, mode="r"))
    variances, shares = np.empty(bands), np.zeros((bands, bands))
    for band in range(bands):
        order = np.argsort(np.abs(np.arange(bands) - band), kind="stable")[1 : most + 1]
        predictors = factor[:, [*order, bands]]
        solution, *_ = np.linalg.lstsq(predictors, factor[:, band], rcond=None)
        residual = factor[:, band] - predictors @ solution
        # the values that were estimated have hardly any residual
        variances[band] = residual @ residual / max(1, int(pixels.known[band].sum()) - most - 1)
        shares[band, order] = solution[:-1] ** 2
    return np.sqrt(_own_variances(variances, shares, floor**2))


def _own_variances(
    variances: NDArray[np.float64], shares: NDArray[np.float64], least: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Solve ``v_b = sigma_b^2 + sum_j w_bj^2 sigma_j^2`` for the bands' noise variances.

    Parameters
    ----------
    variances : (bands,)
        v, the variances of the residuals of regressions.
    shares : (bands, bands)
        Squared weights of the regressions.
    least : float or (bands,)
        Lower bound of the variances.
    """
    own = np.maximum(variances, least)
    for _ in range(CORRECTIONS):
        own = np.maximum(own * variances / (own + shares @ own), least)
    return own


def estimate_msi_noise(
    pixels: MatchedPixels, spectral_response: NDArray[np.float64], sigma_hsi: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Estimate the noise of each MSI band from ``H(Y) - R X``, which contains noise alone.

    Since H and R commute, the difference of the degraded images has the variance ``g sm_i^2 + ||R_i E^T||^2
    sh^2``, where g is H's gain for white noise and E the subspace of X above its noise, onto which X is
    projected first. Errors of the responses count as noise of the MSI where they are as common as noise, so
    that a fusion trusts it less; rare large ones, and pixels that see beyond the image, are left out. No
    estimate is below its own sampling error.

    Parameters
    ----------
    pixels : MatchedPixels
        LR pixels of both images.
    spectral_response : (c, C)
        R.
    sigma_hsi : (C,)
        Noise standard deviations of the HSI.

    Returns
    -------
    (c,) float64, positive
    """
    image = pixels.hsi[..., None]
    subspace = fit_subspace(image, sigma_hsi, signal_dimension(image, sigma_hsi))
    basis_msi = spectral_response @ subspace.basis.T
    inside = pixels.inside if pixels.inside.mean() >= LEAST_INSIDE else np.ones_like(pixels.inside)
    difference = (pixels.msi - basis_msi @ (subspace.projection @ pixels.hsi))[:, inside]
    variance, sampling_error = np.transpose(
        [
            _without_gaps(*_usual_squares(row, gaps))
            for row, gaps in zip(difference, pixels.gaps[:, inside], strict=True)
        ]
    )
    of_hsi = np.square(basis_msi).sum(axis=1) * np.mean(np.square(sigma_hsi))
    of_msi = np.maximum(variance - of_hsi, sampling_error)
    return np.sqrt(np.maximum(of_msi / pixels.noise_gain, noise_floor(power_of(pixels.msi)) ** 2))


def _usual_squares(
    difference: NDArray[np.float64], gaps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the squared differences without outliers, and the gaps' share at the same pixels.

    The scale of the differences is their median absolute value; what lies within `USUAL` such standard
    deviations is kept and scaled to the variance of all. Where most pixels have gaps, whose variances differ,
    everything is returned.

    Parameters
    ----------
    difference : (n,)
        Normal variables with a mean of zero, and outliers.
    gaps : (n,)
        Share of the gaps.
    """
    complete = difference[gaps == 0]
    if 2 * complete.size < difference.size:
        return np.square(difference), gaps
    scale = float(np.median(np.abs(complete))) / NORMAL_MEDIAN
    kept = complete[np.abs(complete) <= USUAL * scale]
    return np.square(kept) / USUAL_VARIANCE, np.zeros_like(kept)


def _without_gaps(squares: NDArray[np.float64], gaps: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of squared differences where nothing is missing, and its sampling error.

    With the gaps' share of the energy, the variance grows linearly: the estimates in the gaps have errors.
    A weighted regression of the squares on the share takes the variance at a share of zero.

    Parameters
    ----------
    squares : (n,)
        Squares of normal variables with a mean of zero.
    gaps : (n,)
        Share of the gaps.
    """
    mean = float(squares.mean())
    if mean == 0 or np.ptp(gaps) == 0:
        return mean, mean * sqrt(2 / max(len(squares), 2))
    terms, variance = np.stack([np.ones_like(gaps), gaps]), np.ones_like(squares)
    for _ in range(ROUNDS):
        covariance = np.linalg.pinv((terms / variance**2) @ terms.T)
        line = covariance @ (terms @ (squares / mean / variance**2))
        line[0] = min(max(line[0], LEAST_INTERCEPT), 1.0)
        variance = np.maximum(line @ terms, line[0])
    return mean * float(line[0]), mean * min(1.0, sqrt(2 * covariance[0, 0]))


def estimate_noise(
    scene: ObservedScene,
    sigma_hsi: NDArray[np.float64] | None = None,
    progress: Progress = no_progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the noise standard deviations ``(C,)`` and ``(c,)`` of both images.

    For the HR-MSI the smaller of two estimates is taken: the disagreement of the images also contains errors
    of the responses, the finest details also contain texture. Where gaps of the HR-MSI are so dense that
    neither measures its noise, it is taken to be at most that of the LR-HSI, relative to the images' levels.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    sigma_hsi : (C,), optional
        Noise standard deviations of the HSI; by default they are estimated.
    progress : callable
        Receives the number of blocks that were read.
    """
    pixels = matched_pixels(scene, progress=progress)
    if sigma_hsi is None:
        sigma_hsi = estimate_hsi_noise(pixels)
    disagreement = estimate_msi_noise(pixels, scene.spectral_response, sigma_hsi)
    # fmin: where no square of pixels is complete, there is no detail to measure
    of_msi = np.fmin(disagreement, estimate_detail_noise(scene))
    if np.quantile(pixels.gaps, BEST) > DENSE_GAPS:
        relative = np.median(sigma_hsi / np.sqrt(np.square(pixels.hsi).mean(axis=1)).clip(min=TINY))
        of_msi = np.minimum(of_msi, relative * np.sqrt(np.square(pixels.msi).mean(axis=1)).clip(min=TINY))
    return sigma_hsi, of_msi


def estimate_detail_noise(scene: ObservedScene, most: int = MOST_DETAILS) -> NDArray[np.float64]:
    """Estimate an upper bound of each MSI band's white noise from its finest diagonal details.

    It is the median absolute detail of Haar's wavelet over 0.6745 (Donoho and Johnstone 1994), read block by
    block, or less where the other bands explain the details in part: texture is common to the bands, noise
    is not. NaN for a band whose gaps leave no detail. What is left of the texture counts as noise, hence the
    upper bound; unlike for `estimate_msi_noise`, errors of the responses do not.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    most : int
        Approximate number of squares of 2x2 pixels.

    Returns
    -------
    (c,) float64, positive or NaN
    """
    height, width = scene.hr_shape
    step = 2 * max(1, ceil(sqrt(height * width / 4 / most)))
    power, level = [], np.full(scene.hr_msi.shape[0], np.nan)
    for spacing in SPACINGS:
        parts = []
        for block in scene.blocks():
            image = np.asarray(scene.hr_msi[:, *block.slices], np.float64)
            parts.append(_details(image, step, spacing))
            if spacing == SPACINGS[0]:
                power.append(power_of(image[:, ::step, ::step]))
        details = np.concatenate(parts, axis=1)
        found = np.isnan(level) & ~np.isnan(details).all(axis=1)
        level[found] = np.nanmedian(np.abs(details[found]), axis=1) / NORMAL_MEDIAN
        unshared = np.maximum(_unshared_noise(details), LEAST_UNSHARED * level)
        level[found] = np.fmin(level, unshared)[found]
        if not np.isnan(level).any():
            break
    return np.maximum(level, noise_floor(reduce(add, power)))


def _unshared_noise(details: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the noise of each band's details from what those of the other bands do not explain.

    Each band is regressed on the others, without outliers. The residual's variance is corrected for the
    others' noise, as in `estimate_hsi_noise`, but no further than if their noise were as strong: texture that
    is left in the others would take too much away.

    Parameters
    ----------
    details : (c, n)
        Details; NaN where a value is missing.

    Returns
    -------
    (c,) float64, NaN with too few details or a single band
    """
    complete = details[:, ~np.isnan(details).any(axis=0)]
    bands, count = complete.shape
    if bands == 1 or count < DETAILS_PER_BAND * bands:
        return np.full(bands, np.nan)
    variances, shares = np.empty(bands), np.zeros((bands, bands))
    for band in range(bands):
        others = np.arange(bands) != band
        kept = np.ones(count, np.bool_)
        for _ in range(REFITS):
            part = complete[:, kept]
            moments = part[others] @ part.T
            weights = np.linalg.lstsq(moments[:, others], moments[:, band], rcond=None)[0]
            residual = np.abs(complete[band] - weights @ complete[others])
            scale = float(np.median(residual)) / NORMAL_MEDIAN
            kept = residual <= USUAL * scale
        variances[band], shares[band, others] = scale**2, weights**2
    least = np.maximum(variances / (1 + shares.sum(axis=1)), TINY)
    return np.sqrt(_own_variances(variances, shares, least))


def _details(image: NDArray[np.float64], step: int, spacing: int) -> NDArray[np.float64]:
    """Return the diagonal details ``(c, n)`` of squares of four pixels.

    Parameters
    ----------
    image : (c, y, x)
        The image; no-data is NaN.
    step : int
        Distance of the squares.
    spacing : int
        Side of the squares. Above 1, they also begin at every other pixel of a row.
    """
    rows, columns = (side // 2 * 2 for side in image.shape[1:])
    squares = []
    for first in range(1 if spacing == 1 else 2):
        a, b, c, d = (
            image[:, y : rows - spacing + y : step, first + x : columns - spacing + x : step]
            for y in (0, spacing)
            for x in (0, spacing)
        )
        squares.append(((a - b - c + d) / 2).reshape(len(image), -1))
    return np.concatenate(squares, axis=1)
