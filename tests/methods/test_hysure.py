"""HySure: its operators by hand, its optimum by a generic solver, its tiles against the whole image."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
import torch

from pipeline.config.scenes import SyntheticSource
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.engine import Engine, array, interpolated
from pipeline.core.solvers.gaussian import data_terms
from pipeline.core.window import Window
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import FittedMethod, build
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.methods.hysure.selection import choose_lphi, search_windows
from pipeline.methods.hysure.settings import HysureSettings
from pipeline.methods.hysure.vector_tv import (
    Smoothing,
    differences,
    differences_adjoint,
    fuse_vector_tv,
    shrink,
    started,
    vector_tv,
)
from scores import psnr

RNG = np.random.default_rng(11)


def fitted(observation: Observation, **settings) -> FittedMethod:
    return build(HysureSettings(**settings)).fit(observation)


def standard_normal(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(RNG.standard_normal(shape))


def test_differences_of_a_step_lie_at_its_edge():
    field = differences(torch.tensor([[[1.0, 1, 4], [1, 1, 4]]]))
    assert field[0].tolist() == [[[0, 0, 0], [0, 0, 0]]]
    assert field[1].tolist() == [[[0, 3, 0], [0, 3, 0]]]


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 1, 6), (2, 7, 1)])
def test_adjoint_of_the_differences(shape):
    image, field = standard_normal(shape), standard_normal((2, *shape))
    forward, adjoint = differences(image) * field, image * differences_adjoint(field)
    assert float(forward.sum()) == pytest.approx(float(adjoint.sum()))


@pytest.mark.parametrize("shape", [(2, 6, 5), (1, 1, 4)])
def test_smoothing_step_is_exact(shape):
    image = standard_normal(shape)
    smooth = Smoothing(shape[1:], Engine())(image)
    assert torch.allclose(smooth + differences_adjoint(differences(smooth)), image)


def test_norm_and_shrinkage_take_a_pixel_as_one_vector():
    field = torch.zeros((2, 2, 1, 2))
    field[:, :, 0, 0] = torch.tensor([[2.0, 4], [5, 6]])  # norm 9
    field[:, :, 0, 1] = 1  # norm 2
    short = shrink(field, 3.0)
    assert torch.allclose(short[:, :, 0, 0], field[:, :, 0, 0] * 6 / 9)
    assert not short[:, :, 0, 1].any()
    # the pixel's four differences: 2 and 1 along y, 2 and 4 along x
    image = torch.tensor([[[0.0, 2], [2, 2]], [[0, 4], [1, 4]]])
    assert vector_tv(image) == pytest.approx(5 + 0 + 3 + 0)


def small_problem(response: SpatialResponse, shape: tuple[int, int]) -> tuple[Observation, np.ndarray]:
    """A piecewise constant scene with unequal noise levels, and a basis of more planes than MSI bands."""
    rng = np.random.default_rng(2)
    bands, d = 6, 3
    planes = np.cumsum(rng.standard_normal((d, *shape)) * (rng.random(shape) < 0.1), axis=2)
    basis, srf = rng.standard_normal((d, bands)), rng.random((2, bands))
    sigma_hsi, sigma_msi = rng.uniform(0.1, 0.3, bands), rng.uniform(0.1, 0.3, 2)
    cube = np.tensordot(basis.T, planes, axes=1)
    lr_hsi = response.operator(*shape).forward(cube)
    lr_hsi += sigma_hsi[:, None, None] * rng.standard_normal(lr_hsi.shape)
    hr_msi = np.tensordot(srf, cube, axes=1)
    hr_msi += sigma_msi[:, None, None] * rng.standard_normal(hr_msi.shape)
    images = lr_hsi.astype(np.float32), hr_msi.astype(np.float32)
    return Observation(*images, srf, response, sigma_hsi, sigma_msi), basis


def objective(observation: Observation, basis: np.ndarray, planes: np.ndarray, lphi: float) -> float:
    """The paper's, written out from the images."""
    cube = np.tensordot(basis.T, planes, axes=1)
    hsi = observation.lr_hsi - observation.operator.forward(cube)
    msi = observation.hr_msi - np.tensordot(observation.spectral_response, cube, axes=1)
    data = [
        np.square(residual / sigma[:, None, None]).sum() / 2
        for residual, sigma in ((hsi, observation.sigma_hsi), (msi, observation.sigma_msi))
    ]
    return float(sum(data)) + lphi * vector_tv(torch.from_numpy(planes))


def generic_optimum(observation: Observation, basis: np.ndarray, lphi: float) -> np.ndarray:
    """The minimiser by an interior point method, all operators as dense matrices."""
    height, width = observation.hr_shape
    pixels = np.eye(height * width).reshape(-1, height, width)
    blur = observation.operator.forward(pixels).reshape(height * width, -1).T
    steps = [part.reshape(height * width, -1).T for part in differences(torch.from_numpy(pixels)).numpy()]
    planes = cp.Variable((len(basis), height * width))
    hsi = observation.lr_hsi.reshape(len(basis.T), -1) - basis.T @ planes @ blur.T
    msi = observation.hr_msi.reshape(len(observation.hr_msi), -1)
    msi = msi - (basis @ observation.spectral_response.T).T @ planes
    variation = cp.norm(cp.vstack([planes @ step.T for step in steps]), axis=0)
    data = sum(
        cp.sum_squares(cp.multiply(1 / sigma[:, None], residual)) / 2
        for residual, sigma in ((hsi, observation.sigma_hsi), (msi, observation.sigma_msi))
    )
    cp.Problem(cp.Minimize(data + lphi * cp.sum(variation))).solve(
        solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9
    )
    return np.asarray(planes.value).reshape(-1, height, width)


@pytest.mark.parametrize(
    ("response", "shape", "iterations"),
    [
        (SpatialResponse.bicubic(ratio=2), (8, 10), 800),
        (SpatialResponse.gaussian(ratio="5/2", fwhm=1.1), (10, 5), 800),
        (SpatialResponse.from_psf(RNG.random((3, 3)), ratio=2), (6, 8), 3000),
    ],
    ids=["bicubic", "ratio 5/2", "psf of full rank"],
)
def test_admm_reaches_the_optimum_of_a_generic_solver(response, shape, iterations):
    observation, basis = small_problem(response, shape)
    lphi = 3.0
    wanted = generic_optimum(observation, basis, lphi)
    terms = data_terms(observation, basis, Engine())
    start = started(interpolated(terms.coefficients, shape, (0.0, 0.0)))
    found = array(fuse_vector_tv(terms, start, lphi, mu=3.0, iterations=iterations).coefficients)
    best = objective(observation, basis, wanted, lphi)
    assert objective(observation, basis, found, lphi) == pytest.approx(best, rel=1e-7)
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
    # the weight matters in this problem: without it the solution is another
    assert objective(observation, basis, array(start.coefficients), lphi) > 1.1 * best


def test_start_and_penalty_change_the_way_but_not_the_optimum():
    observation, basis = small_problem(SpatialResponse.bicubic(ratio=2), (8, 10))
    terms = data_terms(observation, basis, Engine())
    one = fuse_vector_tv(terms, started(standard_normal((3, 8, 10)) * 0), 3.0, 1.0, 800)
    other = fuse_vector_tv(terms, started(standard_normal((3, 8, 10))), 3.0, 10.0, 800)
    assert torch.allclose(one.coefficients, other.coefficients, atol=1e-4)


def test_defaults_reach_the_optimum(observation_of_landscape):
    usual = fitted(observation_of_landscape)
    long = fitted(observation_of_landscape, lphi=usual.lphi, iterations=1000)
    assert np.abs(usual.fuse() - long.fuse()).max() < 1e-3 * usual.fuse().max()


@pytest.mark.parametrize("basis", ["whitened", "svd"])
def test_piecewise_constant_scene_without_noise_is_recovered(basis):
    """Five materials in squares whose borders cross LR pixels; three MSI bands do not tell them apart."""
    rng = np.random.default_rng(4)
    square = (np.arange(64) + 6) // 20
    material = rng.integers(0, 5, (4, 4))[np.ix_(square, square)]
    scene = (0.2 + 0.6 * rng.random((20, 5)))[:, material].astype(np.float32)
    pair = simulate(
        scene,
        spectral_response=np.kron(np.eye(3), np.full(7, 1 / 7))[:, :20],
        spatial_response=SpatialResponse.bicubic(ratio=4),
        snr_db=100,
    )
    assert psnr(scene, fitted(pair, d=5, basis=basis).fuse()) > 45


@pytest.mark.long
def test_tiles_agree_with_the_whole_image():
    source = SyntheticSource(kind="synthetic", height=160, width=160, bands=20, seed=1)
    scene = synthetic_scene(source)
    pair = simulate(
        scene.data,
        spectral_response=np.kron(np.eye(4), np.full(5, 0.2)),
        spatial_response=SpatialResponse.bicubic(ratio=4),
    )
    method = fitted(pair, lphi=1e-4)
    whole = method.fuse()
    for window in (Window(64, 96, 64, 96), Window(0, 32, 96, 128)):
        error = np.abs(method.fuse(window) - whole[:, *window.slices]).max()
        assert error < 1e-5 * np.ptp(whole)


def test_state_gives_the_same_cube(observation_of_landscape):
    method = fitted(observation_of_landscape, iterations=10)
    again = build(HysureSettings(iterations=10)).restore(observation_of_landscape, method.state())
    assert np.array_equal(method.fuse(), again.fuse())


@pytest.mark.parametrize("snr_db", [20, 100])
def test_float32_rounds_little(landscape, landscape_srf, snr_db):
    """With little noise the data terms are steep, and with much the total variation decides."""
    pair = simulate(
        landscape.data,
        spectral_response=landscape_srf,
        spatial_response=SpatialResponse.bicubic(ratio=4),
        snr_db=snr_db,
    )
    lphi = fitted(pair).lphi
    single, double = (fitted(pair, lphi=lphi, precision=name) for name in ("auto", "float64"))
    assert (single.precision, double.precision) == ("float32", "float64")
    assert np.abs(single.fuse() - double.fuse()).max() < 1e-5 * np.ptp(landscape.data)


def test_nodata_does_not_spread(observation_of_landscape):
    lr_hsi, hr_msi = observation_of_landscape.lr_hsi.copy(), observation_of_landscape.hr_msi.copy()
    lr_hsi[3, 2, 5] = np.nan
    hr_msi[:, 20, 30] = np.nan
    holed = replace(observation_of_landscape, lr_hsi=lr_hsi, hr_msi=hr_msi)
    missing = np.isnan(fitted(holed).fuse()).any(axis=0)
    expected = np.zeros((32, 40), bool)
    expected[8:12, 20:24] = expected[20, 30] = True
    assert np.array_equal(missing, expected)


def test_units_of_the_images_do_not_matter(observation_of_landscape):
    names = ("lr_hsi", "hr_msi", "sigma_hsi", "sigma_msi")
    scaled = {name: getattr(observation_of_landscape, name) * np.float32(1024) for name in names}
    one, other = fitted(observation_of_landscape), fitted(replace(observation_of_landscape, **scaled))
    assert one.lphi == pytest.approx(other.lphi)
    assert np.allclose(one.fuse() * 1024, other.fuse(), rtol=1e-4)


def test_lm_weights_the_msi_as_the_paper_writes_it(observation_of_landscape):
    """With lm the data terms are plain squares, of images whose largest value is 1."""
    method = fitted(observation_of_landscape, lm=2.0, lphi=1e-3, d=4)
    weighted = method.weighted(observation_of_landscape)
    cube = np.tensordot(method.basis.T, RNG.standard_normal((4, 32, 40)), axes=1)
    hsi = weighted.lr_hsi - weighted.operator.forward(cube)
    msi = weighted.hr_msi - np.tensordot(weighted.spectral_response, cube, axes=1)
    assert max(weighted.lr_hsi.max(), weighted.hr_msi.max()) == pytest.approx(1)
    assert np.square(hsi / weighted.sigma_hsi[:, None, None]).sum() == pytest.approx(np.square(hsi).sum())
    assert np.square(msi / weighted.sigma_msi[:, None, None]).sum() == pytest.approx(2 * np.square(msi).sum())


def test_chosen_weight_grows_with_the_noise(landscape, landscape_srf):
    def chosen(snr_db: float) -> float:
        pair = simulate(
            landscape.data,
            spectral_response=landscape_srf,
            spatial_response=SpatialResponse.bicubic(ratio=4),
            snr_db=snr_db,
        )
        return fitted(pair).lphi

    assert chosen(50) < chosen(35) < chosen(20)


def test_windows_of_the_search_are_bounded_and_drawn_by_the_seed():
    lr = SpatialResponse.box(ratio=4)
    hr_msi = RNG.random((2, 512, 384), np.float32)
    scene = Observation(
        RNG.random((3, 128, 96), np.float32), hr_msi, RNG.random((2, 3)), lr, np.ones(3), np.ones(2)
    )
    windows = search_windows([scene], seed=1)
    assert [window.hr_shape for window in windows] == [(128, 128)] * 4
    assert [w.origin for w in windows] == [w.origin for w in search_windows([scene], seed=1)]
    assert len({w.origin for w in windows}) == 4


def test_one_row_of_lr_pixels_leaves_nothing_to_hold_out(observation_of_landscape):
    strip = observation_of_landscape.crop(Window(0, 4, 0, 40))
    basis = np.linalg.qr(RNG.standard_normal((24, 3)))[0].T
    assert choose_lphi([strip], basis, Engine(), 0.25, lambda lphi: lphi, lambda *_: None) == 0.25


@pytest.mark.parametrize("kind", ["bicubic", "psf"])
def test_no_worse_than_the_gaussian_prior(landscape, landscape_srf, kind):
    """Also with a PSF that is not separable."""
    psf = np.exp(-np.add.outer(np.arange(-3, 4.0) ** 2, np.arange(-3, 4.0) ** 2) / 4)
    psf += 0.3 * np.eye(7)
    response = SpatialResponse.bicubic(ratio=4)
    if kind == "psf":
        response = SpatialResponse.from_psf(psf, ratio=4)
    pair = simulate(landscape.data, spectral_response=landscape_srf, spatial_response=response)
    gaussian = build(GaussianSubspaceSettings()).fit(pair).fuse()
    assert psnr(landscape.data, fitted(pair).fuse()) > psnr(landscape.data, gaussian) - 0.5
