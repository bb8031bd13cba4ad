"""MIAE: its network and loss as published, its constraints, training, blind mode and windows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import pipeline
from pipeline.config.experiment import load_experiment
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.file_scene import read_scene
from pipeline.inputs.responses import read_response
from pipeline.methods import pool
from pipeline.methods.miae import blind, method
from pipeline.methods.miae.blind import ResponseNet, estimate_responses
from pipeline.methods.miae.images import TrainingImages
from pipeline.methods.miae.method import FittedMiae, Miae
from pipeline.methods.miae.network import MiaeNetwork, Patch, bilinear, fused_patches
from pipeline.methods.miae.settings import MiaeBudget, MiaeSettings
from pipeline.methods.miae.training import TrainingPatch, data_terms, patches_of
from pipeline.methods.optimisation import Checkpoint

CPU = torch.device("cpu")
SHORT = {"constant_iterations": 12, "falling_iterations": 12, "patch": 3, "batch": 4}


def settings(**changes) -> MiaeSettings:
    return MiaeSettings(**{"budget": MiaeBudget(**SHORT), "endmembers": 6, "checkpoint_every": 6} | changes)


def budget(**changes) -> MiaeBudget:
    return MiaeBudget(**SHORT | changes)


def psnr(reference, cube) -> float:
    return pipeline.evaluate(reference, cube, ratio=4)["psnr"]


# --- network and loss


def test_network_is_the_published_one_on_upsampled_spectra():
    """Against plain 1x1 convolutions of the bilinearly upsampled LR-HSI."""
    torch.manual_seed(0)
    network = MiaeNetwork(9, 4, endmembers=5, stages=3)
    assert torch.equal(network.endmembers, torch.full((9, 5), 0.2))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.rand_like(parameter))
    lr_hsi, hr_msi = torch.rand(9, 6, 5), torch.rand(4, 18, 15)

    def convolved(layer, *images):
        image = functional.conv2d(torch.cat(images), layer.weight[..., None, None], layer.bias)
        return torch.where(image > 0, image, 0.2 * image)

    upsampled = functional.interpolate(lr_hsi[None], scale_factor=3, mode="bilinear")[0]
    y1 = convolved(network.of_hsi[1], convolved(network.of_hsi[0], upsampled))
    z1 = convolved(network.of_msi, hr_msi)
    s = convolved(network.first, y1, z1)
    for k in range(2):
        s = convolved(network.joint[k], convolved(network.own[k], s), y1, z1)
    expected = torch.einsum("be,eyx->byx", network.endmembers, s.clamp(0, 1)).clamp(0, 1)

    upsampling, around = bilinear((6, 5), SpatialResponse.box(ratio=3), Window(0, 18, 0, 15))
    assert around == Window(0, 6, 0, 5)
    (fused,) = fused_patches(network, [Patch(lr_hsi, upsampling.to(CPU), hr_msi)])
    assert torch.allclose(fused, expected, atol=1e-5)
    assert sum(p.numel() for p in network.parameters()) == 9 * 5 + 50 + 30 + 25 + 55 + 2 * (30 + 80)


def test_part_of_an_upsampled_image_is_as_in_the_whole():
    image = np.random.default_rng(0).random((2, 12, 10))
    response = SpatialResponse.box(ratio="5/2").shifted(0.7, -1.2)
    whole, _ = bilinear((12, 10), response, Window(0, 30, 0, 25))
    window = Window(7, 19, 3, 25)
    part, around = bilinear((12, 10), response, window)
    inside = part.forward(image[:, *around.slices])
    assert np.allclose(inside, whole.forward(image)[:, *window.slices], atol=1e-12)


def test_loss_has_the_hand_worked_value():
    """A box PSF of ratio 2 on 4x4 pixels, of which one LR pixel is compared."""
    half = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    cube = torch.zeros(2, 4, 4)
    cube[0, :2, :2] = torch.tensor([[0.2, 0.4], [0.6, 0.8]])  # mean 0.5
    cube[1] = 0.1
    patch = TrainingPatch(
        torch.zeros(2, 2, 2),
        SpatialOperator((half,), (half,)),
        torch.full((1, 4, 4), 0.3),
        compared=torch.tensor([0.25, 0.4]).reshape(2, 1, 1),
        operator=SpatialOperator((half,), (half,)),
        support=Window(0, 4, 0, 4),
        core=Window(0, 2, 0, 2),
        lr_valid=torch.ones(1, 1),
        hr_valid=torch.ones(4, 4),
    )
    # X: |0.5 - 0.25| + |0.1 - 0.4|; Y: R Z = Z_0 + Z_1 = 0.3, 0.5, 0.7, 0.9 against 0.3
    expected = 0.25 + 0.3 + 0.0 + 0.2 + 0.4 + 0.6
    both = torch.tensor([[1.0, 1.0]])
    assert float(data_terms(cube, patch, both)) == pytest.approx(expected, rel=1e-6)
    hr_valid = torch.ones(4, 4)
    hr_valid[1, 1] = 0  # so that the LR pixel sees one without data
    holed = replace(patch, hr_valid=hr_valid, lr_valid=torch.zeros(1, 1))
    assert float(data_terms(cube, holed, both)) == pytest.approx(0.0 + 0.2 + 0.4, rel=1e-6)


@pytest.mark.parametrize(
    "response",
    [
        SpatialResponse.bicubic(ratio=4),
        SpatialResponse.gaussian(ratio="5/2", fwhm=1),
        SpatialResponse.gaussian(ratio="5/2", fwhm=1).shifted(0.7, -1.2),
        SpatialResponse.from_psf([[0, 1, 2], [1, 3, 1], [2, 0, 0]], ratio=2),
        SpatialResponse.from_psf([[1.0]], ratio=3),
    ],
)
@pytest.mark.parametrize("window", [Window(0, 60, 0, 60), Window(20, 60, 0, 40)])
def test_a_cube_that_explains_both_images_has_no_loss_on_any_patch(response, window):
    """The MSI bands are the HSI's, so that the HR-MSI is the cube itself."""
    cube = np.random.default_rng(0).random((3, 60, 60)).astype(np.float32)
    step = response.ratio.numerator
    window = window.aligned(step, Window(0, 60, 0, 60))
    identity = np.eye(3)
    scene = simulate(cube, spectral_response=identity, spatial_response=response, snr_db=200)
    part = scene.crop(window)
    patches = patches_of(TrainingImages(scene, [part], 1.0, CPU), part, 4)
    for patch in patches:
        assert float(data_terms(patch.hr_msi, patch, torch.eye(3))) < 1e-5 * patch.compared.numel() * 20
        assert patch.upsampling.forward(patch.lr_hsi).shape == patch.hr_msi.shape
    if window == scene.whole:  # each pixel of either image is compared once
        assert sum(patch.compared[0].numel() for patch in patches) == scene.lr_hsi[0].size
        areas = [patch.core.shape[0] * patch.core.shape[1] for patch in patches]
        assert sum(areas) == 60 * 60


# --- training


def test_endmembers_stay_in_their_bounds_after_each_step(observation_of_landscape):
    reached = False
    for iterations in range(1, 7):
        quick = settings(
            budget=budget(constant_iterations=iterations - 1, falling_iterations=1, learning_rate=0.1)
        )
        endmembers = Miae(quick).fit(observation_of_landscape).state()["network.endmembers"]
        assert endmembers.min() >= 0
        assert endmembers.max() <= 1
        reached |= bool((endmembers == 0).any())
    assert reached  # the bound did act


def test_resumed_training_equals_an_unbroken_one_and_two_runs_agree(observation_of_landscape, tmp_path):
    class KilledError(Exception):
        """Stands for a kill between two steps."""

    def kill(phase, done, total, loss):
        if done == 20:
            raise KilledError

    first, second = (Miae(settings()).fit(observation_of_landscape, 1).state() for _ in range(2))
    with pytest.raises(KilledError):
        Miae(settings()).fit(observation_of_landscape, 1, tmp_path, kill)
    assert (tmp_path / "network.safetensors").exists()
    resumed = Miae(settings()).fit(observation_of_landscape, 1, tmp_path).state()
    other_seed = Miae(settings()).fit(observation_of_landscape, 2).state()
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes() == resumed[name].tobytes(), name
    assert not np.array_equal(first["network.first.weight"], other_seed["network.first.weight"])


def test_checkpoint_of_other_responses_is_refused(observation_of_landscape, tmp_path):
    Miae(settings()).fit(observation_of_landscape, checkpoint=tmp_path)
    other = replace(observation_of_landscape, spatial_response=SpatialResponse.box(ratio=4))
    with pytest.raises(InputError, match="another configuration or observation"):
        Miae(settings()).fit(other, checkpoint=tmp_path)


def test_diverged_training_is_one_line(observation_of_landscape):
    wild = settings(budget=budget(learning_rate=1e30))
    with pytest.raises(InputError, match=r"^miae: the training of the network diverged at iteration"):
        Miae(wild).fit(observation_of_landscape)


def scene_of_three_endmembers() -> tuple[np.ndarray, Observation]:
    """Mixtures of three spectra seen without noise by four bands: the model holds exactly."""
    rng = np.random.default_rng(3)
    spectra = np.clip(0.4 + np.cumsum(rng.normal(0, 0.06, (3, 20)), axis=1), 0.05, 0.95)
    coarse = rng.random((3, 8, 8)) ** 3
    abundances = np.kron(coarse, np.ones((4, 4))) + 0.05 * rng.random((3, 32, 32))
    abundances /= abundances.sum(axis=0)
    cube = np.tensordot(spectra.T, abundances, axes=1).astype(np.float32)
    bands = np.kron(np.eye(4), np.full(5, 0.2))
    blur = SpatialResponse.gaussian(ratio=4, fwhm=1)
    return cube, simulate(cube, spectral_response=bands, spatial_response=blur, snr_db=200)


@pytest.mark.slow
def test_scene_that_satisfies_the_model_is_recovered():
    cube, pair = scene_of_three_endmembers()
    long = MiaeBudget(constant_iterations=300, falling_iterations=2700, patch=8, batch=1)
    fitted = Miae(settings(budget=long, endmembers=24, checkpoint_every=1000)).fit(pair, seed=1)
    assert psnr(cube, fitted.fuse()) > 45


# --- windows, no-data, large scenes


@pytest.mark.parametrize("ratio", [4, "8/3"])
def test_tiles_agree_with_the_whole(landscape, landscape_srf, ratio):
    blur = SpatialResponse.gaussian(ratio=ratio, fwhm=1)
    pair = simulate(landscape.data, spectral_response=landscape_srf, spatial_response=blur)
    fitted = Miae(settings()).fit(pair)
    whole = fitted.fuse()
    tiled = np.empty_like(whole)
    for window in pair.whole.split(13):
        tiled[:, *window.slices] = fitted.fuse(window)
    assert np.abs(tiled - whole).max() < 1e-5 * np.ptp(whole)


def test_strips_agree_with_the_whole(observation_of_landscape, monkeypatch):
    fitted = Miae(settings()).fit(observation_of_landscape)
    whole = fitted.fuse()
    monkeypatch.setattr(method, "PIXELS_AT_ONCE", 130)
    assert np.abs(fitted.fuse() - whole).max() < 1e-5 * np.ptp(whole)


def test_no_data_does_not_spread(observation_of_landscape):
    pair = observation_of_landscape
    lr_hsi, hr_msi = pair.lr_hsi.copy(), pair.hr_msi.copy()
    lr_hsi[2, 1, 1] = np.nan
    hr_msi[0, 20, 30] = np.nan
    cube = Miae(settings()).fit(replace(pair, lr_hsi=lr_hsi, hr_msi=hr_msi)).fuse()
    expected = np.zeros(pair.hr_shape, bool)
    expected[4:8, 4:8] = expected[20, 30] = True
    assert np.array_equal(np.isnan(cube).all(axis=0), expected)
    assert np.array_equal(np.isnan(cube).any(axis=0), expected)


@pytest.mark.parametrize("ratio", [4, "8/3"])
def test_filled_no_data_does_not_depend_on_the_cut(landscape, landscape_srf, ratio):
    blur = SpatialResponse.gaussian(ratio=ratio, fwhm=1)
    pair = simulate(landscape.data, spectral_response=landscape_srf, spatial_response=blur)
    lr_hsi, hr_msi = pair.lr_hsi.copy(), pair.hr_msi.copy()
    lr_hsi[3, np.random.default_rng(0).random(pair.lr_shape) < 0.4] = np.nan
    hr_msi[0, 20:23, 30] = np.nan
    fitted = Miae(settings()).fit(pair)
    fitted.scene = replace(pair, lr_hsi=lr_hsi, hr_msi=hr_msi)
    whole = fitted.fuse()
    assert 0.3 < np.isnan(whole[0]).mean() < 0.5
    for window in pair.whole.split(8):
        np.testing.assert_allclose(fitted.fuse(window), whole[:, *window.slices], atol=1e-5)


@pytest.mark.parametrize("responses", ["given", "blind"])
def test_pixels_without_data_teach_nothing(observation_of_landscape, monkeypatch, responses):
    """The LR pixels that see the hole have any values: the training does not look at them."""
    monkeypatch.setattr(blind, "ITERATIONS", 5)
    pair = replace(observation_of_landscape, spatial_response=SpatialResponse.box(ratio=4))
    hr_msi = pair.hr_msi.copy()
    hr_msi[:, :, 20:] = np.nan
    lr_hsi = pair.lr_hsi.copy()
    lr_hsi[:, :, 7:] = lr_hsi[:, :, :3]  # far enough not to be upsampled to where there is data
    quick = settings(responses=responses, budget=budget(patch=20))
    first, second = (
        Miae(quick).fit(replace(pair, lr_hsi=image, hr_msi=hr_msi)).state() for image in (pair.lr_hsi, lr_hsi)
    )
    assert first["scale"] == second["scale"]
    for name, array in first.items():
        assert array.tobytes() == second[name].tobytes(), name


@pytest.mark.parametrize("responses", ["given", "blind"])
def test_images_without_a_common_pixel_are_refused(apart, responses):
    with pytest.raises(InputError, match=r"^miae: no LR pixel depends only on HR pixels inside the"):
        Miae(settings(responses=responses)).fit(apart)


def test_large_scene_is_trained_on_a_sample_of_windows(observation_of_landscape, monkeypatch):
    monkeypatch.setattr(pool, "WINDOWS", 2)
    monkeypatch.setattr(pool, "SIDE", 20)
    fitted = Miae(settings()).fit(observation_of_landscape)
    assert np.isfinite(fitted.fuse()).all()


def test_values_are_in_the_images_units(observation_of_landscape):
    pair = observation_of_landscape
    times = replace(
        pair,
        lr_hsi=pair.lr_hsi * 1024,
        hr_msi=pair.hr_msi * 1024,
        sigma_hsi=pair.sigma_hsi * 1024,
        sigma_msi=pair.sigma_msi * 1024,
    )
    plain, large = (Miae(settings()).fit(scene).fuse() for scene in (pair, times))
    assert np.allclose(large, plain * 1024, rtol=1e-4, atol=1e-3)


# --- blind mode


def test_responses_are_non_negative_and_sum_to_one_after_each_step():
    torch.manual_seed(0)
    network = ResponseNet(3, 2, 6)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.2)
    hsi, shifted = torch.rand(6, 30), torch.rand(2, 9, 30)
    reached = False
    for _ in range(20):
        optimiser.zero_grad()
        network.distance(hsi, shifted).backward()
        optimiser.step()
        network.constrain()
        for response in (network.psf, network.spectral):
            assert float(response.detach().min()) >= 0
            assert torch.allclose(response.detach().sum(-1), torch.ones(()), atol=1e-6)
            reached |= float(response.detach().min()) == 0
    assert reached  # the bound did act


def jasper_ridge(blur: SpatialResponse) -> tuple[np.ndarray, Observation]:
    experiment = load_experiment(Path(__file__).parents[2] / "config/jasper_ridge.yaml")
    config = experiment.scenes["jasper_ridge"]
    scene = read_scene(config.source)
    scene = scene.crop(config.window(scene.shape))
    srf = read_response(experiment.responses["landsat8"].spectral, scene.wavelength, scene.fwhm)
    return scene.data, simulate(scene.data, spectral_response=srf, spatial_response=blur)


@pytest.mark.slow
@pytest.mark.usefixtures("catalogued")
def test_blind_mode_recovers_the_responses_of_a_real_scene():
    blur = SpatialResponse.gaussian(ratio=4, fwhm=0.8)
    _, pair = jasper_ridge(blur)
    scale = pool.unit_scale(pair)
    images = TrainingImages(pair, [pair], scale, CPU)
    found = estimate_responses(images, Checkpoint(None, 1, ""), lambda *event: None)
    assert found.psf.shape == (7, 7)
    assert found.psf.sum() == pytest.approx(1)
    offsets = np.arange(7) - 3
    for axis in (0, 1):
        profile = found.psf.sum(axis=axis)
        centre = profile @ offsets
        width = 2.355 * np.sqrt(profile @ (offsets - centre) ** 2)
        assert abs(centre) < 0.05
        assert width == pytest.approx(0.8 * 4, rel=0.1)  # less what interpolation adds
    degraded = found.put_into(pair).operator.forward(pair.hr_msi)
    true = pair.operator.forward(pair.hr_msi)
    assert np.linalg.norm(degraded - true) < 0.005 * np.linalg.norm(true)
    clean = pair.spectral_response @ pair.lr_hsi.reshape(pair.bands, -1)
    predicted = found.spectral_response @ pair.lr_hsi.reshape(pair.bands, -1)
    assert np.linalg.norm(predicted - clean) < 0.015 * np.linalg.norm(clean)


@pytest.mark.parametrize("ratio", [2, "5/2"])
def test_blind_mode_uses_none_of_the_given_responses(landscape, landscape_srf, ratio, monkeypatch):
    monkeypatch.setattr(blind, "ITERATIONS", 30)
    blur = SpatialResponse.gaussian(ratio=ratio, fwhm=1)
    pair = simulate(landscape.data[:, :30], spectral_response=landscape_srf, spatial_response=blur)
    told = replace(
        pair, spatial_response=SpatialResponse.box(ratio=ratio), spectral_response=np.ones((4, 24))
    )
    unaware = Miae(settings(responses="blind"))
    first, second = (unaware.fit(scene) for scene in (pair, told))
    assert first.fuse().tobytes() == second.fuse().tobytes()
    restored = unaware.restore(pair, first.state())
    assert isinstance(restored, FittedMiae)
    assert restored.responses is not None
    assert first.responses is not None
    assert np.array_equal(restored.responses.psf, first.responses.psf)
