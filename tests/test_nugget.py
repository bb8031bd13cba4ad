"""What is white on the fine grid and unseen by the HR-MSI, and what the standard deviation makes of it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pipeline.core.deviation import learn_spread, noise_in_subspace
from pipeline.core.nugget import FEWEST_SQUARES, SIDE, _near, nugget, semivariance_gain
from pipeline.core.observation import Observation
from pipeline.core.reliability import reliability
from pipeline.core.simulation import simulate
from pipeline.core.spatial import SpatialResponse
from pipeline.core.subspace import fit_subspace
from pipeline.methods import build
from pipeline.settings import GaussianSubspaceSettings, GraphSubspaceSettings

GRAIN = 0.3  # standard deviation
GRAINY = 6  # bands that have it, the first ones
BANDS = 18
BICUBIC = SpatialResponse.bicubic(ratio=4)


def scene_of(size: int, grain: float = GRAIN, seed: int = 0) -> np.ndarray:
    """Three maps of patches and slopes, mixed linearly in all bands; the first ones share a white one too."""
    rng = np.random.default_rng(seed)
    maps = gaussian_filter(rng.standard_normal((3, size, size)), (0, 9, 9)) > 0
    maps = maps + 40 * gaussian_filter(rng.standard_normal((3, size, size)), (0, 16, 16))
    spectra = 0.2 + np.eye(3)[np.arange(BANDS) % 3]
    scene = np.tensordot(spectra, maps, axes=1) + 2
    scene[:GRAINY] += grain * rng.standard_normal((size, size))
    return scene.astype(np.float32)


def observed(scene: np.ndarray, snr_db: float = 40, response: SpatialResponse = BICUBIC) -> Observation:
    """The HR-MSI sees the bands without grain alone."""
    seen = np.zeros((3, BANDS))
    for band in range(3):
        seen[band, GRAINY + band :: 3] = 0.25
    return simulate(scene, spectral_response=seen, spatial_response=response, snr_db=snr_db)


def nugget_of(*parts: Observation, d: int = 5) -> np.ndarray:
    basis = fit_subspace(parts[0].lr_hsi, parts[0].sigma_hsi, d).basis
    return nugget(parts, basis, noise_in_subspace(basis, parts[0].sigma_hsi))


@pytest.mark.parametrize(
    "response", [BICUBIC, SpatialResponse.box(ratio=4), SpatialResponse.gaussian(ratio=4, fwhm=1.3)], ids=str
)
def test_what_is_white_is_found_and_nothing_else(response: SpatialResponse) -> None:
    found = np.sqrt(nugget_of(observed(scene_of(256), response=response)))
    assert (found[:GRAINY] < 1.1 * GRAIN).all()  # two standard errors are taken off
    assert (found[:GRAINY] > 0.9 * GRAIN).all()
    assert found[GRAINY:].max() < 0.5 * GRAIN


def test_of_a_smooth_scene_there_is_none():
    assert np.sqrt(nugget_of(observed(scene_of(256, grain=0)))).max() < 0.4 * GRAIN


@pytest.mark.parametrize("snr_db", [20, 30])
def test_noise_that_is_told_is_none(snr_db: float) -> None:
    scene = scene_of(192, grain=0)
    pair = observed(scene, snr_db)
    cube = build(GaussianSubspaceSettings()).fit(pair).fuse()
    error = np.sqrt(np.square(cube - scene).mean(axis=(1, 2)))
    assert (np.sqrt(nugget_of(pair)) < error).all()  # which is what noise does to a fused cube


@pytest.mark.parametrize(
    "response", [BICUBIC, SpatialResponse.from_psf([[0, 1, 3], [2, 4, 1], [1, 0, 0]], ratio=2)], ids=str
)
def test_white_is_what_h_leaves_of_white_noise(response: SpatialResponse) -> None:
    blurred = response.operator(48, 40).forward(np.random.default_rng(1).standard_normal((2000, 48, 40)))
    for lag in (1, 2):
        down, right = blurred[:, lag:] - blurred[:, :-lag], blurred[..., lag:] - blurred[..., :-lag]
        half = (np.square(down).mean() + np.square(right).mean()) / 4
        assert semivariance_gain(response, (48, 40), lag) == pytest.approx(half, rel=0.02)
    assert semivariance_gain(response, (48, 40), 99) == pytest.approx(response.noise_gain(48, 40))


@pytest.mark.parametrize(("fwhm", "lag"), [(0.5, 1), (1.0, 1), (1.5, 2), (3.0, 3)])
def test_wide_responses_are_asked_farther_apart(fwhm: float, lag: int) -> None:
    assert _near(SpatialResponse.gaussian(ratio=4, fwhm=fwhm), (128, 128)) == lag


def test_what_the_prior_takes_for_model_errors_is_not_counted_again():
    pair = observed(scene_of(160))
    fitted = build(GraphSubspaceSettings(draws=0)).fit(pair)
    once, again = (
        learn_spread([pair], fitted.method.fusion, prior, classes=2, draws=2, seed=0)
        for prior in (fitted.prior, replace(fitted.prior, misfit=1.0))
    )
    assert (once.white[:GRAINY] > 0.9 * GRAIN).all()
    assert (again.white[:GRAINY] < 0.5 * GRAIN).all()


def test_parts_say_the_same_in_any_order():
    pair = observed(scene_of(192))
    basis = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 5).basis
    noise = noise_in_subspace(basis, pair.sigma_hsi)
    parts = [pair.crop(window) for window in pair.whole.split(96)]
    found = nugget(parts, basis, noise)
    assert found[0] > 0.8 * GRAIN**2
    assert found == pytest.approx(nugget(parts[::-1], basis, noise))


def test_little_data_say_nothing():
    side = 4 * SIDE
    assert FEWEST_SQUARES > 2
    assert not nugget_of(observed(scene_of(side))).any()
    assert not nugget_of(observed(scene_of(2 * side)[:, :side])).any()
    gone = observed(scene_of(128))
    basis = fit_subspace(gone.lr_hsi, gone.sigma_hsi, 5).basis
    gone.lr_hsi[:] = np.nan
    assert not nugget([gone], basis, noise_in_subspace(basis, gone.sigma_hsi)).any()


def test_no_data_does_not_count():
    pair = observed(scene_of(256))
    basis = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 5).basis
    noise = noise_in_subspace(basis, pair.sigma_hsi)
    whole = nugget([pair], basis, noise)
    pair.lr_hsi[:, 3:9, 20:30] = np.nan
    pair.hr_msi[:, 100:120, 10:40] = np.nan
    found = nugget([pair], basis, noise)
    assert found[:GRAINY] == pytest.approx(whole[:GRAINY], rel=0.2)


def test_intervals_hold_the_errors_of_grainy_bands():
    scene = scene_of(160)
    pair = observed(scene, snr_db=45)
    fitted = build(GraphSubspaceSettings()).fit(pair)
    fused = fitted.fuse_part_with_deviation(pair, pair.whole)
    fitted.spread.white[:] = 0  # the spread of the draws, one level down put to the test
    blind = fitted.fuse_part_with_deviation(pair, pair.whole)
    coverage = [
        reliability(scene[:GRAINY], result.cube[:GRAINY], result.deviation[:GRAINY])["coverage_90"]
        for result in (blind, fused)
    ]
    assert coverage[0] < 0.7
    assert 0.82 < coverage[1] < 0.95
