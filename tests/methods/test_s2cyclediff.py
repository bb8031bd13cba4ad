"""S2CycleDiff: its networks as published, each term of its loss, training, sampling and tiles."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.config.scenes import SyntheticSource
from pipeline.core.diffusion.sr3 import ALONE
from pipeline.core.sensing.observation import Observation, no_progress
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs.synthetic.scene import synthetic_scene
from pipeline.methods import build, settings_of
from pipeline.methods.diffusion.conditional import FittedConditional, Windows
from pipeline.methods.diffusion.examples import Example, Sample, absolute_error
from pipeline.methods.diffusion.pair_examples import examples_below
from pipeline.methods.pool import unit_scale
from pipeline.methods.s2cyclediff.attention import SelfAttention, SpatialCross, SpectralCross
from pipeline.methods.s2cyclediff.losses import Terms, loss_terms, total, valid_below
from pipeline.methods.s2cyclediff.method import S2CycleDiff
from pipeline.methods.s2cyclediff.networks import S2CycleNetworks
from pipeline.methods.s2cyclediff.settings import BUDGETS, S2CycleDiffBudget, S2CycleDiffSettings

TINY = S2CycleDiffBudget(
    width=16, multipliers=[1, 1], iterations=4, epoch=2, batch=2, crop=8, weights="default", residual=True
)


def observed(seed: int, side: int, bands: int = 6) -> tuple[Observation, np.ndarray]:
    """A synthetic scene as four bands and at ratio 4, and its truth."""
    scene = synthetic_scene(
        SyntheticSource(kind="synthetic", height=side, width=side, bands=bands, seed=seed)
    )
    centres, widths = np.array([480.0, 560, 660, 850]), np.array([60.0, 60, 60, 120])
    srf = gaussian_response(centres, widths, scene.wavelength, scene.fwhm)
    return simulate(
        scene.data, spectral_response=srf, spatial_response=SpatialResponse.bicubic(ratio=4)
    ), scene.data


def method(budget: S2CycleDiffBudget = TINY, **settings: Any) -> Any:
    return build(S2CycleDiffSettings(budget=budget, precision="float32", **settings))


def networks(bands: int, msi_bands: int, budget: Any = TINY, ratio: int = 4) -> S2CycleNetworks:
    model = S2CycleDiff(S2CycleDiffSettings(budget=budget))
    return cast(S2CycleNetworks, model.network(bands, msi_bands, Fraction(ratio), ALONE))


def psnr(cube: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(truth.max() ** 2 / (np.mean((cube - truth) ** 2) + 1e-20)))


# --- networks


@pytest.mark.parametrize(("bands", "msi_bands", "millions"), [(31, 3, 64.4), (103, 4, 65.4), (176, 4, 67.3)])
def test_parameters_as_published(bands: int, msi_bands: int, millions: float) -> None:
    with torch.device("meta"):
        network = networks(bands, msi_bands, "paper")
    branches = [sum(p.numel() for p in branch.parameters()) for branch in (network.spectral, network.spatial)]
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert branches[0] == branches[1]
    assert all(len(branch.main.channels) == 12 for branch in (network.spectral, network.spatial))


def test_settings_of_published_crops() -> None:
    paper = S2CycleDiffSettings(budget="paper", attention=0.1)
    assert paper.halvings == [2, 1, 0]
    assert paper.stride == 8
    wide = S2CycleDiffSettings(budget=S2CycleDiffBudget(crop=512, multipliers=[1, 2]), attention=0.1)
    assert (wide.halvings, wide.stride) == ([3], 8)
    assert S2CycleDiffSettings(budget=S2CycleDiffBudget(crop=512, multipliers=[1, 2])).stride == 2


def test_attention_equals_a_written_out_sum() -> None:
    """Of each kind, term by term over all pairs of pixels."""
    torch.manual_seed(0)
    main, side = torch.randn(2, 1, 16, 2, 3)
    own = SelfAttention(16, 16, ALONE)
    q, k, v = (part[0] for part in own.qkv(own.norm(side)).flatten(2).chunk(3, 1))
    keys = k.exp() / k.exp().sum(1, keepdim=True)
    mixed = torch.stack([sum(keys[:, p] @ q[:, i] * v[:, p] for p in range(6)) for i in range(6)], 1)
    torch.testing.assert_close(own(side)[0].flatten(1), own.project(mixed.view(1, 16, 2, 3))[0].flatten(1))

    cross = SpectralCross(16, 16, ALONE, 0, 6)
    q, k, _ = (part[0] for part in cross.main_qkv(cross.main_norm(main)).flatten(2).chunk(3, 1))
    v = cross.side_qkv(cross.side_norm(side)).flatten(2)[0, 32:]
    keys = k.exp() / k.exp().sum(1, keepdim=True)
    mixed = torch.stack([sum(keys[:, p] @ q[:, i] * v[:, p] for p in range(6)) for i in range(6)], 1)
    expected = cross.project(mixed.view(1, 16, 2, 3))
    torch.testing.assert_close(cross(main, side), expected)

    spatial = SpatialCross(16, 16, ALONE, 0, 6)
    q, v = spatial.main_norm(main).flatten(2)[0], spatial.side_norm(side).flatten(2)[0]
    keys = q.exp() / q.exp().sum(0, keepdim=True)
    mixed = torch.stack([sum(keys[:, p] @ v[:, i] * q[:, p] for p in range(6)) for i in range(6)], 1)
    torch.testing.assert_close(spatial(main, side), spatial.project(mixed.view(1, 16, 2, 3)))
    halving = SpatialCross(16, 16, ALONE, 2, 4)
    assert halving(*torch.randn(2, 1, 16, 8, 8)).shape == (1, 16, 8, 8)


# --- loss


@torch.no_grad()
def test_terms_of_the_loss_are_hand_worked() -> None:
    """One LR pixel, two bands and one MSI band at ratio 2; one of the four HR pixels has no data."""
    network = networks(2, 1, ratio=2)
    network.hsi_psf.weight.fill_(0.125)
    network.hsi_psf.bias.copy_(torch.tensor([0.0, 0.5]))
    network.msi_psf.weight.fill_(0.25)
    network.srf.weight.copy_(torch.tensor([0.5, -1.0]).view(1, 2, 1, 1))
    valid = torch.ones(1, 1, 2, 2)
    target = torch.stack([torch.full((2, 2), 0.2), torch.full((2, 2), 0.6)])[None]
    hr_msi = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).view(1, 1, 2, 2)
    lr_hsi = torch.tensor([0.3, 0.7]).view(1, 2, 1, 1)
    sample = Sample(lr_hsi, target, hr_msi, target, valid)
    spectral, spatial = target + 0.1, target - torch.tensor([0.1, 0.3]).view(1, 2, 1, 1)
    terms = loss_terms(network, spectral, spatial, sample, fused=True)
    assert float(terms.spectral) == pytest.approx(0.1)
    assert float(terms.spatial) == pytest.approx(0.2)
    # the PSF of every band is the mean over half of the sum of both: (0.3 + 0.7) / 2 = 0.5, and 1.0 with bias
    assert float(terms.lr_hsi) == pytest.approx((0.2 + 0.3) / 2)
    # the SRF gives 0.5 * 0.1 - 0.3 = -0.25 everywhere
    assert float(terms.hr_msi) == pytest.approx((0.35 + 0.45 + 0.55 + 0.65) / 4)
    # the mean HR-MSI is 0.25, the SRF of the LR-HSI 0.15 - 0.7 = -0.55
    assert float(terms.responses) == pytest.approx(0.8)
    fused = network.fused(spectral, spatial)
    assert float(terms.fused) == pytest.approx(float((fused - target).abs().mean()))

    valid[..., 1, 1] = 0
    wrong = target.clone()
    wrong[..., 1, 1] = 9
    terms = loss_terms(network, wrong + 0.1, spatial, sample._replace(target=target), fused=False)
    assert float(terms.spectral) == pytest.approx(0.1)
    assert float(terms.hr_msi) == pytest.approx((0.35 + 0.45 + 0.55) / 3)
    assert float(terms.lr_hsi) == float(terms.responses) == 0
    assert terms.fused is None


def test_weights_of_both_phases() -> None:
    terms = [torch.tensor(10.0**-power) for power in range(5)]
    assert float(total(Terms(*terms, None))) == pytest.approx(1 + 0.1 + 0.01 + 0.001 + 0.1 * 0.0001)
    later = 1 + 0.1 + 0.1 * (0.01 + 0.001 + 0.0001) + 7
    assert float(total(Terms(*terms, torch.tensor(7.0)))) == pytest.approx(later)


def test_the_fusion_does_not_train_the_branches() -> None:
    network = networks(3, 2)
    sample = Sample(*(torch.rand(1, n, s, s) for n, s in ((3, 2), (3, 8), (2, 8), (3, 8), (1, 8))))
    spectral, spatial = (torch.rand(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    fused = loss_terms(network, spectral, spatial, sample, fused=True).fused
    assert fused is not None
    fused.backward()
    assert spectral.grad is None
    assert network.fuse[-1].bias.grad is not None


def test_an_lr_pixel_is_valid_with_all_its_hr_pixels() -> None:
    valid = torch.ones(1, 1, 4, 8)
    valid[0, 0, 1, 5] = 0
    assert valid_below(valid, 4).tolist() == [[[[1.0, 0.0]]]]
    nothing = torch.zeros(1, 1, 2, 2)
    assert float(absolute_error(torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2), nothing)) == 0


# --- sampling


class Perfect(S2CycleNetworks):
    """Both branches return a known truth, and the fusion is their mean."""

    def __init__(self, truth: Tensor, model: S2CycleDiff) -> None:
        super().__init__(model.plan(truth.shape[1], 4, 4))
        self.truth = truth

    def forward(self, *images: Tensor) -> tuple[Tensor, Tensor]:
        return self.truth, self.truth

    def fused(self, spectral: Tensor, spatial: Tensor) -> Tensor:
        return (spectral + spatial) / 2


@pytest.mark.parametrize("start", ["uniform", "matched", "normal"])
@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 25), ("ancestral", 2000)])
def test_perfect_branches_draw_the_truth(start: Any, sampler: Any, steps: int) -> None:
    model = S2CycleDiff(S2CycleDiffSettings(budget=TINY, start=start, sampler=sampler, steps=steps))
    generator = torch.Generator().manual_seed(0)
    truth, upsampled = torch.rand(2, 1, 5, 8, 8, generator=generator)
    windows = Windows(upsampled, torch.rand(1, 4, 8, 8, generator=generator), [(0, 0)])
    purposes = []

    def noise(purpose: str) -> Tensor:
        purposes.append(purpose)
        return torch.randn(truth.shape, generator=generator)

    drawn = model.draw(Perfect(truth, model), windows, noise, no_progress)
    assert psnr(drawn.numpy(), truth.numpy()) > 60
    assert len(purposes) == 2 + (steps if sampler == "ancestral" else 0)  # one draw a step for both branches


def test_starts_have_their_moments() -> None:
    noise, upsampled = (
        torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(1)),
        torch.tensor(0.8),
    )
    moments = {"uniform": (0.5, 1 / 12), "matched": (0.8 * 0.122**0.5, 1 - 0.122), "normal": (0.0, 1.0)}
    for start, (mean, variance) in moments.items():
        first = S2CycleDiff(S2CycleDiffSettings(start=start)).first(noise, upsampled.expand_as(noise))
        assert float(first.mean()) == pytest.approx(mean, abs=0.02)
        assert float(first.var()) == pytest.approx(variance, rel=0.03)
    assert float(S2CycleDiff(S2CycleDiffSettings()).first(noise, noise).max()) <= 1


# --- training and tiles


def test_equal_runs_and_a_resumed_training_give_equal_bytes(tmp_path: Path) -> None:
    """Killed after a checkpoint in the second phase, whose fusion block has had fewer steps than the rest."""
    observation, _ = observed(4, 64)
    longer = TINY.model_copy(update={"iterations": 12})

    class KilledError(Exception):
        pass

    def kill(phase: str, done: int, total: int, loss: float | None = None) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        method(longer, checkpoint_every=5).fit(observation, 3, tmp_path, kill)
    resumed = method(longer, checkpoint_every=5).fit(observation, 3, tmp_path)
    unbroken = method(longer, checkpoint_every=7).fit(observation, 3)
    states = resumed.state(), unbroken.state()
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])
    cube = unbroken.fuse()
    assert np.array_equal(resumed.fuse(), cube)
    assert np.array_equal(method(longer).restore(observation, unbroken.state(), 3).fuse(), cube)


@pytest.mark.long
@pytest.mark.parametrize("attention", [0.0, 1.0])
def test_patches_agree_with_the_cube_drawn_at_once(attention: float) -> None:
    observation, _ = observed(5, 144)
    settings = {"steps": 3, "attention": attention}
    budget = TINY.model_copy(update={"crop": 40, "residual": False})
    fitted: FittedConditional = method(budget, patch=64, **settings).fit(observation, 1)
    at_once = method(budget, patch=256, **settings).fit_trained(observation, fitted.state(), 1).fuse()
    assert not fitted.in_one_piece
    of_attention = [record for record in fitted.learned.records if record.shape[-2:] != (2, 16)]
    assert len(of_attention) == (4 if attention else 0)
    whole = fitted.fuse()
    assert psnr(whole, at_once) > 45
    window = Window(60, 144, 60, 100)
    assert np.array_equal(fitted.fuse(window), whole[:, *window.slices])


def test_a_rational_ratio_is_refused_in_a_line() -> None:
    scene = synthetic_scene(SyntheticSource(kind="synthetic", height=60, width=60, bands=6, seed=4))
    pair = simulate(
        scene.data,
        spectral_response=np.eye(6)[:3],
        spatial_response=SpatialResponse.box(ratio=Fraction(5, 2)),
    )
    with pytest.raises(InputError, match=r"^s2cyclediff: ratio 5/2 is not an integer.*leave this method out"):
        method().fit(pair)
    assert examples_below(pair, unit_scale(pair), 0, "s2cyclediff")


@pytest.mark.slow
def test_one_crop_is_learned_by_heart() -> None:
    """Above 35 dB: networks, loss and sampler fit together."""
    observation, truth = observed(4, 16, bands=8)
    example = Example(observation, truth, observation.whole, unit_scale(observation))
    budget = BUDGETS["quick"].model_copy(
        update={
            "multipliers": [1, 2],
            "iterations": 600,
            "epoch": 400,
            "batch": 4,
            "crop": 16,
            "learning_rate": 2e-3,
        }
    )
    fitted = method(budget, steps=10).fit_on(observation, [example], 0)
    assert psnr(fitted.fuse(), truth) > 35


@pytest.mark.slow
def test_trained_on_other_scenes_it_beats_bicubic_by_6_db() -> None:
    """With the budget `quick`, on a synthetic scene of another seed than those of the training."""
    scenes = []
    for seed in range(10, 18):
        pair, reference = observed(seed, 64, bands=16)
        scenes.append(Example(pair, reference, pair.whole, unit_scale(pair)))
    observation, truth = observed(4, 64, bands=16)
    fitted = method(BUDGETS["quick"], training={"scenes": ["others"]}).fit_on(observation, scenes, 0)
    bicubic = build(settings_of("bicubic")()).fit(observation).fuse()
    assert psnr(fitted.fuse(), truth) > psnr(bicubic, truth) + 6
