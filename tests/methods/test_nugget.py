"""What is white on the fine grid and unseen by the HR-MSI, and what the standard deviation makes of it."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pipeline.core.quality.reliability import reliability
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.basis import fit_subspace
from pipeline.methods import build
from pipeline.methods.graph_subspace.contrasts import fine_power, white_share
from pipeline.methods.graph_subspace.deviation import Calibration, learn_spread
from pipeline.methods.graph_subspace.left_out import left_out, noise_in_subspace
from pipeline.methods.graph_subspace.nugget import _near, _regression, nugget, semivariance_gain
from pipeline.methods.graph_subspace.settings import GraphSubspaceSettings

GRAIN = 0.3  # standard deviation
GRAINY = 6  # bands that have it, the first ones
BANDS = 18
BICUBIC = SpatialResponse.bicubic(ratio=4)


def scene_of(size: int, grain: float = GRAIN, contrast: float = GRAIN, seed: int = 0) -> np.ndarray:
    """Three maps of patches, slopes and white contrasts, which the bands mix.

    The first bands share one more map, of white grain.
    """
    rng = np.random.default_rng(seed)
    maps = gaussian_filter(rng.standard_normal((3, size, size)), (0, 9, 9)) > 0
    maps = maps + 40 * gaussian_filter(rng.standard_normal((3, size, size)), (0, 16, 16))
    maps += contrast * rng.standard_normal(maps.shape)
    scene = np.tensordot(0.2 + np.eye(3)[np.arange(BANDS) % 3], maps, axes=1) + 2
    scene[:GRAINY] += grain * rng.standard_normal((size, size))
    return scene.astype(np.float32)


def observed(scene: np.ndarray, snr_db: float = 40, response: SpatialResponse = BICUBIC) -> Observation:
    """The HR-MSI sees the bands without grain alone."""
    seen = np.zeros((3, BANDS))
    for band in range(3):
        seen[band, GRAINY + band :: 3] = 0.25
    return simulate(scene, spectral_response=seen, spatial_response=response, snr_db=snr_db)


def share_of(pair: Observation) -> float:
    return white_share([(pair.hr_msi.astype(float), np.ones(pair.hr_shape, bool))], pair.sigma_msi)


def nugget_of(*parts: Observation, d: int = 8, white: float = 1.0) -> np.ndarray:
    basis = fit_subspace(parts[0].lr_hsi, parts[0].sigma_hsi, d).basis
    return nugget(parts, basis, noise_in_subspace(basis, parts[0].sigma_hsi), white)


@pytest.mark.parametrize(
    "response", [BICUBIC, SpatialResponse.box(ratio=4), SpatialResponse.gaussian(ratio=4, fwhm=0.7)], ids=str
)
def test_what_is_white_is_found_and_nothing_else(response: SpatialResponse) -> None:
    found = np.sqrt(nugget_of(observed(scene_of(256), response=response)))
    assert found[:GRAINY] == pytest.approx(np.full(GRAINY, GRAIN), rel=0.1)
    assert found[GRAINY:].max() < 0.3 * GRAIN


def test_of_a_scene_that_the_msi_shows_there_is_none():
    shown = observed(scene_of(256, grain=0, contrast=0))
    assert np.sqrt(nugget_of(shown, white=share_of(shown))).max() < 0.1 * GRAIN


def test_where_the_bands_of_the_msi_do_not_differ_in_what_is_white_little_is_said():
    smooth = observed(scene_of(256, contrast=0))
    assert np.sqrt(nugget_of(smooth, white=share_of(smooth))).max() < 0.5 * GRAIN
    alike = observed(scene_of(128))
    alike.hr_msi[:] = alike.hr_msi[:1]
    alike.hr_msi[:] += alike.sigma_msi[0] * np.random.default_rng(1).standard_normal(alike.hr_msi.shape)
    assert not nugget_of(alike, white=share_of(alike)).any()


def test_a_share_of_it_counts():
    pair = observed(scene_of(96))
    assert nugget_of(pair, white=0.3) == pytest.approx(0.3 * nugget_of(pair))


@pytest.mark.parametrize(
    "response", [SpatialResponse.bicubic(ratio=8), SpatialResponse.gaussian(ratio=4, fwhm=1.6)], ids=str
)
def test_little_is_concluded_from_what_h_averages_away(response: SpatialResponse) -> None:
    found = np.sqrt(nugget_of(observed(scene_of(256), response=response)))
    assert (found < 0.7 * GRAIN).all()


def test_regression_is_on_what_the_msi_shows_without_its_noise():
    rng = np.random.default_rng(2)
    noise, slopes = np.array([0.25, 1.0]), np.array([[1.0, -2.0], [3.0, 0.5]])
    true = np.diag([1.0, 0.5])
    known, cross = true + np.diag(noise), true @ slopes
    found = _regression(known, cross, noise)
    assert found[0] == pytest.approx(slopes[0])  # stands out of its noise
    assert not found[1].any()  # does not
    mixed = rng.random((3, 3)) + 2 * np.eye(3)
    slopes = rng.standard_normal((3, 4))
    noise = np.array([0.1, 0.2, 0.3])
    found = _regression(mixed @ mixed.T + np.diag(noise), mixed @ mixed.T @ slopes, noise)
    assert found == pytest.approx(slopes)


@pytest.mark.parametrize(
    "response", [BICUBIC, SpatialResponse.from_psf([[0, 1, 3], [2, 4, 1], [1, 0, 0]], ratio=2)], ids=str
)
def test_semivariance_gain_is_that_of_blurred_noise(response: SpatialResponse) -> None:
    blurred = response.operator(48, 40).forward(np.random.default_rng(1).standard_normal((2000, 48, 40)))
    blurred = blurred[:, 2:-2, 2:-2]
    for lag in (1, 2):
        down, right = blurred[:, lag:] - blurred[:, :-lag], blurred[..., lag:] - blurred[..., :-lag]
        half = (np.square(down).mean() + np.square(right).mean()) / 4
        assert semivariance_gain(response, lag) == pytest.approx(half, rel=0.02)


@pytest.mark.parametrize(("fwhm", "lag"), [(0.5, 1), (1.0, 1), (1.5, 2), (3.0, 3)])
def test_wide_responses_are_asked_farther_apart(fwhm: float, lag: int) -> None:
    assert _near(SpatialResponse.gaussian(ratio=4, fwhm=fwhm)) == lag


def test_what_the_prior_takes_for_model_errors_is_not_counted_again():
    pair = observed(scene_of(160))
    fitted = build(GraphSubspaceSettings(draws=0)).fit(pair)
    once, again = (
        learn_spread(Calibration([pair], 1.0, 2, 2, 0), partial(fitted.method.settled, seed=0), prior)
        for prior in (fitted.prior, replace(fitted.prior, misfit=1.0))
    )
    assert (once.added[:GRAINY] > 0.7 * GRAIN).all()
    assert (again.added[:GRAINY] < 0.5 * GRAIN).all()


def test_what_is_left_out_and_the_nugget_are_added():
    own = gaussian_filter(np.random.default_rng(1).standard_normal((BANDS, 128, 128)), (0, 2, 2))
    pair = observed(scene_of(128, contrast=0.1) + own.astype(np.float32))
    fitted = build(GraphSubspaceSettings(draws=0, d=4)).fit(pair)
    prior, white = fitted.prior, share_of(pair)
    spread = learn_spread(Calibration([pair], 0.5, 2, 2, 0), partial(fitted.method.settled, seed=0), prior)
    noise = noise_in_subspace(prior.basis, pair.sigma_hsi) + prior.misfit * np.square(prior.basis).sum(axis=0)
    outside = left_out([pair], prior.basis, 0.5) * fine_power([pair], white)
    inside = nugget([pair], prior.basis, noise, white)
    assert 0.1 < white < 0.9
    assert 0.1 < outside.sum() / inside.sum() < 10
    assert spread.added**2 == pytest.approx(outside + inside)


@pytest.mark.parametrize("grain", [0.0, GRAIN])
def test_parts_say_what_the_whole_says(grain: float) -> None:
    pair = observed(scene_of(256, grain))
    basis = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 8).basis
    noise = noise_in_subspace(basis, pair.sigma_hsi)
    parts = [pair.crop(window) for window in pair.whole.split(128)]
    found = nugget(parts, basis, noise, white=1)
    assert found == pytest.approx(nugget(parts[::-1], basis, noise, white=1))
    assert np.sqrt(found) == pytest.approx(np.sqrt(nugget([pair], basis, noise, white=1)), abs=0.1 * GRAIN)


def test_little_data_say_nothing():
    assert not nugget_of(observed(scene_of(32))).any()
    gone = observed(scene_of(128))
    basis = fit_subspace(gone.lr_hsi, gone.sigma_hsi, 8).basis
    gone.lr_hsi[:] = np.nan
    assert not nugget([gone], basis, noise_in_subspace(basis, gone.sigma_hsi), white=1).any()


def test_no_data_does_not_count():
    pair = observed(scene_of(256))
    basis = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 8).basis
    noise = noise_in_subspace(basis, pair.sigma_hsi)
    whole = nugget([pair], basis, noise, white=1)
    pair.lr_hsi[:, 3:9, 20:30] = np.nan
    pair.hr_msi[:, 100:120, 10:40] = np.nan
    pair.hr_msi[:, 96:124, 6:44] += 9  # what surrounds the gap does not fill it
    pair.lr_hsi[:, 22:33, 0:13] = np.nan
    assert np.sqrt(nugget([pair], basis, noise, white=1)) == pytest.approx(np.sqrt(whole), abs=0.1 * GRAIN)


@pytest.mark.parametrize("bands", [12, 4, 1])
def test_a_few_pixels_leave_it_finite(bands: int) -> None:
    """Three rows of LR pixels, hardly more pairs than are wanted."""
    seen = np.random.default_rng(0).random((bands, BANDS))
    pair = simulate(scene_of(128), spectral_response=seen, spatial_response=BICUBIC, snr_db=35)
    kept = np.zeros(pair.lr_shape, bool)
    kept[[4, 14, 24]] = True
    pair.lr_hsi[:, ~kept] = np.nan
    found = nugget_of(pair)
    assert np.isfinite(found).all()
    assert found.any() == (bands > 1)


def test_intervals_hold_the_errors_of_grainy_bands():
    scene = scene_of(160)
    pair = observed(scene, snr_db=45)
    fitted = build(GraphSubspaceSettings()).fit(pair)
    fused = fitted.fuse_part_with_deviation(pair, pair.whole)
    fitted.spread.added[:] = 0  # the spread of the draws, one level down put to the test
    blind = fitted.fuse_part_with_deviation(pair, pair.whole)
    coverage = [
        reliability(scene[:GRAINY], result.cube[:GRAINY], result.deviation[:GRAINY]).coverage_90
        for result in (blind, fused)
    ]
    assert coverage[0] < 0.8
    assert 0.85 < coverage[1] < 0.96
