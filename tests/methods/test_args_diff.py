"""ARGS-Diff: its networks and schedule as published, its training, guidance and sampling."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.core.diffusion.fused import compiled, norm_film_silu, norm_silu
from pipeline.core.diffusion.norms import GroupNormBfloat16, Norm
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.args_diff.guidance import ARGM, GUIDANCE, JointLoss, RecordedLoss
from pipeline.methods.args_diff.method import ArgsDiff
from pipeline.methods.args_diff.networks import (
    SpatialUNet,
    SpectralNet,
    alpha_bar,
    sinusoids,
)
from pipeline.methods.args_diff.sampling import Adam, GuidedRun, estimates, loss_gradient, sample, unit
from pipeline.methods.args_diff.settings import BUDGETS, ArgsDiffSettings, TrainingBudget
from pipeline.methods.args_diff.training import crops_at_once, crops_draw, uniform_levels
from pipeline.methods.device import resolve_device
from pipeline.methods.diffusion import noise_prediction
from pipeline.methods.diffusion.guidance import Guidance, guidance_of
from pipeline.methods.diffusion.noise_prediction import Descent, Recipe, drawn, train
from pipeline.methods.optimisation import Checkpoint, parameter_count
from pipeline.methods.pool import unit_scale
from tape import Tape

FIRST = torch.zeros(1, dtype=torch.int64)  # number of a sampling step
TINY = TrainingBudget(width=32, spatial_iterations=6, spatial_batch=2, crop=16, spectral_iterations=12)


def whole_guidance(observation: Observation, scale: float) -> Guidance:
    guidance = guidance_of(observation, observation, observation.whole, scale, torch.device("cpu"))
    assert guidance is not None
    return guidance


def tiny(**changes) -> ArgsDiffSettings:
    return ArgsDiffSettings(**{"budget": TINY, "d": 3, "steps": 6, "precision": "float32"} | changes)


# --- networks and schedule


def test_spatial_unet_has_the_published_size():
    assert round(parameter_count(SpatialUNet(8, 64)) / 1e6, 2) == 20.71


@pytest.mark.parametrize(
    ("bands", "hidden", "width"),
    [
        (48, (128, 256, 128), 30),
        (103, (256, 512, 256), 60),
        (128, (256, 512, 256), 70),
        (176, (400, 800, 400), 100),
    ],
)
def test_spectral_net_has_the_published_shapes(bands, hidden, width):
    network = SpectralNet(bands)
    sizes = [
        (layer.in_features, layer.out_features) for layer in network.layers if hasattr(layer, "in_features")
    ]
    assert sizes == list(zip((bands + width, *hidden), (*hidden, bands), strict=True))
    assert network.embedding.weight.shape == (1000, width)


def test_schedule_has_the_published_noise_levels():
    sigma = (1 - alpha_bar()).sqrt()
    published = {100: 0.009, 200: 0.017, 300: 0.029, 400: 0.049, 500: 0.082, 600: 0.135, 700: 0.22, 800: 0.37}
    for t, level in published.items():
        assert float(sigma[t - 1]) == pytest.approx(level, rel=0.06)
    assert float(sigma[-1]) == pytest.approx(0.9995, abs=1e-4)
    assert (alpha_bar().diff() < 0).all()


def test_unet_takes_any_size_and_starts_at_zero_output():
    network = SpatialUNet(3, 32)
    x = torch.randn(1, 3, 11, 18)
    assert network(x, torch.tensor([5])).shape == x.shape
    assert float(network(x, torch.tensor([5])).detach().abs().max()) == 0


def test_time_embedding_tells_neighbouring_steps_apart():
    table = sinusoids(torch.arange(1000), 64)
    distance = torch.cdist(table, table) + 10 * torch.eye(1000)
    assert float(distance.min()) > 0.1


def test_fast_group_norm_agrees_with_autograd():
    torch.manual_seed(0)
    x = torch.randn(2, 64, 9, 7).to(torch.bfloat16).requires_grad_()
    weight, bias = torch.rand(2, 64, requires_grad=True), torch.rand(2, 64, requires_grad=True)
    direction = torch.randn(2, 64, 9, 7)
    fast = GroupNormBfloat16.apply(x, weight, bias, 1e-5, 32)
    plain = functional.group_norm(x.float(), 32, eps=1e-5) * weight[..., None, None] + bias[..., None, None]
    assert torch.allclose(fast.float(), plain, atol=0.03)
    expected = torch.autograd.grad(plain, (x, weight, bias), direction)
    for ours, theirs in zip(
        torch.autograd.grad(fast, (x, weight, bias), direction.to(torch.bfloat16)), expected, strict=True
    ):
        assert float((ours.float() - theirs.float()).norm() / theirs.float().norm()) < 0.01


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)], ids=["formula", "compiled"]
)
def test_fused_norm_equals_its_parts(device, modulated):
    """Values and all gradients, far from zero mean; the formula on a CPU, compiled on a GPU."""
    fused = norm_film_silu if device == "cpu" else compiled()
    assert fused is not None
    torch.manual_seed(0)
    norm = Norm(96).to(device)
    torch.nn.init.normal_(norm.weight)
    for shape in ((1, 96, 9, 7), (3, 96, 8, 10)):
        x = torch.randn(shape, device=device).mul_(2).add_(10).contiguous(memory_format=torch.channels_last)
        film = [torch.randn(shape[:2], device=device) for _ in range(2)] if modulated else [None, None]
        inputs = [x.requires_grad_(), norm.weight, norm.bias]
        direction = torch.randn(shape, device=device)
        expected = functional.silu(norm(x, *film))
        values = fused(x, norm.weight.expand(len(x), -1), norm.bias.expand(len(x), -1), *film)
        pairs = [(values, expected)]
        pairs += zip(*(torch.autograd.grad(y, inputs, direction) for y in (values, expected)), strict=True)
        for ours, theirs in pairs:
            assert float(((ours - theirs).norm() / theirs.norm()).detach()) < 1e-4
        rounded = x.detach().to(torch.bfloat16)
        y = norm_silu(norm, rounded, *film)
        assert y.dtype == torch.bfloat16
        assert y.is_contiguous(memory_format=torch.channels_last)


# --- training


def recipe(tmp_path, **changes) -> Recipe:
    fields = {
        "method": "args_diff",
        "name": "spectral",
        "levels": uniform_levels(torch.device("cpu")),
        "iterations": 20,
        "learning_rate": 1e-4,
        "seed": 0,
        "device": torch.device("cpu"),
        "bfloat16": False,
        "checkpoint": Checkpoint(tmp_path / "spectral.safetensors", 6, "abc"),
    }
    return Recipe(**fields | changes)


def spectra(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(16, 1, generator=generator) * torch.linspace(-1, 1, 12)


@pytest.mark.parametrize("warm_up", [True, False])
def test_constant_average_keeps_its_random_start(tmp_path, warm_up):
    """0.9999 to the power of 20 of it; the average that warms up holds almost nothing of it."""
    unsaved = partial(recipe, tmp_path, checkpoint=Checkpoint(None, 1, ""), warm_up=warm_up)
    start, end = (
        train(lambda: SpectralNet(12), spectra, None, unsaved(learning_rate=rate), print_nothing)
        for rate in (0.0, 1e-2)
    )
    moved = float((end.layers[0].weight - start.layers[0].weight).abs().max())
    assert moved > 1e-2 if warm_up else moved < 20 * 20 * 1e-2 * 1e-4


def test_a_training_step_replayed_on_the_same_memory_equals_a_new_one(tmp_path):
    """As in a CUDA graph; the learning rate is a number on a CPU, and so the same here in all steps."""

    def run(replayed):
        torch.manual_seed(0)
        network = SpatialUNet(3, 32)
        descent = Descent(network, recipe(tmp_path))
        batches = [drawn(images, recipe(tmp_path), f"step/{i}") for i in range(4)]
        descent(batches[0], 1e-3)  # makes the moments
        tape = Tape()
        for i, batch in enumerate(batches[1:]):
            torch._foreach_copy_(list(descent._batch), list(batch))
            if replayed and i:
                tape.replay()
                continue
            tape = Tape()  # each plain step makes its own
            with tape:
                loss = descent._descend()
        return [loss, *network.parameters()]

    def images(generator):
        return 2 * torch.rand(2, 3, 16, 16, generator=generator) - 1

    assert all(map(torch.equal, run(replayed=True), run(replayed=False)))


class KilledError(Exception):
    """Stands for a kill between two steps."""


def test_resumed_training_equals_an_unbroken_one(tmp_path):
    unbroken = train(
        lambda: SpectralNet(12),
        spectra,
        None,
        recipe(tmp_path, checkpoint=Checkpoint(None, 1, "")),
        print_nothing,
    )

    def kill(phase, done, total, loss):
        if done == 10:
            raise KilledError

    with pytest.raises(KilledError):
        train(lambda: SpectralNet(12), spectra, None, recipe(tmp_path), kill)
    assert (tmp_path / "spectral.safetensors").exists()
    steps = []
    resumed = train(
        lambda: SpectralNet(12), spectra, None, recipe(tmp_path), lambda *event: steps.append(event[1])
    )
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_checkpoint_of_another_configuration_is_refused(tmp_path):
    train(lambda: SpectralNet(12), spectra, None, recipe(tmp_path), print_nothing)
    with pytest.raises(InputError, match="another configuration or observation"):
        train(
            lambda: SpectralNet(12),
            spectra,
            None,
            recipe(tmp_path, checkpoint=Checkpoint(tmp_path / "spectral.safetensors", 6, "other")),
            print_nothing,
        )


def test_damaged_checkpoint_is_refused(tmp_path):
    train(lambda: SpectralNet(12), spectra, None, recipe(tmp_path), print_nothing)
    path = tmp_path / "spectral.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        train(lambda: SpectralNet(12), spectra, None, recipe(tmp_path), print_nothing)


def test_training_learns_a_simple_distribution(tmp_path):
    trained = train(
        lambda: SpectralNet(12),
        spectra,
        None,
        recipe(tmp_path, iterations=1500, learning_rate=2e-3, checkpoint=Checkpoint(None, 1, "")),
        print_nothing,
    )
    rng = torch.Generator().manual_seed(7)
    clean, noise = spectra(rng).repeat(50, 1), torch.randn(800, 12, generator=rng)
    t = torch.full((800,), 900)
    share = alpha_bar()[t][:, None].float()
    with torch.no_grad():
        predicted = trained(share.sqrt() * clean + (1 - share).sqrt() * noise, t)
    assert float((predicted - noise).square().mean()) < 0.4


def test_held_out_loss_ends_a_training_that_no_longer_improves(tmp_path, monkeypatch):
    monkeypatch.setattr(noise_prediction, "HELD_OUT_EVERY", 2)
    monkeypatch.setattr(noise_prediction, "PATIENCE", 2)
    seen = []

    def opposite(generator):  # held-out samples that training makes ever worse
        return -3 * torch.ones(16, 12)

    train(
        lambda: SpectralNet(12),
        lambda generator: torch.ones(16, 12),
        opposite,
        recipe(tmp_path, iterations=100_000, checkpoint=Checkpoint(None, 1, "")),
        lambda *event: seen.append(event[1]),
    )
    assert max(seen, default=0) < 20_000


@pytest.mark.parametrize("at_once", [False, True])
def test_crops_hold_single_bands_of_the_region(at_once):
    image = torch.arange(4.0)[:, None, None] * 1000 + torch.arange(20.0) + torch.zeros(4, 30, 20)
    region, generator = image[..., :12], torch.Generator().manual_seed(0)
    if at_once:
        crops = crops_at_once(torch.stack([region, region]), 8, (5, 6), generator)
    else:
        crops = crops_draw([region], crop=8, batch=5, d=6)(generator)
    assert crops.shape == (5, 6, 8, 8)
    assert (crops.diff(dim=-1) == 1).all()
    assert float((crops % 1000).max()) <= 11
    band = (crops // 1000).flatten(2)
    assert (band == band[..., :1]).all()
    assert len(band.unique()) == 4


# --- guidance and sampling


def test_loss_on_planes_equals_loss_on_the_full_cube(observation_of_landscape):
    observation = observation_of_landscape
    guidance = whole_guidance(observation, unit_scale(observation))
    rng = torch.Generator().manual_seed(0)
    coefficients = torch.rand(3, *observation.hr_shape, generator=rng)
    basis = torch.rand(3, observation.bands, generator=rng)
    cube = np.tensordot(basis.numpy().T, coefficients.numpy(), axes=1)
    scale = unit_scale(observation)
    of_hsi = observation.lr_hsi / scale - observation.operator.forward(cube)
    of_msi = observation.hr_msi / scale - np.tensordot(observation.spectral_response, cube, axes=1)
    factors = [coefficients[None], basis]
    expected = np.linalg.norm(of_hsi) + 0.7 * np.linalg.norm(of_msi)
    loss = JointLoss([guidance], tiny(lambda1=0.7))
    assert float(loss(FIRST, GUIDANCE, factors)) == pytest.approx(expected, rel=1e-5)
    expected = (np.sum(of_hsi**2) + 0.4 * np.sum(of_msi**2)) / (of_hsi.size + of_msi.size)
    squared = JointLoss([guidance], tiny(lambda2=0.4, variant="paper"))
    assert float(squared(FIRST, ARGM, factors)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_loss_of_two_windows_is_that_of_their_residuals_together(variant, observation_of_landscape):
    observation = observation_of_landscape
    rng = torch.Generator().manual_seed(0)
    coefficients = torch.rand(2, 3, 32, 16, generator=rng)
    basis = torch.rand(3, observation.bands, generator=rng)
    cpu = torch.device("cpu")
    windows = [
        guidance_of(observation, observation, window, 1.0, cpu)
        for window in (Window(0, 32, 0, 16), Window(0, 32, 24, 40))
    ]
    residuals = [window.residuals(a, basis) for window, a in zip(windows, coefficients, strict=True)]
    of_hsi, of_msi = (
        np.concatenate([part.numpy().ravel() for part in image]) for image in zip(*residuals, strict=True)
    )
    expected = np.linalg.norm(of_hsi) + 0.7 * np.linalg.norm(of_msi)
    if variant == "paper":
        expected = (np.sum(of_hsi**2) + 0.7 * np.sum(of_msi**2)) / (of_hsi.size + of_msi.size)
    loss = JointLoss(windows, tiny(lambda1=0.7, variant=variant))(FIRST, GUIDANCE, [coefficients, basis])
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_recorded_loss_has_the_gradient_of_the_joint_one(variant, observation_of_landscape):
    guidance = whole_guidance(observation_of_landscape, unit_scale(observation_of_landscape))
    settings = tiny(lambda1=0.7, lambda2=0.4, variant=variant)
    rng = torch.Generator().manual_seed(0)
    factors = [torch.rand(1, 3, 32, 40, generator=rng), torch.rand(3, 24, generator=rng)]
    joint = JointLoss([guidance], settings, recording=True)
    expected = [loss_gradient(partial(joint, FIRST, use), factors)[0] for use in (GUIDANCE, ARGM)]
    bases = torch.stack(joint.bases)[None]
    recorded = RecordedLoss([guidance], bases, torch.stack(joint.pulls)[None], settings)
    for use in (GUIDANCE, ARGM):
        (gradient,) = loss_gradient(partial(recorded, FIRST, use), factors[:1])
        assert torch.allclose(gradient, expected[use], rtol=1e-4, atol=1e-9)


def test_guidance_gradient_equals_finite_differences(observation_of_landscape):
    observation = observation_of_landscape
    guidance = whole_guidance(observation, unit_scale(observation))
    double = replace(
        guidance,
        lr_hsi=guidance.lr_hsi.double(),
        hr_msi=guidance.hr_msi.double(),
        spectral_response=guidance.spectral_response.double(),
        operator=observation.operator.to("cpu", torch.float64),
    )
    rng = torch.Generator().manual_seed(1)
    factors = [
        torch.randn(1, 3, *observation.hr_shape, generator=rng, dtype=torch.float64),
        torch.randn(3, observation.bands, generator=rng, dtype=torch.float64),
    ]
    loss = partial(JointLoss([double], tiny(lambda1=0.5)), FIRST, GUIDANCE)
    gradients = loss_gradient(loss, factors)
    for i in range(2):
        direction = torch.randn(factors[i].shape, generator=rng, dtype=torch.float64)
        moved = [[x + s * 1e-5 * direction if j == i else x for j, x in enumerate(factors)] for s in (1, -1)]
        ahead, behind = (loss([unit(a), unit(e)]) for a, e in moved)
        assert float((gradients[i] * direction).sum()) == pytest.approx(
            float((ahead - behind) / 2e-5), rel=1e-5
        )


def test_adam_directions_equal_those_of_pytorch():
    ours, parameter = Adam([torch.zeros(5)]), torch.zeros(5, requires_grad=True)
    theirs = torch.optim.Adam([parameter], lr=0.05)
    position = torch.zeros(5)
    rng = torch.Generator().manual_seed(0)
    for _ in range(6):
        gradient = torch.randn(5, generator=rng)
        parameter.grad = gradient.clone()
        theirs.step()
        position = position - 0.05 * ours.directions([gradient])[0]
    assert torch.allclose(position, parameter.detach(), atol=1e-7)


def test_estimates_are_clamped_and_keep_the_noisy_factor():
    share = alpha_bar()[700].float()
    x = [torch.randn(1, 2, 5, 4), torch.randn(2, 6)]

    def network(rows, index):
        assert (index == 700).all()
        return torch.zeros_like(rows)

    pairs = estimates((network, network), x, torch.tensor([700]), share)
    for noisy, (clean, noise) in zip(x, pairs, strict=True):
        assert float(clean.abs().max()) <= 1
        assert torch.allclose(share.sqrt() * clean + (1 - share).sqrt() * noise, noisy, atol=1e-5)


def exact_networks(clean: list[torch.Tensor]):
    """Networks that know the clean factors: the noise is what is left."""
    abar = alpha_bar().float()

    def predict(target):
        def network(rows, index):
            share = abar[index[0]]
            return (rows - share.sqrt() * target) / (1 - share).sqrt()

        return network

    return predict(clean[0]), predict(clean[1])


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_sampling_with_perfect_networks_returns_their_image(variant, observation_of_landscape):
    observation = observation_of_landscape
    rng = torch.Generator().manual_seed(2)
    clean = [
        torch.rand(1, 3, *observation.hr_shape, generator=rng) * 1.8 - 0.9,
        torch.rand(3, observation.bands, generator=rng) * 1.8 - 0.9,
    ]
    guidance = whole_guidance(observation, 1.0)
    start = [torch.randn(x.shape, generator=rng) for x in clean]
    settings = tiny(variant=variant, steps=30, rho1=1e-6, rho2=1e-6)
    loss = JointLoss([guidance], settings)
    coefficients, basis = sample(exact_networks(clean), start, loss, settings, print_nothing)
    assert float((coefficients - unit(clean[0])).abs().max()) < 1e-3
    assert float((basis - unit(clean[1])).abs().max()) < 1e-3


def no_noise(rows, index):
    """A network that has learned nothing."""
    return torch.zeros_like(rows)


@pytest.mark.parametrize(("variant", "share"), [("code", 0.5), ("paper", 1.0)])
def test_sampling_lowers_the_loss_on_a_larger_image(variant, share):
    rng = np.random.default_rng(0)
    pair = simulate(
        rng.random((60, 64, 64)),
        spectral_response=np.kron(np.eye(4), np.full(15, 1 / 15)),
        spatial_response=SpatialResponse.bicubic(ratio=4),
    )
    guidance = whole_guidance(pair, unit_scale(pair))
    generator = torch.Generator().manual_seed(0)
    start = (torch.randn(1, 8, 64, 64, generator=generator), torch.randn(8, 60, generator=generator))
    losses = []
    settings = ArgsDiffSettings(variant=variant, steps=60)
    loss = JointLoss([guidance], settings)
    sample((no_noise, no_noise), start, loss, settings, lambda *event: losses.append(event[3]))
    assert losses[-1] < share * losses[0]


def test_diverged_sampling_is_one_line(observation_of_landscape):
    loss = JointLoss([whole_guidance(observation_of_landscape, 1.0)], tiny())
    start = (torch.zeros(1, 3, *observation_of_landscape.hr_shape), torch.full((3, 24), float("nan")))
    with pytest.raises(InputError, match=r"diverged at step 1 of 6 .* use smaller rho1"):
        sample((no_noise, no_noise), start, loss, tiny(), print_nothing)


def test_argm_is_one_plain_gradient_step(observation_of_landscape):
    """One guided step with and without ARGM differs by rho / r times the loss's gradient."""
    observation = observation_of_landscape
    guidance = whole_guidance(observation, 1.0)
    rng = torch.Generator().manual_seed(3)
    start = (
        torch.randn(1, 3, *observation.hr_shape, generator=rng),
        torch.randn(3, observation.bands, generator=rng),
    )
    seen = []

    def spy(target):
        def network(rows, index):
            seen.append(rows.detach().reshape(target.shape).clone())
            return torch.zeros_like(rows)

        return network

    states = {}
    for argm in (False, True):
        seen.clear()
        settings = tiny(argm=argm, steps=2, rho1=0.03, rho2=0.05, r=7.0, lambda2=0.4)
        loss = JointLoss([guidance], settings)
        sample((spy(start[0]), spy(start[1])), start, loss, settings, print_nothing)
        states[argm] = seen[2:4]  # A and E as the second step finds them
    steps = loss_gradient(partial(loss, FIRST, ARGM), states[False])
    for without, with_argm, step, rho in zip(states[False], states[True], steps, (0.03, 0.05), strict=True):
        assert torch.allclose(with_argm, without - rho / 7.0 * step, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"variant": "paper"}, {"argm": "basis"}])
def test_a_step_replayed_on_the_same_memory_equals_a_new_one(changes, observation_of_landscape):
    """As in a CUDA graph: what differs between steps is in tensors, and no number is waited for."""
    guidance, settings = whole_guidance(observation_of_landscape, 1.0), tiny(steps=8, **changes)
    rng = torch.Generator().manual_seed(4)
    start = torch.randn(1, 3, 32, 40, generator=rng), torch.randn(3, 24, generator=rng)
    torch.manual_seed(0)
    networks = [network.requires_grad_(False) for network in (SpatialUNet(3, 32), SpectralNet(24))]
    torch.nn.init.normal_(networks[0].outlet[2].weight, std=0.05)
    plain, replayed = (
        GuidedRun(networks, start, JointLoss([guidance], settings), settings) for _ in range(2)
    )
    with Tape() as tape:
        loss, _ = replayed.advance()
    for _ in range(6):
        tape.replay()
    for _ in range(7):
        expected, _ = plain.advance()
    assert torch.equal(loss, expected)
    assert all(map(torch.equal, replayed.factors, plain.factors))
    assert all(map(torch.equal, replayed.finish(), plain.finish()))


# --- the method as a whole


@pytest.mark.long
def test_killed_fit_resumes_to_the_same_networks(observation_of_landscape, tmp_path):
    def kill(phase, done, total, loss):
        if phase == "spatial":
            raise KilledError

    twice = TINY.model_copy(update={"spatial_iterations": 12})
    method = ArgsDiff(tiny(checkpoint_every=2, budget=twice))
    expected = method.fit(observation_of_landscape, 0).state()
    with pytest.raises(KilledError):
        method.fit(observation_of_landscape, 0, tmp_path, kill)
    resumed = method.fit(observation_of_landscape, 0, tmp_path).state()
    assert resumed.keys() == expected.keys()
    assert all(np.array_equal(expected[key], resumed[key]) for key in expected)


@pytest.fixture(scope="module")
def plain(observation_of_landscape) -> np.ndarray:
    return ArgsDiff(tiny()).fit(observation_of_landscape).fuse()


@pytest.mark.long
@pytest.mark.parametrize(
    "changes", [{"variant": "paper"}, {"argm": False}, {"stop": "held_out"}, {"precision": "bfloat16"}]
)
def test_options_give_a_finite_cube_of_their_own(changes, observation_of_landscape, plain):
    cube = ArgsDiff(tiny(**changes)).fit(observation_of_landscape).fuse()
    assert cube.shape == plain.shape
    assert np.isfinite(cube).all()
    assert not np.array_equal(cube, plain)


def test_cuda_without_a_gpu_is_one_line():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="no GPU"):
        resolve_device("cuda")


def test_presets_are_budgets():
    assert BUDGETS["paper"].spatial_iterations == 30_000
    assert BUDGETS["paper"].width == BUDGETS["standard"].width == 64
    assert ArgsDiffSettings(budget="quick").training == BUDGETS["quick"]


def test_a_preset_is_stored_by_its_fields():
    """So that a changed preset is a changed setting, for the workflow and for stored weights."""
    stored = ArgsDiffSettings(budget="quick").model_dump(mode="json")["budget"]
    assert stored == BUDGETS["quick"].model_dump(mode="json")


def print_nothing(phase: str, done: int, total: int, loss: float) -> None:
    assert math.isfinite(loss)
