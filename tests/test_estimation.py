"""Estimates from the pair alone, against the truth of simulated pairs."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.estimation import estimate_hsi_noise, estimate_msi_noise, estimate_spectral_response
from pipeline.core.simulation import simulate
from pipeline.core.spatial import SpatialResponse


def low_rank_pair(snr_db: float, seed: int = 0):
    """A pair whose scene has six spectral dimensions, 40 bands and 96x96 pixels."""
    rng = np.random.default_rng(11)
    spectra = np.cumsum(rng.standard_normal((6, 40)), axis=1)
    maps = np.cumsum(np.cumsum(rng.standard_normal((6, 96, 96)), axis=1), axis=2) / 30
    scene = np.tensordot(spectra.T, maps, axes=1)
    srf = np.kron(np.eye(4), np.full(10, 0.1))
    return simulate(
        scene - scene.min(),
        spectral_response=srf,
        spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=1),
        snr_db=snr_db,
        seed=seed,
    )


@pytest.mark.parametrize("snr_db", [20, 35])
def test_noise_levels_are_found(snr_db):
    pair = low_rank_pair(snr_db)
    sigma_hsi = estimate_hsi_noise(pair.lr_hsi)
    assert np.median(sigma_hsi / pair.sigma_hsi) == pytest.approx(1, abs=0.2)
    sigma_msi = estimate_msi_noise(pair.lr_hsi, pair.hr_msi, pair.spectral_response, pair.operator, sigma_hsi)
    assert (0.5 * pair.sigma_msi < sigma_msi).all()
    assert (sigma_msi < 2 * pair.sigma_msi).all()


def test_noise_is_found_per_band():
    pair = low_rank_pair(60)
    rng = np.random.default_rng(0)
    true = np.where(np.arange(40) == 17, 0.5, 0.02) * pair.lr_hsi.std()
    noisy = pair.lr_hsi + true[:, None, None] * rng.standard_normal(pair.lr_hsi.shape)
    sigma = estimate_hsi_noise(noisy)
    assert sigma[17] == pytest.approx(true[17], rel=0.2)
    assert np.argmax(sigma) == 17


def test_noise_of_a_clean_image_is_small_and_positive():
    pair = low_rank_pair(200)
    sigma = estimate_hsi_noise(pair.lr_hsi)
    assert (sigma > 0).all()
    assert sigma.max() < 1e-3 * pair.lr_hsi.std()


def test_few_pixels_or_one_band_still_give_a_level():
    rng = np.random.default_rng(0)
    assert (estimate_hsi_noise(rng.random((5, 1, 2))) > 0).all()
    assert (estimate_hsi_noise(rng.random((1, 6, 6))) > 0).all()


def test_nodata_pixels_do_not_count():
    pair = low_rank_pair(30)
    damaged = pair.lr_hsi.copy()
    damaged[:, 2, 3] = np.nan
    assert np.allclose(estimate_hsi_noise(damaged), estimate_hsi_noise(pair.lr_hsi), rtol=0.1)


def test_wrong_response_counts_as_noise_of_the_msi():
    pair = low_rank_pair(40)
    wrong = np.roll(pair.spectral_response, 5, axis=1)
    right_level = estimate_msi_noise(
        pair.lr_hsi, pair.hr_msi, pair.spectral_response, pair.operator, pair.sigma_hsi
    )
    wrong_level = estimate_msi_noise(pair.lr_hsi, pair.hr_msi, wrong, pair.operator, pair.sigma_hsi)
    assert (wrong_level > 3 * right_level).all()


def test_spectral_response_predicts_the_msi():
    pair = low_rank_pair(40)
    estimate = estimate_spectral_response(pair.lr_hsi, pair.hr_msi, pair.operator)
    assert (estimate >= 0).all()
    assert np.allclose(estimate.sum(axis=1), 1)
    fresh = low_rank_pair(200, seed=1)  # what R predicts without noise
    error = np.tensordot(estimate - pair.spectral_response, fresh.lr_hsi, axes=1)
    assert (np.sqrt(np.mean(error**2, axis=(1, 2))) < pair.sigma_msi).all()
    assert replace(pair, spectral_response=estimate).spectral_response.shape == (4, 40)
