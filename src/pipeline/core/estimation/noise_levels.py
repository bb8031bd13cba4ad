"""Noise levels of a pair, estimated from the pair itself.

By regression of each HSI band on its neighbours (as in HySime, Bioucas-Dias and Nascimento 2008), from
the disagreement of the two images, and from the MSI's finest details. All see a sample of pixels. The
responses are taken as known; `core.estimation.responses` estimates them.
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
NEIGHBOURS = 30  # HSI bands on which each band is regressed, at most
PIXELS_PER_NEIGHBOUR = 4
CORRECTIONS = 50  # iterations that take the neighbours' noise out of a band's
MOST_DETAILS = 250_000
NORMAL_MEDIAN = 0.6745  # median absolute value of the standard normal distribution


@dataclass(frozen=True)
class MatchedPixels:
    """LR pixels that both images hold in all their bands.

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
    """The valid pixels among those on a fixed grid of some `most` LR pixels, read block by block.

    Raises
    ------
    InputError
        There are none, or an image is zero at all of them.
    """
    response, (height, width) = scene.spatial_response, scene.lr_shape
    stride = max(1, ceil(sqrt(height * width / most)))
    blocks = list(scene.blocks())
    hsi, msi = [], []
    for done, block in enumerate(blocks, start=1):
        window = scene.lr_window(block)
        operator, seen = response.window_operator(scene.hr_shape, window)
        chosen = tuple(slice(-low % stride, None, stride) for low in (window.y0, window.x0))
        fine = np.asarray(scene.hr_msi[:, *seen.slices], np.float64)
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
    """Noise standard deviation of each HSI band, as what its spectral neighbours do not explain.

    Each band is regressed on the nearest bands over all pixels. The residual's variance is
    corrected for the number of fitted coefficients w and for the neighbours' own noise:
    ``v_b = sigma_b^2 + sum_j w_bj^2 sigma_j^2``, solved by a multiplicative iteration.

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
    """Noise standard deviation of each MSI band, from ``H(Y) - R X``, which holds noise alone.

    Since H and R commute, the difference of the degraded images has the variance
    ``g sm_i^2 + ||R_i E^T||^2 sh^2``, g being H's gain for white noise and E the subspace of X above
    its noise, onto which X is projected first. Errors of the responses count as noise of the MSI,
    which is what a fusion should trust less then. No estimate is below its own sampling error.

    Returns
    -------
    (c,) float64, positive
    """
    image = pixels.hsi[..., None]
    subspace = fit_subspace(image, sigma_hsi, signal_dimension(image, sigma_hsi))
    seen = spectral_response @ subspace.basis.T
    difference = pixels.msi - seen @ (subspace.projection @ pixels.hsi)
    variance = np.square(difference).mean(axis=1)
    of_hsi = np.square(seen).sum(axis=1) * np.mean(np.square(sigma_hsi))
    sampling_error = variance * np.sqrt(2 / max(pixels.msi.shape[1], 2))
    of_msi = np.maximum(variance - of_hsi, sampling_error)
    return np.sqrt(np.maximum(of_msi / pixels.noise_gain, noise_floor(power_of(pixels.msi)) ** 2))


def estimate_noise(
    scene: ObservedScene,
    sigma_hsi: NDArray[np.float64] | None = None,
    progress: Progress = no_progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Noise standard deviations ``(C,)`` and ``(c,)`` of both images, or of the HR-MSI alone.

    The images' disagreement holds errors of the responses, the finest details hold texture: the HR-MSI's is
    the smaller of the two.
    """
    pixels = matched_pixels(scene, progress=progress)
    if sigma_hsi is None:
        sigma_hsi = estimate_hsi_noise(pixels)
    disagreement = estimate_msi_noise(pixels, scene.spectral_response, sigma_hsi)
    return sigma_hsi, np.minimum(disagreement, estimate_detail_noise(scene))


def estimate_detail_noise(scene: ObservedScene, most: int = MOST_DETAILS) -> NDArray[np.float64]:
    """At most how much white noise each MSI band holds: the spread of its finest diagonal details.

    The median absolute detail of Haar's wavelet over 0.6745 (Donoho and Johnstone 1994), over some `most`
    squares of two by two pixels, read block by block. Texture counts as noise, so this is an upper bound;
    unlike `estimate_msi_noise` it does not take errors of the responses for noise.

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
    found = np.concatenate(details, axis=1)
    floor = noise_floor(power_of(np.nan_to_num(np.concatenate(powers, axis=1))))
    return np.maximum(np.nanmedian(np.abs(found), axis=1) / NORMAL_MEDIAN, floor)
