"""Responses estimated from the pair itself, against the truth of simulated pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cvxpy
import numpy as np
import pytest

import pipeline
from pipeline.config.experiment import load_experiment
from pipeline.config.scenes import DatasetSource
from pipeline.core.estimation.noise_levels import estimate_hsi_noise, estimate_msi_noise, matched_pixels
from pipeline.core.estimation.responses import Responses, estimate_responses
from pipeline.core.estimation.responses.gaussian import fit_gaussian, gaussian
from pipeline.core.estimation.responses.goodness import hr_noise, srf_coverage
from pipeline.core.estimation.responses.kernels import fit_kernel, kernel_side, neighbourhoods, quadratics
from pipeline.core.estimation.responses.sample import read_sample
from pipeline.core.estimation.responses.shape import centre_of, width_of
from pipeline.core.estimation.responses.spectral import calibrate, choose_weights, fit_rows, moments_of
from pipeline.core.sensing.observation import Observation, ObservedScene, no_progress
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.basis import fit_subspace, signal_dimension
from pipeline.errors import InputError
from pipeline.inputs.file_scene import read_scene
from pipeline.inputs.responses import read_response
from pipeline.methods import build, settings_of
from pipeline.settings.validation import parse

SHIFT = (0.3, -0.2)


def real_pair(name: str, sensor: str, blur: SpatialResponse, seed: int = 0) -> tuple[np.ndarray, Observation]:
    """A scene of `config/`, cut to whole LR pixels, seen by its sensor through a PSF at 35 dB."""
    experiment = load_experiment(f"config/{name}.yaml")
    config = experiment.scenes[name]
    scene = read_scene(config.source)
    step = blur.ratio.numerator
    size = scene.shape[0] // step * step if blur.ratio != 4 else config.crop.height
    start = (scene.shape[0] - size) // 2
    data = scene.data[:, start : start + size, start : start + size]
    srf = read_response(experiment.responses[sensor].spectral, scene.wavelength, scene.fwhm)
    return data, simulate(data, spectral_response=srf, spatial_response=blur, seed=seed)


def gaussian_blur(ratio: int, fwhm: float = 1.2) -> SpatialResponse:
    return SpatialResponse.gaussian(ratio=ratio, fwhm=fwhm).shifted(*SHIFT)


def untold(pair: Observation) -> Observation:
    """The pair as someone has it who knows the ratio alone."""
    return replace(
        pair,
        spectral_response=np.full(pair.spectral_response.shape, 1 / pair.bands),
        spatial_response=SpatialResponse.gaussian(ratio=pair.spatial_response.ratio, fwhm=1.0),
        sigma_hsi=np.ones(pair.bands),
        sigma_msi=np.ones(len(pair.hr_msi)),
    )


def in_hsi_units(pair: Observation, found: Responses) -> Observation:
    gain, offset = found.gain[:, None, None], found.offset[:, None, None]
    return replace(
        pair,
        hr_msi=((pair.hr_msi - offset) / gain).astype(np.float32),
        spectral_response=found.spectral_response,
        spatial_response=found.spatial_response,
        sigma_msi=pair.sigma_msi / found.gain,
    )


def noise_of_prediction(pair: Observation) -> np.ndarray:
    """Standard deviation (c,) of ``H(Y) - R X`` with the true responses, which is noise alone."""
    of_msi = pair.spatial_response.noise_gain(*pair.hr_shape) * pair.sigma_msi**2
    return np.sqrt(of_msi + np.square(pair.spectral_response) @ pair.sigma_hsi**2)


def relative_error(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found - true, axis=1) / np.linalg.norm(true, axis=1)


def scene_subspace(pair: Observation) -> np.ndarray:
    """Projection (C, C) onto the spectral directions above the noise."""
    d = signal_dimension(pair.lr_hsi, pair.sigma_hsi)
    basis = fit_subspace(pair.lr_hsi, pair.sigma_hsi, d).basis
    return basis.T @ basis


def fused_psnr(pair: Observation, reference: np.ndarray) -> float:
    method = parse(settings_of("gaussian_subspace"), {"method": "gaussian_subspace"}, "method")
    cube = build(method).fit(pair, 0).fuse()
    return pipeline.evaluate(reference, cube, ratio=float(pair.spatial_response.ratio))["psnr"]


@pytest.fixture
def from_repository(catalogued, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])


SLOW_SEEDS = [pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2)]


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, *SLOW_SEEDS])
def test_blind_estimation_on_jasper_ridge(from_repository, seed):
    data, pair = real_pair("jasper_ridge", "landsat8", gaussian_blur(4), seed)
    found = estimate_responses(untold(pair))
    assert found.fwhm == pytest.approx(1.2, rel=0.05)
    assert found.centre == pytest.approx(SHIFT, abs=0.03)
    assert found.spatial_response.shift == pytest.approx(SHIFT, abs=0.03)
    assert (found.residual < 1.1 * noise_of_prediction(pair)).all()
    assert not found.warnings
    assert np.allclose(found.spectral_response.sum(axis=1), 1)
    assert (found.spectral_response >= 0).all()

    # R itself is far from the truth, in the directions that the scene shows it is not
    of_scene = scene_subspace(pair)
    rows, true = found.spectral_response, pair.spectral_response
    assert relative_error(rows, true).mean() > 0.5
    assert relative_error(rows @ of_scene, true @ of_scene).mean() < 0.2
    missed = np.tensordot(true - found.gain[:, None] * rows, data, axes=1)
    assert (np.sqrt(np.mean(missed**2, axis=(1, 2))) < 0.7 * pair.sigma_msi).all()

    told = in_hsi_units(pair, found)
    known = fused_psnr(pair, data)
    assert fused_psnr(told, data) > known - 0.1

    pixels = matched_pixels(told)
    sigma_hsi = estimate_hsi_noise(pixels)
    sigma_msi = estimate_msi_noise(pixels, told.spectral_response, sigma_hsi)
    assert (sigma_msi > told.sigma_msi).all()
    assert (sigma_msi < 2.6 * told.sigma_msi).all()  # with the true responses up to 2.1
    assert fused_psnr(replace(told, sigma_hsi=sigma_hsi, sigma_msi=sigma_msi), data) > known - 0.5


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "sensor", "blur"),
    [("cave_brocade", "nikon_d700", gaussian_blur(6)), ("samson", "ikonos", gaussian_blur(3, 0.9))],
)
def test_blind_estimation_on_other_scenes_and_ratios(from_repository, name, sensor, blur):
    data, pair = real_pair(name, sensor, blur)
    found = estimate_responses(untold(pair))
    assert found.fwhm == pytest.approx(blur.fwhm, rel=0.02)
    assert found.centre == pytest.approx(SHIFT, abs=0.01)
    assert (found.residual < 1.1 * noise_of_prediction(pair)).all()
    assert (found.fwhm_error < 0.01).all()
    assert (found.centre_error < 0.01).all()
    assert fused_psnr(in_hsi_units(pair, found), data) > fused_psnr(pair, data) - 0.1


@pytest.fixture(scope="module")
def textile(data_sets) -> Observation:
    """150x150 pixels of the brocade, ratio 5, four bands of which each is a mean of some HSI bands."""
    scene = np.asarray(load_brocade(data_sets)[:, :150, :150])
    srf = np.array([np.exp(-0.5 * ((np.arange(31) - c) / 3) ** 2) for c in (5, 12, 19, 26)])
    srf /= srf.sum(axis=1, keepdims=True)
    return simulate(scene, spectral_response=srf, spatial_response=gaussian_blur(5, 1.1))


def load_brocade(data_sets: Path) -> np.ndarray:
    return read_scene(DatasetSource(kind="dataset", name="cave_brocade", folder=str(data_sets))).data


@pytest.mark.parametrize("spectral", ["calibrated", "estimated"])
def test_gain_and_offset_are_found(textile, spectral):
    gain, offset = np.array([1.7, 1.7, 0.4, 25.0]), np.array([0.05, -0.02, 0.05, 3.0])
    msi = textile.hr_msi * gain[:, None, None] + offset[:, None, None]
    scene = untold(replace(textile, hr_msi=msi.astype(np.float32)))
    if spectral == "calibrated":
        scene = replace(scene, spectral_response=textile.spectral_response)
    found = estimate_responses(scene, spectral=spectral, offset=True)
    assert found.gain / gain == pytest.approx(1, abs=0.01)
    assert (found.offset - offset) / gain == pytest.approx(0, abs=0.003)
    assert (np.abs(found.gain - gain) < 5 * found.gain_error).all()
    assert found.fwhm == pytest.approx(1.1, rel=0.02)
    assert found.centre == pytest.approx(SHIFT, abs=0.01)


def test_without_an_offset_there_is_none(textile):
    found = estimate_responses(untold(textile))
    assert not found.offset.any()
    assert found.gain == pytest.approx(1, abs=0.02)


def test_given_responses_are_kept_and_judged(textile):
    found = estimate_responses(textile, spectral="given", spatial="given")
    assert np.array_equal(found.spectral_response, textile.spectral_response)
    assert found.spatial_response == textile.spatial_response
    assert (found.gain == 1).all()
    assert found.residual / noise_of_prediction(textile) == pytest.approx(1, abs=0.05)
    assert (found.correlation > 0.99).all()


def test_a_known_psf_serves_the_semi_blind_estimation_of_r(textile):
    scene = replace(untold(textile), spatial_response=textile.spatial_response)
    found = estimate_responses(scene, spatial="given")
    assert found.spatial_response == textile.spatial_response
    assert (found.residual < 1.1 * noise_of_prediction(textile)).all()
    support = textile.spectral_response > 1e-3
    narrow = estimate_responses(scene, spatial="given", support=support)
    assert (narrow.spectral_response[~support] == 0).all()
    errors = [relative_error(f.spectral_response, textile.spectral_response).mean() for f in (narrow, found)]
    assert errors[0] < errors[1] < 0.2


@pytest.mark.slow
def test_an_anisotropic_psf_is_found_as_a_separable_kernel(textile, data_sets):
    position = np.arange(15) - 7.0
    rows, cols = (np.exp(-0.5 * (position / s) ** 2) for s in (2.0, 3.0))
    blur = SpatialResponse.from_psf(np.outer(rows, cols), ratio=5)
    pair = simulate(
        load_brocade(data_sets)[:, :150, :150],
        spectral_response=textile.spectral_response,
        spatial_response=blur,
    )
    found = estimate_responses(untold(pair), spatial="separable")
    assert found.fwhm == pytest.approx(2.3548 * np.array([2.0, 3.0]) / 5, rel=0.05)
    assert found.centre == pytest.approx([0, 0], abs=0.01)
    assert (found.residual < 1.1 * noise_of_prediction(pair)).all()
    assert np.linalg.matrix_rank(np.array(found.spatial_response.psf), tol=1e-8) == 1
    round_one = estimate_responses(untold(pair))
    assert (round_one.residual > 1.3 * found.residual).all()


@pytest.mark.slow
def test_a_box_is_found_as_a_free_kernel_and_a_gaussian_for_it_is_warned_of(textile, data_sets):
    blur = SpatialResponse.box(ratio=5).shifted(*SHIFT)
    pair = simulate(
        load_brocade(data_sets)[:, :150, :150],
        spectral_response=textile.spectral_response,
        spatial_response=blur,
    )
    found = estimate_responses(untold(pair), spatial="free")
    assert found.fwhm == pytest.approx(1, rel=0.05)
    assert found.centre == pytest.approx(SHIFT, abs=0.02)
    assert (found.residual < 1.15 * noise_of_prediction(pair)).all()
    assert any("times what noise explains" in line for line in estimate_responses(untold(pair)).warnings)


def test_no_data_in_both_images_is_left_out(textile):
    lr_hsi, hr_msi = textile.lr_hsi.copy(), textile.hr_msi.copy()
    lr_hsi[3, 4:9, 20:24] = np.nan
    hr_msi[:, 100:131, 15:33] = np.nan
    damaged = replace(textile, lr_hsi=lr_hsi, hr_msi=hr_msi)
    found = estimate_responses(untold(damaged))
    assert found.fwhm == pytest.approx(1.1, rel=0.02)
    assert found.centre == pytest.approx(SHIFT, abs=0.01)
    sample = read_sample(damaged, no_progress)
    # what lies behind the no-data does not matter
    hr_msi[:, 100:131, 15:33] = 7
    again = read_sample(replace(damaged, hr_msi=hr_msi), no_progress)
    used, of_all = sample.parts[0].used, again.parts[0].used
    assert not used[4:9, 20:24].any()
    assert not used[18:29, 1:9].any()
    expected = of_all.copy()
    expected[18:29, 1:9] = False
    assert np.array_equal(used, expected)
    assert np.isfinite(sample.degraded(textile.spatial_response)).all()


def test_too_little_data_is_one_clear_line(textile):
    hr_msi = textile.hr_msi.copy()
    hr_msi[:, ::2] = np.nan
    tiny = textile.crop(replace(textile.whole, y1=50, x1=50))
    for scene in (replace(textile, hr_msi=hr_msi), tiny):
        with pytest.raises(InputError, match="LR pixels are valid in both") as error:
            estimate_responses(scene)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["lr_hsi", "hr_msi"])
def test_an_image_of_zeros_is_refused(textile, name):
    with pytest.raises(InputError, match=f"{name}: every valid value is 0"):
        estimate_responses(replace(textile, **{name: np.zeros_like(getattr(textile, name))}))


def test_a_reversed_band_and_a_wrong_support_are_refused(textile):
    scene = replace(textile, hr_msi=(textile.hr_msi.max() - textile.hr_msi).astype(np.float32))
    with pytest.raises(InputError, match=r"hr_msi: band \d falls where the HSI bands"):
        estimate_responses(scene, spectral="calibrated", spatial="given", offset=True)
    with pytest.raises(InputError, match="hr_msi: band 0 does not grow"):
        estimate_responses(scene, spatial="given", offset=True, support=narrow_support())
    with pytest.raises(InputError, match=r"support: expected \(4, 31\)"):
        estimate_responses(scene, support=np.ones((4, 30), np.bool_))


def narrow_support() -> np.ndarray:
    support = np.zeros((4, 31), np.bool_)
    support[:, 15] = True
    return support


def test_a_shift_beyond_the_search_is_warned_of(textile):
    far = replace(textile, lr_hsi=np.roll(textile.lr_hsi, 2, axis=1))
    found = estimate_responses(untold(far))
    assert any(line.startswith("PSF: shift along rows") for line in found.warnings)


def test_coverage_is_passed_on_with_a_warning(textile):
    coverage = np.array([1.0, 1.0, 0.4, 1.0])
    found = estimate_responses(textile, spectral="given", spatial="given", coverage=coverage)
    assert found.warnings == ("MSI band 2: the HSI sees 40% of its SRF",)


def test_coverage_of_an_srf_is_the_share_of_its_area():
    nm = np.array([500.0, 520.0, 560.0, 580.0])
    srf = np.array([[0.0, 1.0, 1.0, 0.0]])  # area 60
    spectrum = np.array([505.0, 515.0, 525.0, 535.0])  # sees 500 to 540: 10 + 20 of it
    assert srf_coverage(nm, srf, spectrum) == pytest.approx(30 / 60, abs=0.01)
    assert srf_coverage(nm, srf, np.arange(400.0, 700.0, 10)) == pytest.approx(1)
    gap = np.concatenate([np.arange(450.0, 531.0, 10), np.arange(550.0, 600.0, 10)])  # 535 to 545 removed
    assert srf_coverage(nm, srf, gap, np.full(gap.size, 8.0)) == pytest.approx(50 / 60, abs=0.01)


@pytest.mark.parametrize("offset", [False, True])
def test_r_is_the_solution_of_its_quadratic_programme(offset):
    rng = np.random.default_rng(5)
    hsi = rng.random((12, 3)) @ rng.random((3, 80)) + 0.02 * rng.standard_normal((12, 80))
    narrow = np.exp(-0.5 * (np.arange(12) - np.array([[4.0], [6.0]])) ** 2)
    msi = narrow @ hsi + 0.3 * offset + 0.05 * rng.standard_normal((2, 80))
    support = np.ones((2, 12), np.bool_)
    support[1, 7:] = False
    weight = np.array([1e-3, 3e-2])
    rows, constant = fit_rows(moments_of(hsi, msi), weight, support, offset)
    power = np.square(hsi).sum() / 12
    if offset:
        power = np.square(hsi - hsi.mean(axis=1, keepdims=True)).sum() / 12
    for i in range(2):
        r, o = cvxpy.Variable(12, nonneg=True), cvxpy.Variable()
        cost = cvxpy.sum_squares(msi[i] - r @ hsi - o) + weight[i] * power * cvxpy.sum_squares(cvxpy.diff(r))
        limits = [r[~support[i]] == 0] + ([] if offset else [o == 0])
        cvxpy.Problem(cvxpy.Minimize(cost), limits).solve(
            solver="CLARABEL", tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12
        )
        assert rows[i] == pytest.approx(r.value, abs=1e-4 * r.value.max())
        assert constant[i] == pytest.approx(float(o.value), abs=1e-4)
    assert (rows == 0).sum() > 5  # the bound did act within the support


def test_smoothness_is_that_of_the_best_prediction_of_held_out_folds():
    rng = np.random.default_rng(6)
    hsi = rng.random((20, 4)) @ rng.random((4, 400)) + 0.05 * rng.standard_normal((20, 400))
    smooth = np.exp(-0.5 * ((np.arange(20) - 9) / 5) ** 2)[None]
    msi = smooth / smooth.sum() @ hsi + 0.02 * rng.standard_normal((1, 400))
    fold, support = np.arange(400) % 8, np.ones((1, 20), np.bool_)
    chosen = choose_weights(hsi, msi, fold, support, False)

    def held_out(weight: float) -> float:
        total = 0.0
        for f in range(8):
            fitted = moments_of(hsi[:, fold != f], msi[:, fold != f])
            rows, _ = fit_rows(fitted, np.array([weight]), support, False)
            total += np.square(msi[:, fold == f] - rows @ hsi[:, fold == f]).sum()
        return total

    errors = {weight: held_out(weight) for weight in np.logspace(-6, 0, 7)}
    assert chosen[0] == pytest.approx(min(errors, key=errors.get))


def test_calibration_is_the_line_without_noise():
    matched = np.random.default_rng(0).random((2, 50))
    degraded = np.array([[2.0], [0.5]]) * matched + np.array([[0.1], [-0.3]])
    gain, offset = calibrate(matched, degraded, True)
    assert gain == pytest.approx([2, 0.5])
    assert offset == pytest.approx([0.1, -0.3])


def test_without_noise_the_gaussian_is_exact(textile, data_sets):
    scene = load_brocade(data_sets)[:, :150, :150]
    pair = simulate(
        scene,
        spectral_response=textile.spectral_response,
        spatial_response=textile.spatial_response,
        snr_db=150,
    )
    sample = read_sample(pair, no_progress)
    theta = fit_gaussian(sample, pair.spectral_response @ sample.hsi, np.array([1.6, -0.4, 0.5]), False)
    assert theta == pytest.approx([1.1, *SHIFT], abs=2e-4)
    assert gaussian(theta, sample).kind == "gaussian"


@pytest.mark.parametrize("ratio", [4, 5, "25/3"])
def test_neighbourhoods_weighted_by_a_kernel_are_what_the_response_sees(ratio):
    blur = SpatialResponse.gaussian(ratio=ratio, fwhm=0.9).shifted(*SHIFT)
    step, rows, columns = blur.ratio.numerator, 36 // blur.ratio.denominator, 15 // blur.ratio.denominator
    msi = np.random.default_rng(0).random((2, rows * step, columns * step), dtype=np.float32)
    h, w = (blur.lr_size(n) for n in msi.shape[1:])
    lr_hsi = np.ones((3, h, w), np.float32)
    scene = Observation(lr_hsi, msi, np.ones((2, 3)), blur, np.ones(3), np.ones(2))
    sample = read_sample(scene, no_progress)
    side = kernel_side(blur)
    assert side % 2 == np.ceil(float(blur.ratio)) % 2
    kernel = np.random.default_rng(1).random((side, side))
    response = SpatialResponse.from_psf(kernel, ratio=ratio).shifted(*SHIFT)
    expected = sample.degraded(response)
    for band, degraded in enumerate(expected):
        seen = [neighbourhoods(part.msi[band], part, blur, side) for part in sample.parts]
        assert kernel.ravel() / kernel.sum() @ np.hstack(seen) == pytest.approx(degraded, rel=1e-6)
    # the quadratic form is the sum of the squares less that of the target
    target = np.random.default_rng(2).random(expected.shape)
    forms = quadratics(sample, target, np.array([1.0, 4.0]), blur)
    value = sum(form(kernel / kernel.sum()) for form in forms)
    squares = (np.square(target - expected) - np.square(target)).sum(axis=1)
    assert value == pytest.approx(squares @ [1, 0.25], rel=1e-6)


def test_a_free_kernel_fits_at_least_as_well_as_any_of_rank_one(textile):
    sample = read_sample(textile, no_progress)
    target = textile.spectral_response @ sample.hsi
    forms = quadratics(sample, target, np.ones(4), textile.spatial_response)
    values = {}
    for separable in (False, True):
        kernel = fit_kernel(forms, 1e-3, separable)
        assert (kernel >= 0).all()
        assert kernel.sum() == pytest.approx(1)
        total = sum(forms[1:], start=forms[0]).regularised(1e-3)
        values[separable] = total(kernel)
    assert values[False] < values[True]


def test_width_and_centre_of_responses():
    assert width_of(SpatialResponse.box(ratio=4)) == pytest.approx([1, 1])
    psf = np.zeros((8, 8))
    psf[2:6, 1:7] = 1  # a box of four rows and six columns
    response = SpatialResponse.from_psf(psf, ratio=4).shifted(0.1, 0)
    assert width_of(response) == pytest.approx([1.0, 1.5])
    assert centre_of(response) == pytest.approx([0.1, 0])
    assert centre_of(SpatialResponse.from_psf(psf[1:], ratio=4)) == pytest.approx([-0.125, 0])
    for ratio in (2, 5, "25/3"):
        assert centre_of(SpatialResponse.gaussian(ratio=ratio, fwhm=1.3).shifted(0.3, -0.7)) == pytest.approx(
            [0.3, -0.7], abs=0.002
        )
    narrow = SpatialResponse.gaussian(ratio=1, fwhm=0.75).shifted(0.3, 0)
    assert centre_of(narrow) == pytest.approx([0.3, 0], abs=1e-6)
    position = np.arange(21) - 10.0
    bell = np.exp(-0.5 * (position / 3) ** 2)
    assert width_of(SpatialResponse.from_psf(np.outer(bell, bell), ratio=4)) == pytest.approx(
        3 * 2.3548 / 4, rel=0.01
    )
    keys = SpatialResponse.bicubic(ratio=101).operator(1010, 1010).rows[0][5]
    assert width_of(SpatialResponse.bicubic(ratio=4)) == pytest.approx(
        np.count_nonzero(keys >= keys.max() / 2) / 101, abs=0.02
    )


def test_hr_noise_is_found_in_a_smooth_scene():
    y, x = np.mgrid[:80, :80] / 80
    rng = np.random.default_rng(0)
    msi = np.stack([np.sin(2 * y + x), y * x]) + np.array([[[0.02]], [[0.1]]]) * rng.standard_normal(
        (2, 80, 80)
    )
    blur = SpatialResponse.gaussian(ratio=4, fwhm=1)
    scene = Observation(
        np.ones((2, 20, 20), np.float32), msi.astype(np.float32), np.eye(2), blur, np.ones(2), np.ones(2)
    )
    assert hr_noise(read_sample(scene, no_progress)) == pytest.approx([0.02, 0.1], rel=0.3)


class Counted:
    """An image that is never in memory and knows the largest window that was read."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape, self.largest, self.total = shape, 0, 0

    def __getitem__(self, key):
        bands, rows, cols = (range(n)[k] for n, k in zip(self.shape, key, strict=True))
        size = len(rows) * len(cols)
        self.largest, self.total = max(self.largest, size), self.total + size
        y, x = np.meshgrid(rows, cols, indexing="ij")
        return np.stack([np.sin(y * (b + 1.7)) + np.cos(x * 0.3) for b in bands]).astype(np.float32)


def test_of_a_large_scene_fixed_windows_are_read():
    lr_hsi, hr_msi = Counted((3, 5000, 4000)), Counted((2, 20000, 16000))
    blur = SpatialResponse.gaussian(ratio=4, fwhm=1)
    scene = ObservedScene(lr_hsi, hr_msi, np.ones((2, 3)), blur, np.ones(3), np.ones(2))
    sample = read_sample(scene, no_progress)
    assert sample.hsi.shape == (3, 30 * 32 * 32)
    assert np.bincount(sample.fold, minlength=8).min() > 1000
    assert hr_msi.largest <= (36 * 4) ** 2
    assert hr_msi.total <= 32 * (36 * 4) ** 2
    again = read_sample(scene, no_progress)
    assert np.array_equal(sample.hsi, again.hsi)


def test_a_scene_of_several_windows_uses_each_inner_pixel_once():
    rng = np.random.default_rng(3)
    lr_hsi = rng.random((2, 75, 40), dtype=np.float32)
    hr_msi = rng.random((1, 150, 80), dtype=np.float32)
    blur = SpatialResponse.gaussian(ratio=2, fwhm=1.0).shifted(*SHIFT)
    scene = Observation(lr_hsi, hr_msi, np.ones((1, 2)), blur, np.ones(2), np.ones(1))
    sample = read_sample(scene, no_progress)
    degraded = scene.operator.forward(hr_msi.astype(np.float64))
    inner = np.concatenate([lr_hsi, degraded])[:, 2:-2, 2:-2].reshape(3, -1)
    of_sample = np.concatenate([sample.hsi, sample.degraded(blur)])
    order, expected = np.lexsort(of_sample[:2]), np.lexsort(inner[:2])
    assert of_sample[:, order] == pytest.approx(inner[:, expected], rel=1e-6)


def test_splitting_a_sample_keeps_every_pixel(textile):
    sample = read_sample(textile, no_progress)
    blur = textile.spatial_response
    for fold in range(8):
        fitted, held = sample.split(fold)
        assert (held.fold == fold).all()
        assert len(held.fold) > 0
        assert len(fitted.fold) + len(held.fold) == len(sample.fold)
        whole = sample.degraded(blur)
        assert np.array_equal(held.degraded(blur), whole[:, sample.fold == fold])
        assert np.array_equal(fitted.degraded(blur), whole[:, sample.fold != fold])


def test_the_estimate_is_repeated_exactly(textile):
    one, other = (estimate_responses(untold(textile)) for _ in range(2))
    assert one.spatial_response == other.spatial_response
    assert np.array_equal(one.spectral_response, other.spectral_response)
