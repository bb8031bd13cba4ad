"""What is not known of a pair, estimated from the pair itself: noise levels and spectral response.

Noise by regression of each HSI band on its neighbours (as in HySime, Bioucas-Dias and Nascimento
2008) and from the disagreement of the two images; the response as in the semi-blind mode of
ARGS-Diff's public code. The point spread function is taken as known here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.core.nodata import missing_pixels
from pipeline.core.noise import noise_floor
from pipeline.core.observation import Progress, no_progress
from pipeline.core.spatial import SpatialOperator
from pipeline.core.subspace import fit_subspace, signal_dimension

NEIGHBOURS = 30  # HSI bands on which each band is regressed, at most
PIXELS_PER_NEIGHBOUR = 4
CORRECTIONS = 50  # iterations that take the neighbours' noise out of a band's
ITERATIONS = 3000
LEARNING_RATE = 5e-2


def estimate_hsi_noise(lr_hsi: NDArray[Any]) -> NDArray[np.float64]:
    """Noise standard deviation of each band, as what its spectral neighbours do not explain.

    Each band is regressed on the nearest bands over all valid pixels. The residual's variance is
    corrected for the number of fitted coefficients w and for the neighbours' own noise:
    ``v_b = sigma_b^2 + sum_j w_bj^2 sigma_j^2``, solved by a multiplicative iteration.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        No-data is NaN.

    Returns
    -------
    (C,) float64, positive
    """
    pixels = lr_hsi[:, ~missing_pixels(lr_hsi)].astype(np.float64)
    bands, count = pixels.shape
    floor = noise_floor(pixels)
    most = max(1, min(NEIGHBOURS, bands - 1, count // PIXELS_PER_NEIGHBOUR))
    if bands == 1 or count <= most + 1:
        return np.full(bands, max(floor, float(pixels.std())))
    variances, shares = np.empty(bands), np.zeros((bands, bands))
    for band in range(bands):
        order = np.argsort(np.abs(np.arange(bands) - band), kind="stable")[1 : most + 1]
        predictors = np.vstack([pixels[order], np.ones(count)]).T
        solution, *_ = np.linalg.lstsq(predictors, pixels[band], rcond=None)
        residual = pixels[band] - predictors @ solution
        variances[band] = residual @ residual / (count - most - 1)
        shares[band, order] = solution[:-1] ** 2
    own = np.maximum(variances, floor**2)
    for _ in range(CORRECTIONS):
        own = np.maximum(own * variances / (own + shares @ own), floor**2)
    return np.sqrt(own)


def estimate_msi_noise(
    lr_hsi: NDArray[Any],
    hr_msi: NDArray[Any],
    spectral_response: NDArray[np.float64],
    operator: SpatialOperator,
    sigma_hsi: NDArray[np.float64],
    noise_gain: float = 1.0,
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
    degraded = operator.forward_with_nodata(hr_msi.astype(np.float64))
    valid = ~(missing_pixels(lr_hsi) | missing_pixels(degraded))
    count = int(valid.sum())
    pixels = lr_hsi[:, valid].astype(np.float64)[..., None]
    subspace = fit_subspace(pixels, sigma_hsi, signal_dimension(pixels, sigma_hsi))
    seen = spectral_response @ subspace.basis.T
    difference = degraded[:, valid] - seen @ subspace.coefficients[..., 0]
    variance = np.square(difference).mean(axis=1)
    of_hsi = np.square(seen).sum(axis=1) * np.mean(np.square(sigma_hsi))
    of_msi = np.maximum(variance - of_hsi, variance * np.sqrt(2 / max(count, 2)))
    return np.sqrt(np.maximum(of_msi / noise_gain, noise_floor(hr_msi) ** 2))


def estimate_spectral_response(
    lr_hsi: NDArray[Any],
    hr_msi: NDArray[Any],
    operator: SpatialOperator,
    progress: Progress = no_progress,
) -> NDArray[np.float64]:
    """R with non-negative rows that sum to one, by least absolute deviations of ``R X`` from ``H(Y)``.

    Softmax rows, Adam with learning rate 5e-2, 3000 iterations. R is known only within the
    scene's spectral subspace: what it predicts on the scene is reliable, its shape is not.

    Parameters
    ----------
    lr_hsi : (C, h, w)
    hr_msi : (c, H, W)
    operator : SpatialOperator
        H, known.

    Returns
    -------
    (c, C) float64
    """
    target = operator.forward_with_nodata(hr_msi.astype(np.float64))
    valid = ~(missing_pixels(lr_hsi) | missing_pixels(target))
    scale = float(np.nanmax(lr_hsi))
    source = torch.from_numpy((lr_hsi[:, valid] / scale).astype(np.float32))
    wanted = torch.from_numpy((target[:, valid] / scale).astype(np.float32))
    logits = torch.zeros(len(hr_msi), len(lr_hsi), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=LEARNING_RATE)
    for step in range(1, ITERATIONS + 1):
        loss = (torch.softmax(logits, dim=1) @ source - wanted).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            progress("response", step, ITERATIONS, float(loss.detach()))
    return torch.softmax(logits.detach().double(), dim=1).numpy()
