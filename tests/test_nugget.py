"""What is white on the fine grid and unseen by the HR-MSI, and what the standard deviation makes of it."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pipeline.core.deviation import learn_spread, noise_in_subspace
from pipeline.core.nugget import (
    FEWEST_SQUARES,
    SIDE,
    Squares,
    _near,
    _regression,
    nugget,
    semivariance_gain,
)
from pipeline.core.observation import Observation
from pipeline.core.reliability import reliability
from pipeline.core.simulation import simulate
from pipeline.core.spatial import SpatialResponse
from pipeline.core.subspace import fit_subspace
from pipeline.methods import build
from pipeline.settings import GraphSubspaceSettings

GRAIN = 0.3  # standard deviation
GRAINY = 6  # bands that have it, the first ones
BANDS = 18
BICUBIC = SpatialResponse.bicubic(ratio=4)


def scene_of(size: int, grain: float = GRAIN, seed: int = 0) -> np.ndarray:
    """Three maps of patches and slopes, which the bands mix; the first ones share a white one too."""
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
    "response", [BICUBIC, SpatialResponse.box(ratio=4), SpatialResponse.gaussian(ratio=4, fwhm=0.7)], ids=str
)
def test_what_is_white_is_found_and_nothing_else(response: SpatialResponse) -> None:
    found = np.sqrt(nugget_of(observed(scene_of(256), response=response)))
    assert (found[:GRAINY] < 1.05 * GRAIN).all()  # two standard errors are taken off
    assert (found[:GRAINY] > 0.85 * GRAIN).all()
    assert found[GRAINY:].max() < 0.1 * GRAIN


def test_of_a_scene_that_the_msi_shows_there_is_none():
    assert np.sqrt(nugget_of(observed(scene_of(256, grain=0)))).max() < 0.1 * GRAIN


@pytest.mark.parametrize("snr_db", [20, 30])
def test_noise_that_is_told_is_none(snr_db: float) -> None:
    pair = observed(scene_of(192, grain=0), snr_db)
    assert np.sqrt(nugget_of(pair)).max() < pair.sigma_hsi.max()


@pytest.mark.parametrize(
    "response", [SpatialResponse.bicubic(ratio=8), SpatialResponse.gaussian(ratio=4, fwhm=1.6)], ids=str
)
def test_little_is_concluded_from_what_h_averages_away(response: SpatialResponse) -> None:
    found = np.sqrt(nugget_of(observed(scene_of(256), response=response)))
    assert (found < 0.7 * GRAIN).all()


def test_regression_is_on_what_the_msi_shows_without_its_noise():
    rng = np.random.default_rng(2)
    pairs, sigma = 100_000, np.array([0.5, 1.0])
    differences = rng.standard_normal((2, pairs))
    slopes = np.array([[1.0, -2.0], [3.0, 0.5]])
    seen = differences + np.sqrt(2) * sigma[:, None] * rng.standard_normal((2, pairs))
    cross, known = seen @ (slopes.T @ differences).T, seen @ seen.T
    squares = Squares(np.array([pairs]), known[None], cross[None], np.zeros((1, 2)))
    attenuated = np.linalg.solve(known, cross)
    assert np.abs(attenuated / slopes - 1).min() > 0.2
    assert _regression(squares, np.array([0.05, 0.05])) == pytest.approx(
        np.linalg.solve(known - 0.1 * pairs * np.eye(2), cross), rel=1e-6
    )
    assert _regression(squares, sigma**2)[0] == pytest.approx(slopes[0], rel=0.05)  # stands out of its noise
    assert np.abs(_regression(squares, sigma**2)[1]).max() < 0.1  # does not


@pytest.mark.parametrize(
    "response", [BICUBIC, SpatialResponse.from_psf([[0, 1, 3], [2, 4, 1], [1, 0, 0]], ratio=2)], ids=str
)
def test_semivariance_gain_is_that_of_blurred_noise(response: SpatialResponse) -> None:
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
    assert (once.white[:GRAINY] > 0.7 * GRAIN).all()
    assert (again.white[:GRAINY] < 0.5 * GRAIN).all()


@pytest.mark.parametrize("grain", [0.0, GRAIN])
def test_parts_say_what_the_whole_says(grain: float) -> None:
    pair = observed(scene_of(256, grain))
    basis = fit_subspace(pair.lr_hsi, pair.sigma_hsi, 5).basis
    noise = noise_in_subspace(basis, pair.sigma_hsi)
    parts = [pair.crop(window) for window in pair.whole.split(128)]
    found = nugget(parts, basis, noise)
    assert found == pytest.approx(nugget(parts[::-1], basis, noise))
    assert np.sqrt(found) == pytest.approx(np.sqrt(nugget([pair], basis, noise)), abs=0.1 * GRAIN)


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
    pair.hr_msi[:, 96:124, 6:44] += 9  # what surrounds the gap does not fill it
    pair.lr_hsi[:, 22:33, 0:13] = np.nan
    assert np.sqrt(nugget([pair], basis, noise)) == pytest.approx(np.sqrt(whole), abs=0.1 * GRAIN)


@pytest.mark.parametrize(("bands", "runs"), [(12, 13), (12, 9), (4, 5), (3, 4)])
def test_a_few_pixels_leave_it_finite(bands: int, runs: int) -> None:
    """Runs of three LR pixels, no more than the regression has terms."""
    seen = np.random.default_rng(0).random((bands, BANDS))
    pair = simulate(scene_of(128), spectral_response=seen, spatial_response=BICUBIC, snr_db=35)
    kept = np.zeros(pair.lr_shape, bool)
    for y, x in list(product((2, 12, 20, 28), repeat=2))[:runs]:
        kept[y, x : x + 3] = True
    pair.lr_hsi[:, ~kept] = np.nan
    assert np.isfinite(nugget_of(pair)).all()


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
