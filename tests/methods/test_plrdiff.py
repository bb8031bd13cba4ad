"""PLRDiff: its decomposition, its sampler, the conversion of its checkpoint, and the prior of the pair."""

from __future__ import annotations

import math
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from command import call, refusal
from pipeline.config.scenes import SyntheticSource
from pipeline.core.diffusion.schedules import ancestral_step, exponential
from pipeline.core.diffusion.sr3 import Shape, SR3UNet, orthogonal_
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.subspace.base_bands import base_bands, mixing_matrix, stable_rate
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods.diffusion.guidance import guidance_of
from pipeline.methods.diffusion.low_rank_diffusion import FittedLowRank, Prior
from pipeline.methods.diffusion.low_rank_guidance import ExactStep, JointLoss
from pipeline.methods.diffusion.low_rank_model import LowRankModel
from pipeline.methods.diffusion.low_rank_observation import piece_of
from pipeline.methods.diffusion.low_rank_sampling import sample
from pipeline.methods.plrdiff.method import Plrdiff
from pipeline.methods.plrdiff.published import PREFIX, published_name, read_converted
from pipeline.methods.plrdiff.settings import PlrdiffSettings
from pipeline.methods.plrdiff_self.method import PlrdiffSelf
from pipeline.methods.plrdiff_self.settings import PlrdiffSelfSettings
from pipeline.methods.plrdiff_self.training import continuous_levels, triples_draw

CPU = torch.device("cpu")
SHAPE = Shape(3, 3, 32, (1, 2), attention=[1])


def nothing(phase: str, done: int, total: int, loss: float | None = None) -> None:
    """Ignore the progress."""


def brief(**changes: Any) -> PlrdiffSelfSettings:
    """Settings of a training of moments."""
    budget = {"width": 32, "multipliers": [1, 2], "attention": False, "iterations": 6, "batch": 2, "crop": 16}
    fields: dict[str, Any] = {"budget": budget | {"learning_rate": 2e-4}, "steps": 5, "precision": "float32"}
    return PlrdiffSelfSettings(**fields | {"threads": 1, "device": "cpu"} | changes)


def published(**changes: Any) -> PlrdiffSettings:
    return PlrdiffSettings(**{"steps": 4, "precision": "float32", "threads": 1, "device": "cpu"} | changes)


@pytest.fixture(scope="module")
def low_rank(landscape_srf: np.ndarray) -> tuple[np.ndarray, Observation]:
    """A cube of rank 3 in [0, 1], whose base bands are far from collinear, and its noise-free observation."""
    generator = np.random.default_rng(5)
    smooth = np.cumsum(np.cumsum(generator.standard_normal((3, 24, 24)), 1), 2)
    planes = (smooth - smooth.min((1, 2), keepdims=True)) / np.ptp(smooth, (1, 2))[:, None, None]
    spectra = generator.dirichlet(np.ones(3), 24) * 0.9
    cube = np.tensordot(spectra, planes, axes=1).astype(np.float32)
    scene = simulate(
        cube, spectral_response=landscape_srf, spatial_response=SpatialResponse.bicubic(ratio=4), snr_db=90
    )
    return cube, scene


# --- the decomposition


@pytest.mark.parametrize(
    ("bands", "chosen"),
    [(103, [25, 51, 77]), (128, [31, 63, 95]), (176, [43, 87, 131]), (31, [7, 15, 23])],
)
def test_base_bands_of_published_scenes(bands: int, chosen: list[int]) -> None:
    assert base_bands(bands, 3) == chosen


def test_fewer_bands_than_base_bands_are_refused() -> None:
    assert base_bands(3, 3) == [0, 1, 2]
    with pytest.raises(InputError, match="rank: 6 base bands are more than the LR-HSI's 4 bands"):
        base_bands(4, 6)


def test_the_mixing_matrix_equals_the_formula() -> None:
    image = np.random.default_rng(0).random((8, 5, 4)).astype(np.float32) * 3
    image[2, 1, 1] = np.nan  # leaves the pixel out
    x = image[:, ~np.isnan(image).any(0)].astype(float) / 3
    base = x[base_bands(8, 3)]
    expected = (x @ base.T @ np.linalg.inv(base @ base.T + 1e-4 * np.eye(3))).T
    np.testing.assert_allclose(mixing_matrix(image, 3, 3.0), expected, rtol=1e-6)


def test_a_scene_of_rank_three_is_its_base_bands(low_rank: tuple[np.ndarray, Observation]) -> None:
    """E of the LR-HSI rebuilds the HR cube from its own base bands, and nothing is left for the residual."""
    cube, scene = low_rank
    scale = 1.0
    mixing = mixing_matrix(scene.lr_hsi, 3, scale)
    rebuilt = np.tensordot(mixing.T, cube[base_bands(24, 3)], axes=1)
    assert -10 * math.log10(float(np.mean((rebuilt - cube) ** 2))) > 60
    model = LowRankModel(scale, mixing.astype(np.float32))
    piece = piece_of(scene, scene, scene.whole, model, "optimised", CPU)
    assert piece is not None
    assert float(piece.residual.abs().max()) < 5e-3


def test_the_optimised_residual_descends_as_published(observation_of_landscape: Observation) -> None:
    """Against gradient descent by autograd; the base bands then face what they can explain."""
    scene = observation_of_landscape
    model = LowRankModel.of(scene, 3)
    pieces = {
        kind: piece_of(scene, scene, scene.whole, model, kind, CPU) for kind in ("optimised", "interpolated")
    }
    operator = scene.operator.to("cpu")
    scaled = torch.from_numpy(scene.lr_hsi / np.float32(model.scale))
    target = scaled - torch.tensordot(
        torch.from_numpy(model.mixing).T, scaled[base_bands(scene.bands, 3)], dims=1
    )
    assert stable_rate(scene.spatial_response) == 3.0
    residual = pieces["interpolated"].residual.clone().requires_grad_()
    descent = torch.optim.SGD([residual], lr=3.0)
    for _ in range(100):
        descent.zero_grad()
        (operator.forward(residual) - target).square().sum().backward()
        descent.step()
    torch.testing.assert_close(pieces["optimised"].residual, residual.detach(), rtol=1e-3, atol=1e-5)
    explained = scaled - target
    torch.testing.assert_close(pieces["optimised"].guidance.lr_hsi, explained, rtol=0, atol=1e-3)


def test_a_response_that_would_diverge_has_a_smaller_rate() -> None:
    assert stable_rate(SpatialResponse.gaussian(ratio=1, fwhm=1.0)) < 1


# --- the sampler


@pytest.mark.parametrize("sampler", ["ancestral", "ddim"])
@pytest.mark.parametrize("rank", [3, 6])
def test_a_perfect_prior_is_sampled_to_the_truth(sampler: str, rank: int) -> None:
    """At least 60 dB with the true noise and no guidance."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1, rank, 9, 7, generator=generator)
    triples = iter([])

    def true_noise(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        nonlocal triples
        part = next(triples, None)
        if part is None:
            triples = iter(range(0, rank, 3))
            part = next(triples)
        clean = 2 * truth[:, part : part + 3] - 1
        return (x - level * clean) / (1 - level**2).sqrt()

    drawn = sample(
        true_noise,
        torch.randn(truth.shape, generator=generator),
        lambda step: torch.randn(truth.shape, generator=generator),
        None,
        brief(steps=50, sampler=sampler, rank=rank),
        nothing,
    )
    assert -10 * math.log10(float((drawn - truth).square().mean()) + 1e-20) > 60


@pytest.mark.parametrize("guidance", ["norm", "squared"])
def test_a_guided_step_equals_a_written_out_computation(
    guidance: str, observation_of_landscape: Observation
) -> None:
    """One step of one, against dense matrices, in float64, with a network of one number."""
    scene = observation_of_landscape.crop(Window(0, 8, 0, 12))
    windows = guidance_of(scene, scene, scene.whole, 1.0, CPU)
    assert windows is not None
    settings = brief(steps=1, guidance=guidance, eta1=0.5, eta2=0.25)
    generator = torch.Generator().manual_seed(1)
    mixing = torch.rand(3, scene.bands, generator=generator)
    start = 0.1 * torch.randn(1, 3, 8, 12, generator=generator)  # abar = 0.001: more would be clamped

    def network(x: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return 0.7 * x + 0.1 * x.roll(1, 3)

    drawn = sample(network, start, torch.zeros, JointLoss([windows], mixing, settings), settings, nothing)
    # the same in NumPy: the gradient by central differences of the loss
    h = scene.operator
    x, y, r = scene.lr_hsi.astype(float), scene.hr_msi.astype(float), scene.spectral_response
    abar, e = float(exponential(1)[0]), mixing.numpy().astype(float)

    def clean(a: np.ndarray) -> np.ndarray:
        noise = 0.7 * a + 0.1 * np.roll(a, 1, 2)
        return np.clip((a - math.sqrt(1 - abar) * noise) / math.sqrt(abar), -1, 1)

    def loss(a: np.ndarray) -> float:
        cube = np.tensordot(e.T, (clean(a) + 1) / 2, axes=1)
        norms = np.linalg.norm(x - h.forward(cube)), np.linalg.norm(y - np.tensordot(r, cube, axes=1))
        power = 2 if guidance == "squared" else 1
        return float(norms[0] ** power + 0.25 / 0.5 * norms[1] ** power)

    a = start[0].numpy().astype(float)
    unclamped = np.abs(clean(a)) < 1
    assert 0.5 < unclamped.mean() < 0.95
    stepped = (clean(a) + 1) / 2  # the last ancestral step is the clean estimate
    for place in [(0, 3, 4), (1, 0, 11), (2, 7, 0), (2, 5, 5)]:
        ahead, behind = a.copy(), a.copy()
        ahead[place] += 1e-6
        behind[place] -= 1e-6
        slope = (loss(ahead) - loss(behind)) / 2e-6
        expected = stepped[place] - 0.5 * slope / 2
        assert float(drawn[0][place]) == pytest.approx(expected, rel=2e-3, abs=2e-4)


def test_step_sizes_keep_the_reach_of_the_published_sampling() -> None:
    assert published(steps=None).step_sizes(256**2) == (2, 2)
    assert published(steps=100).step_sizes(128**2) == (5, 5)
    assert published(steps=100, eta1=2, eta2=1).step_sizes(128**2) == (2, 1)
    assert published(steps=100, guidance="squared").step_sizes(128**2) == (2, 2)


def test_an_ancestral_step_uses_the_draw_of_its_number() -> None:
    start, draws = torch.zeros(1, 3, 4, 4), torch.randn(2, 1, 3, 4, 4)
    drawn = sample(
        lambda x, level: torch.zeros_like(x), start, draws.__getitem__, None, brief(steps=2), nothing
    )
    abar = exponential(2)
    middle = ancestral_step(start, torch.zeros_like(start), float(abar[1]), float(abar[0]), draws[0])
    clean = (middle / math.sqrt(float(abar[0]))).clamp(-1, 1)
    torch.testing.assert_close(drawn, (clean + 1) / 2)


def test_exact_data_steps_find_the_minimiser(low_rank: tuple[np.ndarray, Observation]) -> None:
    """The gradient of both data terms and the prior vanishes there."""
    scene = low_rank[1]
    window = guidance_of(scene, scene, scene.whole, 1.0, CPU)
    assert window is not None
    sigma, share = (np.full(24, 0.03), np.full(4, 0.02)), 0.6
    mixing = mixing_matrix(scene.lr_hsi, 3, 1.0)
    prior = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    solved = (ExactStep([window], mixing, *sigma)(2 * prior - 1, share) + 1) / 2
    a = solved[0].double().requires_grad_()
    e, r = torch.from_numpy(mixing), torch.from_numpy(scene.spectral_response)
    cube = torch.tensordot(e.T, a, dims=1)
    h = scene.operator.to("cpu", torch.float64)
    loss = (torch.from_numpy(scene.lr_hsi) - h.forward(cube)).square().sum() / 0.03**2
    loss = loss + (torch.from_numpy(scene.hr_msi) - torch.tensordot(r, cube, dims=1)).square().sum() / 0.02**2
    loss = loss + 4 * share / (1 - share) * (a - prior[0].double()).square().sum()
    (gradient,) = torch.autograd.grad(loss, a)
    (scale,) = torch.autograd.grad(loss.detach() * 0 + (a * 0.1 / 0.02**2).sum(), a)
    assert float(gradient.abs().max()) < 1e-3 * float(scale.abs().max())


# --- the prior of the pair


@pytest.fixture(scope="module")
def fitted(observation_of_landscape: Observation) -> FittedLowRank:
    return PlrdiffSelf(brief(steps=12)).fit(observation_of_landscape)


def test_the_loss_falls_over_the_steps(fitted: FittedLowRank) -> None:
    losses: list[float] = []
    first = fitted.fuse(progress=lambda phase, done, total, loss=None: losses.append(loss or 0.0))
    assert len(losses) == 12
    assert losses[-1] < losses[0]
    again = PlrdiffSelf(brief(steps=12)).restore(fitted.scene, fitted.state()).fuse()
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(
    "changes",
    [
        {"guidance": "squared", "eta1": 1e-3, "eta2": 1e-3},
        {"sampler": "ddim"},
        {"data_step": "exact"},
        {"rank": 6},
        {"residual": "none"},
    ],
)
def test_options_change_the_cube(
    changes: dict[str, Any], fitted: FittedLowRank, observation_of_landscape: Observation
) -> None:
    method = PlrdiffSelf(brief(steps=12, **changes))
    cube = method.fit_trained(observation_of_landscape, fitted.state()).fuse()
    assert np.isfinite(cube).all()
    assert not np.array_equal(cube, fitted.fuse())


def test_guidance_that_diverges_says_so(fitted: FittedLowRank) -> None:
    method = PlrdiffSelf(brief(guidance="squared", eta1=1e30, eta2=1e30))
    with pytest.raises(InputError, match="plrdiff_self: the sampling diverged at step"):
        method.fit_trained(fitted.scene, fitted.state()).fuse()


def test_nodata_is_filled_and_marked(observation_of_landscape: Observation, fitted: FittedLowRank) -> None:
    holed = replace(observation_of_landscape, hr_msi=observation_of_landscape.hr_msi.copy())
    holed.hr_msi[:, 3:6, 8] = np.nan
    cube = PlrdiffSelf(brief()).fit_trained(holed, fitted.state()).fuse()
    assert np.isnan(cube[:, 3:6, 8]).all()
    assert np.isfinite(cube).sum() == cube.size - 3 * len(cube)


def test_a_resumed_training_gives_the_same_bytes(
    tmp_path: Path, observation_of_landscape: Observation, fitted: FittedLowRank
) -> None:
    class KilledError(Exception):
        """Stands for a kill between two steps."""

    def kill(phase: str, done: int, total: int, loss: float | None = None) -> None:
        raise KilledError

    method = PlrdiffSelf(brief(checkpoint_every=4))
    budget = method.settings.training.model_copy(update={"iterations": 12})
    method = PlrdiffSelf(method.settings.model_copy(update={"budget": budget}))
    with pytest.raises(KilledError):
        method.fit(observation_of_landscape, 0, tmp_path, kill)  # after 10 steps, of which 8 are saved
    assert (tmp_path / "prior.safetensors").exists()
    resumed, unbroken = (
        method.fit(observation_of_landscape, 0, folder).state() for folder in (tmp_path, None)
    )
    assert all(np.array_equal(resumed[name], array) for name, array in unbroken.items())


def test_noise_levels_lie_between_all_steps() -> None:
    level, share = continuous_levels()(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(level.square(), share)
    assert 0 <= float(level.min()) < 0.01 < 0.99 < float(level.max()) <= 1
    assert len(level.unique()) > 3900


def test_training_samples_are_triples_of_bands_that_are_turned() -> None:
    ramp = np.arange(20, dtype=np.float32) / 40
    two = np.stack([ramp[:, None] + 0 * ramp, 0.5 + 0 * ramp[:, None] * ramp])
    samples = triples_draw([two], 6, 40)(torch.Generator().manual_seed(0))
    assert samples.shape == (40, 3, 6, 6)
    assert -1 <= float(samples.min()) <= float(samples.max()) <= 1
    flat = samples.flatten(2).std(2) < 1e-5
    assert ((flat.sum(1) == 1) | (flat.sum(1) == 2)).all()  # two bands are repeated to three
    along = [tuple(bool(s.diff(dim=d).abs().amax() > 1e-4) for d in (1, 2)) for s in samples]
    assert len(set(along)) == 2  # ramps along rows and along columns


# --- larger scenes


@pytest.fixture(scope="module")
def strip(landscape_srf: np.ndarray) -> Observation:
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=32, width=136, bands=24, seed=4))
    return simulate(
        scene.data, spectral_response=landscape_srf, spatial_response=SpatialResponse.bicubic(ratio=4)
    )


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB between two cubes."""
    return -10 * math.log10(float(np.mean((a - b) ** 2)) / float(np.ptp(a)) ** 2 + 1e-20)


@pytest.mark.long
@pytest.mark.parametrize(
    "changes", [{}, {"rank": 6, "guidance": "squared", "eta1": 0.01, "eta2": 0.01}, {"data_step": "exact"}]
)
def test_patches_agree_with_the_untiled_run(
    changes: dict[str, Any], strip: Observation, fitted: FittedLowRank
) -> None:
    """To 45 dB; the anchor is the whole scene, of which the first patch sees a part."""
    whole, tiled = (
        PlrdiffSelf(brief(steps=8, patch=patch, **changes)).fit_trained(strip, fitted.state())
        for patch in (256, 32)
    )
    assert whole.in_one_piece
    assert not tiled.in_one_piece
    window = Window(0, 32, 0, 32)
    assert tiled.read(window).hr_shape == (32, 80)
    cube = tiled.fuse(window)
    assert agreement(whole.fuse()[:, :, :32], cube) > 45
    restored = PlrdiffSelf(brief(steps=8, patch=32, **changes)).restore(strip, tiled.state())
    np.testing.assert_allclose(restored.fuse(Window(4, 30, 3, 17)), cube[:, 4:30, 3:17], rtol=0, atol=1e-6)


# --- the published checkpoint


def published_file(folder: Path, network: SR3UNet) -> Path:
    """Write a network as ddpm-cd does: under its names, beside the buffers of its schedule."""
    weights = {PREFIX + published_name(name): tensor for name, tensor in network.state_dict().items()}
    torch.save(weights | {"betas": torch.zeros(4)}, folder / "gen.pth")
    return folder / "gen.pth"


def test_a_converted_checkpoint_gives_the_output_of_its_network(
    tmp_path: Path, observation_of_landscape: Observation
) -> None:
    """Through the command line, and the method with either network draws the same cube."""
    torch.manual_seed(3)
    network = orthogonal_(SR3UNet(SHAPE)).eval()
    out = tmp_path / "prior.safetensors"
    done = call("weights", "import", published_file(tmp_path, network), "--out", out)
    assert done.exit_code == 0, done.output
    count = sum(parameter.numel() for parameter in network.parameters())
    assert f"width 32 x (1, 2), {count / 1e6:.2f} M parameters" in done.output
    shape, weights, digest = read_converted(str(out))
    assert shape == SHAPE
    converted = SR3UNet(shape).eval()
    converted.load_state_dict(weights)
    x, level = torch.randn(1, 3, 16, 20), torch.tensor([0.6])
    assert torch.equal(converted(x, level), network(x, level))

    scene = observation_of_landscape
    method = Plrdiff(published(checkpoint=str(out)))
    fitted = method.fit(scene)
    assert fitted.parameters == count
    assert sum(array.nbytes for array in fitted.state().values()) < 1000  # the weights stay in their file
    prior = Prior(SHAPE, dict(network.state_dict()), bfloat16=False)
    direct = FittedLowRank(scene, method.settings, 0, prior, fitted.model, {})
    np.testing.assert_array_equal(method.restore(scene, fitted.state()).fuse(), direct.fuse())

    # another file under the same name is another method
    before = method.settings.fitting(scene.hr_shape)
    assert before["checkpoint_digest"] == digest
    other = published_file(tmp_path, orthogonal_(SR3UNet(SHAPE)))
    assert call("weights", "import", other, "--out", out).exit_code == 0
    assert method.settings.fitting(scene.hr_shape) != before
    with pytest.raises(
        InputError, match=r"prior\.safetensors: has other weights than the checkpoint of the fit"
    ):
        method.restore(scene, fitted.state())


def test_published_names_are_those_of_ddpm_cd() -> None:
    """Some keys of the published network, whose fifth level has attention."""
    with torch.device("meta"):
        network = SR3UNet(Shape(3, 3, 128, (1, 2, 4, 8, 8), attention={4}))
    shapes = {published_name(name): tuple(t.shape) for name, t in network.state_dict().items()}
    assert len(shapes) == len(network.state_dict())
    for name, shape in {
        "noise_level_mlp.1.weight": (512, 128),
        "noise_level_mlp.3.bias": (128,),
        "downs.0.weight": (128, 3, 3, 3),
        "downs.3.conv.weight": (128, 128, 3, 3),
        "downs.4.res_block.res_conv.weight": (256, 128, 1, 1),
        "downs.14.attn.qkv.weight": (3072, 1024, 1, 1),
        "mid.0.attn.out.bias": (1024,),
        "mid.1.res_block.block2.block.3.weight": (1024, 1024, 3, 3),
        "ups.0.res_block.noise_func.noise_func.0.weight": (1024, 128),
        "ups.3.conv.weight": (1024, 1024, 3, 3),
        "final_conv.block.0.weight": (128,),
        "final_conv.block.3.weight": (3, 128, 3, 3),
    }.items():
        assert shapes[name] == shape, name


class Harmful:
    """An object whose unpickling runs a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_file_with_code_is_refused(writer: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "gen.pth", tmp_path / "ran"
    content = {"denoise_fn.downs.0.weight": Harmful(trace)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    message = refusal("weights", "import", path, "--out", tmp_path / "out.safetensors")
    assert "gen.pth: holds more than tensors, or is damaged" in message
    assert not trace.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = published_file(tmp_path, SR3UNet(SHAPE))
    content = torch.load(path)
    del content["denoise_fn.mid.1.res_block.noise_func.noise_func.0.bias"]
    content["denoise_fn.ups.9.weight"] = torch.zeros(3)
    content["denoise_fn.noise_level_mlp.1.bias"] = torch.zeros(5)
    torch.save(content, path)
    assert (
        "1 weights missing, such as mid.1.res_block.noise_func.noise_func.0.bias; 1 weights unknown, such as "
        "ups.9.weight; 1 weights of another shape, such as noise_level_mlp.1.bias (5,) for (128,)"
    ) in refusal("weights", "import", path, "--out", tmp_path / "out.safetensors")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path, out = tmp_path / "gen.pth", tmp_path / "out.safetensors"
    torch.save({"weight": torch.zeros(2)}, path)
    assert "gen.pth: has no tensor whose name begins with 'denoise_fn.'" in refusal(
        "weights", "import", path, "--out", out
    )
    path.write_text("<html>")
    assert "gen.pth: " in refusal("weights", "import", path, "--out", out)
    assert "gen.pth.zip: no such file; I190000_E97_gen.pth" in refusal(
        "weights", "import", tmp_path / "gen.pth.zip", "--out", out
    )


@pytest.mark.parametrize("checkpoint", [None, "nowhere/prior.safetensors"])
def test_without_the_checkpoint_a_line_says_where_it_is_published(
    checkpoint: str | None, observation_of_landscape: Observation
) -> None:
    with pytest.raises(InputError, match=r"I190000_E97_gen\.pth .*wgcban/ddpm-cd.*weights import"):
        Plrdiff(published(checkpoint=checkpoint)).fit(observation_of_landscape)


def test_a_changed_checkpoint_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "prior.safetensors"
    assert call("weights", "import", published_file(tmp_path, SR3UNet(SHAPE)), "--out", out).exit_code == 0
    content = bytearray(out.read_bytes())
    content[-5] ^= 1
    out.write_bytes(content)
    with pytest.raises(InputError, match="is not as `pipeline weights import` wrote it"):
        read_converted(str(out))
