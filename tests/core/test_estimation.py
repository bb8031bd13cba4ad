"""Estimates from the pair alone, against the truth of simulated pairs."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.estimation.noise_levels import (
    MatchedPixels,
    estimate_detail_noise,
    estimate_hsi_noise,
    estimate_msi_noise,
    matched_pixels,
)
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError


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
    pixels = matched_pixels(pair)
    sigma_hsi = estimate_hsi_noise(pixels)
    assert np.median(sigma_hsi / pair.sigma_hsi) == pytest.approx(1, abs=0.2)
    sigma_msi = estimate_msi_noise(pixels, pair.spectral_response, sigma_hsi)
    assert (0.5 * pair.sigma_msi < sigma_msi).all()
    assert (sigma_msi < 2 * pair.sigma_msi).all()


def test_noise_is_found_per_band():
    pair = low_rank_pair(60)
    rng = np.random.default_rng(0)
    true = np.where(np.arange(40) == 17, 0.5, 0.02) * pair.lr_hsi.std()
    noisy = pair.lr_hsi + true[:, None, None] * rng.standard_normal(pair.lr_hsi.shape)
    sigma = estimate_hsi_noise(matched_pixels(replace(pair, lr_hsi=noisy)))
    assert sigma[17] == pytest.approx(true[17], rel=0.2)
    assert np.argmax(sigma) == 17


def test_noise_of_a_clean_image_is_small_and_positive():
    pair = low_rank_pair(200)
    sigma = estimate_hsi_noise(matched_pixels(pair))
    assert (sigma > 0).all()
    assert sigma.max() < 1e-3 * pair.lr_hsi.std()


def test_the_regression_is_that_of_each_band_on_its_neighbours():
    pixels = matched_pixels(low_rank_pair(30))
    bands, count = pixels.hsi.shape
    variances, shares = np.empty(bands), np.zeros((bands, bands))
    for band in range(bands):
        near = np.argsort(np.abs(np.arange(bands) - band), kind="stable")[1:31]
        predictors = np.vstack([pixels.hsi[near], np.ones(count)]).T
        solution, residual, *_ = np.linalg.lstsq(predictors, pixels.hsi[band], rcond=None)
        variances[band], shares[band, near] = residual[0] / (count - 31), solution[:-1] ** 2
    own = variances.copy()
    for _ in range(50):
        own = own * variances / (own + shares @ own)
    assert np.allclose(estimate_hsi_noise(pixels), np.sqrt(own), rtol=1e-9)


def large_pair():
    """Two bands and one, more than one block in either direction, with no-data."""
    rng = np.random.default_rng(2)
    lr_hsi = rng.random((2, 260, 140), dtype=np.float32)
    hr_msi = rng.random((1, 1040, 560), dtype=np.float32)
    lr_hsi[1, 128, 7] = np.nan
    hr_msi[:, 300:700, 500:530] = np.nan
    response = SpatialResponse.gaussian(ratio=4, fwhm=1.5)
    return Observation(lr_hsi, hr_msi, np.ones((1, 2)), response, np.ones(2), np.ones(1))


def as_set(hsi, msi):
    return np.unique(np.concatenate([hsi, msi]).T, axis=0)


@pytest.mark.parametrize(("most", "stride"), [(10**6, 1), (260 * 140, 1), (2000, 5), (50, 27)])
def test_matched_pixels_lie_on_a_fixed_grid(most, stride):
    pair = large_pair()
    degraded = pair.operator.forward_with_nodata(pair.hr_msi.astype(np.float64))
    coarse, degraded = pair.lr_hsi[:, ::stride, ::stride], degraded[:, ::stride, ::stride]
    share = pair.operator.energy_share(np.isnan(pair.hr_msi[0]))[::stride, ::stride]
    valid = np.isfinite(coarse).all(axis=0) & (share <= 0.25)
    pixels = matched_pixels(pair, most)
    assert valid.sum() == pixels.hsi.shape[1] == pixels.msi.shape[1] <= 1.2 * most
    assert pixels.known.all()
    assert np.allclose(np.sort(pixels.gaps[0]), np.sort(share[valid]), atol=1e-12)
    whole, apart = valid & np.isfinite(degraded).all(axis=0), pixels.gaps[0] == 0
    expected = as_set(coarse[:, whole].astype(np.float64), degraded[:, whole])
    assert np.allclose(as_set(pixels.hsi[:, apart], pixels.msi[:, apart]), expected, rtol=1e-12)


def test_pixels_of_a_small_scene_keep_their_order():
    pair = low_rank_pair(35)
    pixels = matched_pixels(pair)
    assert np.array_equal(pixels.hsi, pair.lr_hsi.reshape(40, -1))
    assert np.allclose(pixels.msi, pair.operator.forward(pair.hr_msi.astype(np.float64)).reshape(4, -1))


def test_noise_gain_is_that_of_the_operator():
    pair = low_rank_pair(35)
    rows = pair.operator.rows[0]
    gain = np.square(rows).sum(axis=1).mean() ** 2
    assert matched_pixels(pair).noise_gain == pytest.approx(gain)


def test_images_without_a_common_pixel_are_refused():
    pair = low_rank_pair(35)
    lr_hsi, hr_msi = pair.lr_hsi.copy(), pair.hr_msi.copy()
    lr_hsi[:, :12] = np.nan
    hr_msi[:, 40:] = np.nan
    with pytest.raises(InputError, match="none has data in both") as error:
        matched_pixels(replace(pair, lr_hsi=lr_hsi, hr_msi=hr_msi))
    assert "\n" not in str(error.value)


def test_few_pixels_or_one_band_still_give_a_level():
    rng = np.random.default_rng(0)
    for bands, count in ((5, 2), (1, 36)):
        pixels = MatchedPixels.complete(rng.random((bands, count)), rng.random((1, count)), 1.0)
        assert (estimate_hsi_noise(pixels) > 0).all()


def test_nodata_pixels_do_not_count():
    pair = low_rank_pair(30)
    damaged = pair.lr_hsi.copy()
    damaged[:, 2, 3] = np.nan
    pixels, fewer = matched_pixels(pair), matched_pixels(replace(pair, lr_hsi=damaged))
    assert fewer.hsi.shape[1] == pixels.hsi.shape[1] - 1
    assert np.allclose(estimate_hsi_noise(fewer), estimate_hsi_noise(pixels), rtol=0.1)


def test_wrong_response_counts_as_noise_of_the_msi():
    pair = low_rank_pair(40)
    wrong = np.roll(pair.spectral_response, 5, axis=1)
    pixels = matched_pixels(pair)
    right_level = estimate_msi_noise(pixels, pair.spectral_response, pair.sigma_hsi)
    wrong_level = estimate_msi_noise(pixels, wrong, pair.sigma_hsi)
    assert (wrong_level > 3 * right_level).all()


def test_what_contradicts_h_at_the_rim_or_at_edges_is_no_noise(landscape, landscape_srf) -> None:
    blur = SpatialResponse.gaussian(ratio=4, fwhm=1.2)
    tiled = np.concatenate([np.concatenate([landscape.data] * 3, axis=1)] * 2, axis=2)
    levels = []
    for border in ("mirror", "zero"):
        seen = simulate(
            tiled, spectral_response=landscape_srf, spatial_response=blur.bordered(border), snr_db=35
        )
        pixels = matched_pixels(replace(seen, spatial_response=blur))
        levels.append(estimate_msi_noise(pixels, landscape_srf, seen.sigma_hsi) / seen.sigma_msi)
        assert not pixels.inside.all()
    assert levels[1] == pytest.approx(levels[0], rel=0.2)
    rng = np.random.default_rng(0)
    errors = np.where(rng.random(pixels.msi.shape) < 0.02, 0.3, 0)
    spoiled = replace(pixels, msi=pixels.msi + errors)
    worse = estimate_msi_noise(spoiled, landscape_srf, seen.sigma_hsi) / seen.sigma_msi
    assert worse == pytest.approx(levels[1], rel=0.25)


def test_texture_that_bands_share_is_no_noise() -> None:
    """Three textures in five bands, ten times as strong as the noise, whose level differs with the band."""
    rng = np.random.default_rng(0)
    true = np.array([0.005, 0.01, 0.01, 0.015, 0.01])
    texture = np.tensordot(rng.random((5, 3)), rng.standard_normal((3, 128, 128)) / 10, axes=1)
    msi = (1 + texture + true[:, None, None] * rng.standard_normal(texture.shape)).astype(np.float32)
    blur = SpatialResponse.bicubic(ratio=4)
    scene = ObservedScene(
        np.ones((5, 32, 32), np.float32), msi, np.eye(5) + 0.1, blur, np.ones(5), np.ones(5)
    )
    ratio = estimate_detail_noise(scene) / true
    assert ((ratio > 0.5) & (ratio < 2.5)).all()
    assert (
        estimate_detail_noise(
            replace(scene, hr_msi=msi[:1], spectral_response=np.ones((1, 5)), sigma_msi=np.ones(1))
        )[0]
        / true[0]
    ) > 5


def test_the_finest_details_bound_the_noise_of_the_msi_from_above(landscape, landscape_srf) -> None:
    """White noise alone is met within two percent; a scene's texture adds to it."""
    rng = np.random.default_rng(0)
    blur = SpatialResponse.bicubic(ratio=4)
    noise = rng.normal(0, [[[0.01]], [[0.03]]], (2, 200, 200)).astype(np.float32)
    flat = ObservedScene(
        np.ones((3, 50, 50), np.float32), 0.5 + noise, np.ones((2, 3)) / 3, blur, np.ones(3), np.ones(2)
    )
    np.testing.assert_allclose(estimate_detail_noise(flat), [0.01, 0.03], rtol=0.02)
    noise[:, :40] = np.nan
    np.testing.assert_allclose(estimate_detail_noise(flat), [0.01, 0.03], rtol=0.03)
    seen = simulate(landscape.data, spectral_response=landscape_srf, spatial_response=blur, snr_db=30)
    assert (estimate_detail_noise(seen) >= 0.95 * seen.sigma_msi).all()
