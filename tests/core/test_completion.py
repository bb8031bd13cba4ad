"""Estimates of missing values: from a pixel's other bands, from the other image, alike in any window."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.estimation.noise_levels import estimate_noise, matched_pixels
from pipeline.core.sensing.nodata import coupled_pixels
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.completion import Completion, completed, learn_completion
from pipeline.core.subspace.factor_model import FactorModel, fit_factor_model
from pipeline.core.window import Window
from pipeline.errors import InputError

RNG = np.random.default_rng(11)
BANDS, RANK = 30, 4


def smooth_scene(size: int = 64) -> Observation:
    """Four materials mixed smoothly, in 30 bands, through a Gaussian PSF of ratio 4 and four MSI bands."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:size, :size] / 16
    planes = np.stack([np.sin(a * y + b * x + c) + 1.2 for a, b, c in rng.uniform(0, 3, (RANK, 3))])
    planes += 0.3 * rng.random(planes.shape)
    cube = np.tensordot(rng.random((RANK, BANDS)).T, planes, axes=1).astype(np.float32)
    srf = np.kron(np.eye(3), np.full(BANDS // 3, 3 / BANDS))
    return simulate(cube, spectral_response=srf, spatial_response=SpatialResponse.gaussian(ratio=4, fwhm=1.0))


PAIR = smooth_scene()
VALUES = RNG.random(PAIR.lr_hsi.shape) < 0.1
CHECKERBOARD = np.broadcast_to(np.indices(PAIR.lr_shape).sum(axis=0) % 2 == 0, PAIR.lr_hsi.shape)
PIXELS = np.broadcast_to(RNG.random(PAIR.hr_shape) < 0.05, PAIR.hr_msi.shape)


def holed(pair: Observation, lr: np.ndarray | None = None, hr: np.ndarray | None = None) -> Observation:
    lr_hsi, hr_msi = pair.lr_hsi.copy(), pair.hr_msi.copy()
    if lr is not None:
        lr_hsi[lr] = np.nan
    if hr is not None:
        hr_msi[hr] = np.nan
    return replace(pair, lr_hsi=lr_hsi, hr_msi=hr_msi)


def filled(pair: Observation) -> Observation:
    scene = completed(pair, learn_completion(pair))
    return scene.crop(scene.whole)


@pytest.mark.parametrize(
    ("lr", "hr", "worst"),
    [
        (VALUES, None, 1.3),  # in noise levels, of which the values themselves have one
        (CHECKERBOARD, None, 5),
        (None, RNG.random(PAIR.hr_msi.shape) < 0.1, 16),
        (None, PIXELS, 25),  # detail of an LR pixel cannot be known
    ],
)
def test_estimates_are_as_good_as_what_is_known(lr, hr, worst):
    pair = filled(holed(PAIR, lr, hr))
    gaps = pair.gaps
    image = gaps.filled_hsi - PAIR.lr_hsi if lr is not None else gaps.filled_msi - PAIR.hr_msi
    missing = lr if lr is not None else hr
    noise = PAIR.sigma_hsi[0] if lr is not None else PAIR.sigma_msi[0]
    assert np.sqrt(np.square(image[missing]).mean()) < worst * noise
    assert np.abs(image[~missing]).max() == 0
    assert np.array_equal(gaps.known_hsi, ~np.isnan(holed(PAIR, lr, hr).lr_hsi))


def test_a_scene_without_missing_values_has_no_gaps():
    assert learn_completion(PAIR) is None
    assert completed(PAIR, None) is PAIR


def test_only_pixels_that_neither_image_shows_stay_missing():
    lr, hr = np.zeros(PAIR.lr_hsi.shape, bool), np.zeros(PAIR.hr_msi.shape, bool)
    lr[:, 2:8, 2:8] = True
    hr[:, 16:28, 16:28] = True
    pair = filled(holed(PAIR, lr, hr))
    assert np.isnan(pair.gaps.filled_msi).all(axis=0)[16:28, 16:28].all()
    assert np.isnan(pair.gaps.filled_msi).any(axis=0).sum() == 12**2
    unknown = np.isnan(pair.gaps.filled_hsi).any(axis=0)
    assert unknown[4:7, 4:7].all()
    assert not unknown[[2, 2, 7, 7], [2, 7, 2, 7]].any()
    # learning and comparing see unmeasured pixels as no-data, estimated or not
    assert np.array_equal(np.isnan(pair.lr_hsi).any(axis=0), lr[0])
    assert np.array_equal(np.isnan(pair.hr_msi).any(axis=0), hr[0])
    assert not coupled_pixels(pair)[4:7, 4:7].any()


def test_estimates_do_not_depend_on_the_window():
    pair = holed(PAIR, VALUES | CHECKERBOARD, PIXELS)
    scene = completed(pair, learn_completion(pair))
    whole, window = scene.crop(scene.whole), Window(12, 48, 20, 56)
    part = scene.crop(window)
    lr = scene.lr_window(window)
    assert np.allclose(part.gaps.filled_hsi, whole.gaps.filled_hsi[:, *lr.slices], atol=1e-6)
    assert np.allclose(part.gaps.filled_msi, whole.gaps.filled_msi[:, *window.slices], atol=1e-6)
    every = scene.lr_hsi[3:5, 1:14:3, ::2]
    assert np.allclose(every, whole.lr_hsi[3:5, 1:14:3, ::2], atol=1e-6, equal_nan=True)


def test_what_is_missing_is_counted():
    lr, hr = np.zeros(PAIR.lr_hsi.shape, bool), np.zeros(PAIR.hr_msi.shape, bool)
    lr[:, :4, :4] = lr[3] = hr[:, :8, :8] = hr[0, 32:] = True
    lr[3, 8:] = False
    missing = learn_completion(holed(PAIR, lr, hr)).missing
    assert missing.hsi_values == pytest.approx(lr.mean())
    assert missing.msi_values == pytest.approx(hr.mean())
    assert missing.lr_pixels == pytest.approx(1 / 16)
    assert missing.hr_pixels == missing.neither == pytest.approx(1 / 64)


def test_models_are_restored_from_their_arrays():
    pair = holed(PAIR, VALUES, PIXELS)
    completion = learn_completion(pair)
    again = Completion.of(completion.state())
    assert np.array_equal(
        completed(pair, completion).gaps.filled_msi[:, :, :], completed(pair, again).gaps.filled_msi[:, :, :]
    )


def test_a_band_without_values_is_refused():
    lr = np.zeros(PAIR.lr_hsi.shape, bool)
    lr[[3, 7]] = True
    with pytest.raises(
        InputError, match=r"lr_hsi: 2 of 30 bands hold no valid value \(counted from 0: 3, 7\)"
    ):
        learn_completion(holed(PAIR, lr))


@pytest.mark.parametrize(("lr", "hr"), [(VALUES, None), (CHECKERBOARD, None), (None, PIXELS)])
def test_noise_levels_are_those_of_the_complete_pair(lr, hr):
    pixels = matched_pixels(filled(holed(PAIR, lr, hr)))
    assert np.isfinite(pixels.hsi).all()
    assert np.isfinite(pixels.msi).all()
    complete, estimated = estimate_noise(PAIR), estimate_noise(filled(holed(PAIR, lr, hr)))
    assert np.median(estimated[0] / complete[0]) == pytest.approx(1, abs=0.1)
    assert np.abs(np.log2(estimated[1] / complete[1])).max() < 1


def test_the_variance_of_estimates_is_kept_out_of_the_noise():
    """Differences whose variance grows with the share of the gaps: the regression finds it at none."""
    from pipeline.core.estimation.noise_levels import _without_gaps

    gaps = RNG.random(20_000) * (RNG.random(20_000) < 0.7) * 0.2
    squares = np.square(RNG.standard_normal(20_000)) * (1 + 50 * gaps)
    assert _without_gaps(squares, gaps)[0] == pytest.approx(1, abs=0.06)
    assert _without_gaps(squares, 0 * gaps) == pytest.approx((squares.mean(), squares.mean() / 100))


# --- the model


def test_factor_model_recovers_what_generated_the_values():
    loadings, noise = RNG.standard_normal((3, 20)), RNG.uniform(0.01, 0.05, 20)
    values = loadings.T @ RNG.standard_normal((3, 2000)) + 5
    values += noise[:, None] * RNG.standard_normal(values.shape)
    gaps = np.where(RNG.random(values.shape) < 0.2, np.nan, values)
    model = fit_factor_model(gaps, 3)
    assert np.sqrt(model.noise) == pytest.approx(noise, rel=0.15)
    assert model.loadings.T @ model.loadings == pytest.approx(loadings.T @ loadings, abs=0.4)
    assert model.mean == pytest.approx(np.full(20, 5.0), abs=0.2)


def test_expectations_are_those_of_the_normal_distribution():
    loadings, noise, mean = RNG.standard_normal((2, 5)), RNG.uniform(0.1, 1, 5), RNG.random(5)
    model = FactorModel(mean, loadings, noise)
    values = RNG.random((5, 3))
    values[[1, 3], 0] = values[2, 1] = values[:, 2] = np.nan
    covariance = loadings.T @ loadings + np.diag(noise)
    result = model.filled(values)
    for pixel, unknown in ((0, [1, 3]), (1, [2])):
        known = np.setdiff1d(np.arange(5), unknown)
        given = np.linalg.solve(covariance[np.ix_(known, known)], values[known, pixel] - mean[known])
        assert np.allclose(result[unknown, pixel], mean[unknown] + covariance[np.ix_(unknown, known)] @ given)
        assert np.array_equal(result[known, pixel], values[known, pixel])
    assert np.isnan(result[:, 2]).all()
