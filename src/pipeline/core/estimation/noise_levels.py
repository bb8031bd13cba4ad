"""Noise levels of a pair, estimated from the pair itself.

Three estimates from a sample of pixels, with known responses: the regression of each HSI band on its
neighbours (as in HySime, Bioucas-Dias and Nascimento 2008), the disagreement of the two images, and the MSI's
finest details.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import missing_pixels
from pipeline.core.sensing.noise import noise_floor, power_of
from pipeline.core.sensing.observation import ObservedScene, Progress, no_progress
from pipeline.core.subspace.basis import fit_subspace, signal_dimension
from pipeline.errors import InputError

MOST_PIXELS = 100_000  # LR pixels in a sample
NEIGHBOURS = 30  # largest number of HSI bands on which a band is regressed
PIXELS_PER_NEIGHBOUR = 4
CORRECTIONS = 50  # iterations that remove the neighbours' noise from a band's estimate
MOST_DETAILS = 250_000
NORMAL_MEDIAN = 0.6745  # median absolute value of the standard normal distribution


@dataclass(frozen=True)
class MatchedPixels:
    """LR pixels with data in all bands of both images.

    Attributes
    ----------
    hsi : (C, n) float64
        X at these pixels.
    msi : (c, n) float64
        H(Y) at these pixels.
    noise_gain : float
        Variance of H(Y) over that of Y, for white noise.
    """

    hsi: NDArray[np.float64]
    msi: NDArray[np.float64]
    noise_gain: float


def matched_pixels(
    scene: ObservedScene, most: int = MOST_PIXELS, progress: Progress = no_progress
) -> MatchedPixels:
    """Read the valid pixels of a regular grid of LR pixels, block by block.

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
    response, (height, width) = scene.spatial_response, scene.lr_shape
    stride = max(1, ceil(sqrt(height * width / most)))
    blocks = list(scene.blocks())
    hsi, msi = [], []
    for done, block in enumerate(blocks, start=1):
        window = scene.lr_window(block)
        operator, support = response.window_operator(scene.hr_shape, window)
        chosen = tuple(slice(-low % stride, None, stride) for low in (window.y0, window.x0))
        fine = np.asarray(scene.hr_msi[:, *support.slices], np.float64)
        degraded = operator.forward_with_nodata(fine)[:, *chosen]
        coarse = np.asarray(scene.lr_hsi[:, *window.slices], np.float64)[:, *chosen]
        valid = ~(missing_pixels(coarse) | missing_pixels(degraded))
        hsi.append(coarse[:, valid])
        msi.append(degraded[:, valid])
        progress("sample", done, len(blocks))
    if not any(part.size for part in hsi):
        raise InputError(
            f"lr_hsi and hr_msi: of every {stride}th LR pixel none is valid in all bands of both; crop the "
            "scene to where they overlap, or give the noise levels and the spectral response"
        )
    images = {"lr_hsi": np.concatenate(hsi, axis=1), "hr_msi": np.concatenate(msi, axis=1)}
    for name, image in images.items():
        if not image.any():
            raise InputError(f"{name}: every valid value is 0, expected radiance or reflectance above 0")
    return MatchedPixels(images["lr_hsi"], images["hr_msi"], response.noise_gain(*scene.hr_shape))


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
        variances[band] = residual @ residual / (count - most - 1)
        shares[band, order] = solution[:-1] ** 2
    own = np.maximum(variances, floor**2)
    for _ in range(CORRECTIONS):
        own = np.maximum(own * variances / (own + shares @ own), floor**2)
    return np.sqrt(own)


def estimate_msi_noise(
    pixels: MatchedPixels, spectral_response: NDArray[np.float64], sigma_hsi: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Estimate the noise of each MSI band from ``H(Y) - R X``, which contains noise alone.

    Since H and R commute, the difference of the degraded images has the variance ``g sm_i^2 + ||R_i E^T||^2
    sh^2``, where g is H's gain for white noise and E the subspace of X above its noise, onto which X is
    projected first. Errors of the responses count as noise of the MSI, so that a fusion trusts it less. No
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
    difference = pixels.msi - basis_msi @ (subspace.projection @ pixels.hsi)
    variance = np.square(difference).mean(axis=1)
    of_hsi = np.square(basis_msi).sum(axis=1) * np.mean(np.square(sigma_hsi))
    sampling_error = variance * np.sqrt(2 / max(pixels.msi.shape[1], 2))
    of_msi = np.maximum(variance - of_hsi, sampling_error)
    return np.sqrt(np.maximum(of_msi / pixels.noise_gain, noise_floor(power_of(pixels.msi)) ** 2))


def estimate_noise(
    scene: ObservedScene,
    sigma_hsi: NDArray[np.float64] | None = None,
    progress: Progress = no_progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the noise standard deviations ``(C,)`` and ``(c,)`` of both images.

    For the HR-MSI the smaller of two estimates is taken: the disagreement of the images also contains errors
    of the responses, the finest details also contain texture.

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
    return sigma_hsi, np.minimum(disagreement, estimate_detail_noise(scene))


def estimate_detail_noise(scene: ObservedScene, most: int = MOST_DETAILS) -> NDArray[np.float64]:
    """Estimate an upper bound of each MSI band's white noise from its finest diagonal details.

    It is the median absolute detail of Haar's wavelet over 0.6745 (Donoho and Johnstone 1994), read block by
    block. Texture counts as noise, hence the upper bound; unlike for `estimate_msi_noise`, errors of the
    responses do not.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    most : int
        Approximate number of squares of 2x2 pixels.

    Returns
    -------
    (c,) float64, positive
    """
    height, width = scene.hr_shape
    stride = max(1, ceil(sqrt(height * width / 4 / most)))
    details, powers = [], []
    for block in scene.blocks():
        image = np.asarray(scene.hr_msi[:, *block.slices], np.float64)
        rows, columns = (side // 2 * 2 for side in block.shape)
        step = 2 * stride
        a, b, c, d = (image[:, y:rows:step, x:columns:step] for y in (0, 1) for x in (0, 1))
        details.append(((a - b - c + d) / 2).reshape(len(image), -1))
        powers.append(a.reshape(len(image), -1))
    absolute = np.abs(np.concatenate(details, axis=1))
    floor = noise_floor(power_of(np.nan_to_num(np.concatenate(powers, axis=1))))
    return np.maximum(np.nanmedian(absolute, axis=1) / NORMAL_MEDIAN, floor)
