"""ARGS-Diff's budget `fast`: the denoiser's symmetries and training, the walk by the exact solver."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config.scenes import SyntheticSource
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.engine import Engine, array, interpolated
from pipeline.core.solvers.gaussian import GaussianFusion
from pipeline.core.solvers.graph_fusion import misfit_terms
from pipeline.core.window import Window
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import build, pool
from pipeline.methods.args_diff.denoiser import Denoiser, PlaneDraw, local_mean, noise_loss, whitening
from pipeline.methods.args_diff.fast import FIRST, LAST, PRIOR_WEIGHT, FastArgsDiff, FittedFastArgsDiff
from pipeline.methods.args_diff.method import ArgsDiff
from pipeline.methods.args_diff.settings import ArgsDiffSettings, FastBudget
from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings
from pipeline.methods.optimisation import seeded_generator
from scores import psnr

RNG = np.random.default_rng(12)
SHORT = FastBudget(denoiser_iterations=150, denoiser_width=16)


def settings(budget: FastBudget = SHORT, **others) -> ArgsDiffSettings:
    return ArgsDiffSettings(budget=budget, device="cpu", threads=1, precision="float32", **others)


def fitted(observation: Observation, budget: FastBudget = SHORT) -> FittedFastArgsDiff:
    method = build(settings(budget)).fit(observation)
    assert isinstance(method, FittedFastArgsDiff)
    return method


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    source = SyntheticSource(kind="synthetic", height=96, width=96, bands=30, wavelength_range=(430, 860))
    return np.asarray(synthetic_scene(source).data, np.float32)


def observed(scene: np.ndarray, blur: SpatialResponse) -> Observation:
    bands = np.kron(np.eye(3), np.full(10, 0.1))
    return simulate(scene, spectral_response=bands, spatial_response=blur, snr_db=35, seed=3)


@pytest.fixture(scope="module")
def observation(scene) -> Observation:
    return observed(scene, SpatialResponse.bicubic(ratio=4))


@pytest.fixture(scope="module")
def method(observation) -> FittedFastArgsDiff:
    return fitted(observation)


# --- the denoiser


@pytest.fixture(scope="module")
def network() -> Denoiser:
    """One whose last layer is not zero, as it is before training."""
    torch.manual_seed(0)
    network = Denoiser(8).requires_grad_(False)
    torch.nn.init.normal_(network.outlet.weight, std=0.1)
    return network


def test_denoiser_scales_with_planes_and_noise(network):
    planes, sigma = torch.randn(2, 1, 20, 24), torch.tensor([0.3, 1.1])
    assert torch.allclose(network(3 * planes, 3 * sigma), 3 * network(planes, sigma), atol=1e-5)
    assert network(planes, sigma).abs().max() > 1e-3


def test_denoiser_ignores_the_level_of_a_plane(network):
    planes, sigma = torch.randn(1, 1, 33, 21), torch.tensor([0.5])
    assert torch.allclose(network(planes + 40, sigma), network(planes, sigma), atol=1e-4)


def test_local_mean_is_that_of_the_pixels_that_there_are():
    plane = torch.from_numpy(RNG.standard_normal((30, 25)))
    found = local_mean(plane[None, None])[0, 0]
    assert found[0, 11] == pytest.approx(float(plane[:9, 3:20].mean()))
    assert found[15, 24] == pytest.approx(float(plane[7:24, 16:].mean()))


def test_whitening_makes_differences_of_neighbours_white():
    steps = RNG.standard_normal((3, 200, 200)) * np.array([1, 5, 0.2])[:, None, None]
    mixed = np.tensordot(RNG.standard_normal((3, 3)), steps, axes=1).astype(np.float32)
    white = np.tensordot(whitening([mixed], np.ones(3)), mixed, axes=1)
    differences = np.diff(white, axis=1).reshape(3, -1)
    covariance = differences @ differences.T / differences.shape[1]
    assert np.allclose(covariance / covariance[0, 0], np.eye(3), atol=0.05)
    # the scatter of a t with three degrees of freedom is smaller than a Gaussian's covariance
    assert 1 < covariance[0, 0] < 2


def test_no_data_and_constant_images_leave_the_whitening_as_it_is():
    image, sigma = RNG.standard_normal((2, 60, 60)).astype(np.float32), np.full(2, 0.1)
    holed = np.concatenate([image, np.full_like(image, np.nan)], axis=2)
    assert np.allclose(whitening([holed], sigma), whitening([image], sigma))
    assert np.isfinite(whitening([np.ones_like(image)], sigma)).all()
    assert np.isfinite(whitening([np.full_like(image, np.nan)], sigma)).all()


def test_draws_depend_on_the_generator_alone(observation):
    draw = PlaneDraw([observation], crop=24, batch=5)
    first, again, other = (draw(seeded_generator(seed, "draw")) for seed in (0, 0, 1))
    planes, sigma, noise = first
    assert planes.shape == noise.shape == (5, 1, 24, 24)
    assert sigma.shape == (5,)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(planes, other[0])


def test_crops_are_no_larger_than_the_scene(observation):
    draw = PlaneDraw([observation.crop(Window(0, 16, 0, 96))], crop=48, batch=2)
    assert draw(seeded_generator(0, "draw"))[0].shape == (2, 1, 16, 16)


def test_training_lowers_the_loss(observation, method):
    draw = PlaneDraw([observation], crop=48, batch=8)
    with torch.no_grad():
        before, after = (
            float(noise_loss(network, draw, seeded_generator(1, "held out"), bfloat16=False))
            for network in (Denoiser(16), method.network)
        )
    assert before == pytest.approx(1, abs=0.05)  # of an untrained network: the noise itself
    assert after < 0.85


@pytest.mark.long
def test_broken_training_resumes_to_the_same_weights(observation, method, tmp_path):
    def cut(phase: str, step: int, steps: int, loss: float | None = None) -> None:
        if step == 100:
            raise KeyboardInterrupt

    trained = build(settings(checkpoint_every=50))
    with pytest.raises(KeyboardInterrupt):
        trained.fit(observation, checkpoint=tmp_path, progress=cut)
    assert Path(tmp_path / "denoiser.safetensors").exists()
    resumed = trained.fit(observation, checkpoint=tmp_path).state()
    whole = method.state()
    assert whole.keys() == resumed.keys()
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


# --- the walk


def test_untrained_walk_is_that_of_the_exact_solver(observation, method):
    """A network whose last layer is zero finds no noise, so each step's mean is the step before."""
    still = build(settings()).restore(
        observation, {**method.state(), "network.outlet.weight": np.zeros((1, 16, 3, 3), np.float32)}
    )
    terms, unit = misfit_terms(observation, method.prior, Engine()), np.eye(len(method.prior.basis))
    planes = interpolated(terms.coefficients, observation.hr_shape, (0.0, 0.0))
    planes = GaussianFusion(terms, unit).solve(planes)
    for sigma in np.geomspace(FIRST, LAST, SHORT.exact_steps):
        planes = GaussianFusion(terms, PRIOR_WEIGHT / sigma**2 * unit).solve(planes)
    expected = np.tensordot(method.prior.basis.T, array(planes), axes=1)
    assert np.allclose(still.fuse(), expected, atol=1e-5)


def test_fast_is_more_accurate_than_the_closed_form(scene, observation, method):
    closed = build(GaussianSubspaceSettings()).fit(observation)
    assert psnr(scene, method.fuse()) > psnr(scene, closed.fuse()) + 0.1


@pytest.mark.parametrize("ratio", [pytest.param(3, marks=pytest.mark.long), 4])
def test_windows_agree_with_the_whole(scene, ratio):
    observation = observed(scene, SpatialResponse.gaussian(ratio=ratio, fwhm=1.0))
    method = fitted(observation)
    method.halo_lr = 8  # so that windows of this small scene are not all of it
    whole, window = method.fuse(), Window(33, 60, 39, 66)
    part = method.fuse(window)
    assert part.shape == (30, 27, 27)
    assert np.abs(part - whole[:, *window.slices]).max() < 2e-5 * whole.max()


def test_no_data_spreads_no_further_than_its_pixels(observation, method):
    lr_hsi, hr_msi = observation.lr_hsi.copy(), observation.hr_msi.copy()
    lr_hsi[:, 5, 6], hr_msi[:, 50, 60:62] = np.nan, np.nan
    holed = replace(observation, lr_hsi=lr_hsi, hr_msi=hr_msi)
    cube = build(settings()).restore(holed, method.state()).fuse()
    expected = np.zeros((96, 96), bool)
    expected[20:24, 24:28] = expected[50, 60:62] = True
    assert (np.isnan(cube).all(axis=0) == expected).all()
    assert (np.isnan(cube).any(axis=0) == expected).all()


@pytest.mark.parametrize(
    ("ratio", "bands", "shape"),
    [(4, 1, (32, 48)), ("10/3", 3, (40, 50)), (4, 3, (8, 12)), (3, 2, (27, 33)), (8, 3, (16, 16))],
)
def test_any_pair_can_be_fused(scene, ratio, bands, shape):
    observation = simulate(
        scene[:, : shape[0], : shape[1]],
        spectral_response=RNG.dirichlet(np.ones(30), bands),
        spatial_response=SpatialResponse.gaussian(ratio=ratio, fwhm=1.0),
        snr_db=30,
        seed=0,
    )
    cube = fitted(observation, FastBudget(denoiser_iterations=5, denoiser_width=8)).fuse()
    assert cube.shape == (30, *shape)
    assert np.isfinite(cube).all()


def test_restored_method_fuses_the_same(observation, method):
    restored = build(settings()).restore(observation, method.state())
    assert np.array_equal(restored.fuse(), method.fuse())
    assert restored.parameters == method.parameters == sum(p.numel() for p in Denoiser(16).parameters())


@pytest.mark.long
def test_scene_may_be_sampled_for_training(scene, observation, method, monkeypatch):
    monkeypatch.setattr(pool, "WINDOWS", 3)
    monkeypatch.setattr(pool, "SIDE", 48)
    sampled = fitted(observation)
    assert psnr(scene, sampled.fuse()) == pytest.approx(psnr(scene, method.fuse()), abs=0.5)


# --- settings


def test_budget_decides_the_kind_of_method():
    assert isinstance(build(ArgsDiffSettings(budget="fast")), FastArgsDiff)
    assert isinstance(build(ArgsDiffSettings(budget="quick")), ArgsDiff)
    stored = ArgsDiffSettings(**ArgsDiffSettings(budget="fast").deciding())
    assert stored.fast == FastBudget()
    assert ArgsDiffSettings(budget="quick").fast is None


@pytest.mark.parametrize("others", [{"d": 9}, {"steps": 100}, {"argm": False}, {"rho1": 0.1}])
def test_settings_without_effect_are_refused(others):
    (name,) = others
    with pytest.raises(ValueError, match=f"{name}: has no effect with budget: fast"):
        ArgsDiffSettings(budget="fast", **others)


def test_fast_shares_no_training_and_has_no_trajectory():
    fast, quick = ArgsDiffSettings(budget="fast"), ArgsDiffSettings(budget="quick")
    assert fast.training_part() is None
    assert fast.sampling_steps is None
    assert fast.fitting((64, 64)) == fast.deciding()
    assert fast.expected_speed < quick.expected_speed
