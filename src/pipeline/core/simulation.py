"""An observation simulated from a reference: blur and decimation, spectral response, noise.

Follows the usual Wald protocol of HSI-MSI fusion. The reference does not travel with the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.noise import noise_floor, noise_sigma, standard_normal
from pipeline.core.observation import (
    Observation,
    check_axes,
    check_response_type,
    check_spectral_response,
    numeric_array,
)
from pipeline.core.spatial import SpatialResponse
from pipeline.errors import InputError


def simulate(
    reference: NDArray[Any],
    *,
    spectral_response: NDArray[Any],
    spatial_response: SpatialResponse,
    snr_db: float = 35.0,
    per_band: bool = False,
    seed: int = 0,
) -> Observation:
    """The two noisy images that the given sensors would take of `reference`.

    Parameters
    ----------
    reference : (C, H, W)
        HR-HSI; no-data is NaN and spreads no further than the responses reach.
    spectral_response : (c, C)
        R.
    spatial_response : SpatialResponse
        H; its ratio must divide H and W.
    snr_db : float
        ``10 log10(mean signal power / noise variance)`` of either image, above -20.
    per_band : bool
        Each band at `snr_db`, instead of one noise level for the image.
    seed : int
        Seed of the noise, which also depends on the position in the reference.

    Returns
    -------
    Observation
    """
    reference = numeric_array("reference", reference)
    check_response_type(spatial_response)
    spectral_response = numeric_array("spectral_response", spectral_response).astype(np.float64)
    if reference.ndim != 3:
        raise InputError(f"reference: expected three axes (band, y, x), got shape {reference.shape}")
    if np.isinf(reference).any():
        raise InputError("reference: holds infinite values; mark no-data as NaN")
    if np.isnan(reference).all():
        raise InputError("reference: holds no valid value")
    if not snr_db > -20:
        raise InputError(f"snr_db: {snr_db} dB leaves nothing of the signal; use a value above -20")
    if spectral_response.ndim == 2:
        check_axes("reference", reference, spectral_response.shape[1])
    check_spectral_response(spectral_response, len(np.atleast_1d(spectral_response)), reference.shape[0])
    operator = spatial_response.operator(*reference.shape[1:])
    lr_hsi = operator.forward_with_nodata(reference.astype(np.float64, copy=False))
    # row by row over the bands it sees: no-data in another band does not matter to it
    hr_msi = np.stack([np.tensordot(row[row != 0], reference[row != 0], axes=1) for row in spectral_response])
    images, sigmas = [], []
    for purpose, clean in (("lr_hsi", lr_hsi), ("hr_msi", hr_msi)):
        sigma = noise_sigma(clean, snr_db, per_band)
        noise = standard_normal(seed, purpose, clean.shape)
        images.append((clean + sigma[:, None, None] * noise).astype(np.float32))
        sigmas.append(np.fmax(sigma, noise_floor(clean)))
    return Observation(images[0], images[1], spectral_response, spatial_response, sigmas[0], sigmas[1])
