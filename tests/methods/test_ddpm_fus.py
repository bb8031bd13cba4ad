"""DDPM-Fus and what conditional diffusion models share: examples, training, sampling in patches."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

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
from pipeline.methods.ddpm_fus.method import ConditionalUNet, DdpmFus
from pipeline.methods.ddpm_fus.settings import BUDGETS, Budget, DdpmFusSettings
from pipeline.methods.diffusion import examples, pair_examples
from pipeline.methods.diffusion.conditional import FittedConditional, Windows
from pipeline.methods.diffusion.examples import (
    Crops,
    Example,
    Sample,
    cut_to_region,
    read_sample,
    symmetries,
)
from pipeline.methods.diffusion.pair_examples import detail_power, examples_below
from pipeline.methods.level_below import one_level_down
from pipeline.methods.pool import unit_scale
from pipeline.methods.supervised import receptive_radius

TINY = Budget(width=32, multipliers=[1, 2], attention=[1], iterations=6, batch=2, crop=16)


def observed(seed: int, side: int, bands: int = 6, ratio: int = 4) -> tuple[Observation, np.ndarray]:
    """A synthetic scene as four bands and at a coarser ratio, and its truth."""
    source = SyntheticSource(kind="synthetic", height=side, width=side, bands=bands, seed=seed)
    scene = synthetic_scene(source)
    centres, widths = np.array([480.0, 560, 660, 850]), np.array([60.0, 60, 60, 120])
    srf = gaussian_response(centres, widths, scene.wavelength, scene.fwhm)
    response = SpatialResponse.bicubic(ratio=ratio)
    return simulate(scene.data, spectral_response=srf, spatial_response=response), scene.data


def example(seed: int, side: int, bands: int = 6) -> Example:
    observation, truth = observed(seed, side, bands)
    return Example(observation, truth, observation.whole, unit_scale(observation))


def method(budget: Budget = TINY, **settings: Any) -> Any:
    return build(DdpmFusSettings(budget=budget, precision="float32", **settings))


def psnr(cube: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(truth.max() ** 2 / np.mean((cube - truth) ** 2)))


@pytest.mark.parametrize(
    ("budget", "millions"),
    [
        (BUDGETS["paper"], 60.8),
        (Budget(multipliers=[1, 2, 4], attention=[2]), 15.3),
        (BUDGETS["quick"], 3.55),
    ],
)
def test_parameters(budget: Budget, millions: float) -> None:
    with torch.device("meta"):
        network = DdpmFus(DdpmFusSettings(budget=budget)).network(103, 4, Fraction(4), ALONE)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


class Perfect(ConditionalUNet):
    """Predicts the true noise, or the truth itself."""

    def __init__(self, truth: Tensor, settings: DdpmFusSettings) -> None:
        super().__init__(truth.shape[1], 4, settings, ALONE)
        self.truth, self.predicts_clean = truth, settings.network.prediction == "clean"

    def forward(self, x: Tensor, share: Tensor, upsampled: Tensor, hr_msi: Tensor) -> Tensor:
        a = share.view(-1, 1, 1, 1).double()
        clean = self.encoded(self.truth, upsampled).double()
        noise = (x.double() - a.sqrt() * clean) / (1 - a).sqrt()
        return (clean if self.predicts_clean else noise).float()


@pytest.mark.parametrize("prediction", ["noise", "clean"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_a_perfect_network_draws_the_truth(prediction: Any, residual: bool, sampler: Any) -> None:
    budget = TINY.model_copy(update={"prediction": prediction, "residual": residual})
    settings = DdpmFusSettings(budget=budget, sampler=sampler, steps=40)
    generator = torch.Generator().manual_seed(0)
    truth, upsampled = torch.rand(2, 1, 5, 8, 8, generator=generator)
    windows = Windows(upsampled, torch.rand(1, 4, 8, 8, generator=generator), [(0, 0)])

    def noise(purpose: str) -> Tensor:
        return torch.randn(truth.shape, generator=generator)

    drawn = DdpmFus(settings).draw(Perfect(truth, settings), windows, noise, no_progress)
    assert psnr(drawn.numpy(), truth.numpy()) > 60


def test_the_loss_is_the_mean_error_over_valid_pixels() -> None:
    """Of a network that predicts nothing, the mean size of the noise itself."""

    class Nothing(ConditionalUNet):
        def forward(self, x: Tensor, share: Tensor, upsampled: Tensor, hr_msi: Tensor) -> Tensor:
            return torch.zeros_like(x)

    settings = DdpmFusSettings(budget=TINY)
    images = torch.rand(2, 3, 4, 4)
    valid = torch.ones(2, 1, 4, 4)
    valid[0, :, :2] = 0
    sample = Sample(images[..., ::4, ::4], images, torch.rand(2, 4, 4, 4), images, valid)
    loss = DdpmFus(settings).loss(Nothing(3, 4, settings, ALONE), sample, 0, torch.Generator().manual_seed(7))
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(7)).abs()
    kept = torch.cat([noise[0, :, 2:].flatten(), noise[1].flatten()])
    assert float(loss) == pytest.approx(float(kept.mean()), rel=1e-6)


def test_equal_runs_and_a_resumed_training_give_equal_bytes(tmp_path: Path) -> None:
    observation, _ = observed(4, 64)
    whole = method(checkpoint_every=2, steps=2).fit(observation, 3, tmp_path / "whole")
    again = method(checkpoint_every=4, steps=2).fit(observation, 3)
    broken = tmp_path / "broken"

    class KilledError(Exception):
        pass

    def kill(phase: str, done: int, total: int, loss: float | None = None) -> None:
        raise KilledError

    short = TINY.model_copy(update={"iterations": 10})
    with pytest.raises(KilledError):
        method(short, checkpoint_every=4).fit(observation, 3, broken, kill)
    resumed = method(short, checkpoint_every=4).fit(observation, 3, broken)
    unbroken = method(short, checkpoint_every=4).fit(observation, 3)
    for first, second in ((whole, again), (resumed, unbroken)):
        assert first.state().keys() == second.state().keys()
        assert all(np.array_equal(first.state()[key], second.state()[key]) for key in first.state())
    assert np.array_equal(whole.fuse(), again.fuse())
    restored = method(steps=2).restore(observation, whole.state(), 3)
    assert np.array_equal(restored.fuse(), whole.fuse())


@pytest.fixture(scope="module")
def large() -> tuple[Observation, FittedConditional, np.ndarray]:
    """A scene of nine patches, its fitted method in patches, and its cube drawn at once."""
    observation, _ = observed(5, 96)
    budget = TINY.model_copy(update={"attention": [], "prediction": "clean", "residual": True})
    fitted = method(budget, patch=32, steps=3).fit(observation, 1)
    at_once = method(budget, patch=256, steps=3).fit_trained(observation, fitted.state(), 1)
    return observation, fitted, at_once.fuse()


def test_patches_agree_with_the_cube_drawn_at_once(
    large: tuple[Observation, FittedConditional, np.ndarray],
) -> None:
    _, fitted, at_once = large
    assert not fitted.in_one_piece
    assert psnr(fitted.fuse(), at_once) > 45


@pytest.mark.long
def test_a_window_does_not_depend_on_the_tiles(
    large: tuple[Observation, FittedConditional, np.ndarray],
) -> None:
    observation, fitted, _ = large
    whole = fitted.fuse()
    for window in (Window(0, 40, 16, 80), Window(60, 96, 60, 92)):
        assert np.array_equal(fitted.fuse(window), whole[:, *window.slices])
    restored = method(fitted.settings.network, patch=32, steps=3).restore(observation, fitted.state(), 1)
    assert np.array_equal(restored.fuse(Window(0, 40, 16, 80)), whole[:, :40, 16:80])


def test_windows_of_a_scene_in_one_piece_share_one_draw() -> None:
    observation, _ = observed(4, 64)
    fitted = method(steps=2).fit(observation)
    whole = fitted.fuse()
    steps: list[int] = []
    part = fitted.fuse(Window(8, 40, 4, 20), lambda phase, done, total, loss=None: steps.append(done))
    assert np.array_equal(part, whole[:, 8:40, 4:20])
    assert not steps


def test_no_data_is_marked_and_does_not_spread() -> None:
    observation, _ = observed(4, 64)
    holed = replace(observation, hr_msi=observation.hr_msi.copy(), lr_hsi=observation.lr_hsi.copy())
    holed.hr_msi[:, 10, 12] = np.nan
    holed.lr_hsi[:, 8, 9] = np.nan
    cube = method(steps=2).fit(holed, 0).fuse()
    missing = np.isnan(cube).any(axis=0)
    assert missing[10, 12]
    assert missing[32:36, 36:40].all()
    assert missing.sum() == 17


def test_crops_are_cut_alike_from_all_images() -> None:
    """The target of a crop, degraded, is the crop's LR-HSI up to the borders and the noise."""
    whole = example(4, 64)
    crops = Crops([whole], 32, 3, 0, "test")
    sample = crops.draw(5)
    assert [tuple(image.shape) for image in sample] == [
        (3, 6, 8, 8), (3, 6, 32, 32), (3, 4, 32, 32), (3, 6, 32, 32), (3, 1, 32, 32),
    ]  # fmt: skip
    operator = SpatialResponse.bicubic(ratio=4).operator(32, 32)
    for target, lr_hsi in zip(sample.target.numpy(), sample.lr_hsi.numpy(), strict=True):
        degraded = operator.forward(target.astype(np.float64))
        assert np.abs(degraded - lr_hsi)[:, 2:-2, 2:-2].max() < 0.1
        assert np.corrcoef(degraded.ravel(), lr_hsi.ravel())[0, 1] > 0.99
    same = Crops([whole], 32, 3, 0, "test").draw(5)
    assert all(torch.equal(*pair) for pair in zip(sample, same, strict=True))


def test_memory_holds_few_windows_and_visits_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples, "SIDE", 16)
    monkeypatch.setattr(examples, "POOL_BYTES", 3 * 8 * 6 * 16**2)
    crops = Crops([example(seed, 48) for seed in (1, 2)], 16, 1, 0, "test")
    assert len(crops.windows) == 18
    visited = set()
    for step in range(0, 18 * examples.EXCHANGE_EVERY, 7):
        crops.draw(step)
        assert len(crops._memory) == 3
        visited |= set(crops._memory)
    assert {number % 18 for number in visited} == set(range(18))
    fresh = Crops([example(seed, 48) for seed in (1, 2)], 16, 1, 0, "test")
    assert all(torch.equal(*pair) for pair in zip(crops.draw(200), fresh.draw(200), strict=True))


@pytest.mark.parametrize("ratio", [2, 4])
def test_one_level_down_the_lr_hsi_is_the_target(ratio: int) -> None:
    """At every offset of the grid; images and reference stay a pair where detail is attenuated."""
    observation, _ = observed(4, 64, ratio=ratio)
    levels = examples_below(observation, unit_scale(observation), 0, "test")
    assert len(levels) == ratio**2
    whole = read_sample(levels[0], levels[0].window)
    assert whole.target.shape == (6, 64 // ratio, 64 // ratio)
    assert whole.lr_hsi.shape == (6, 64 // ratio**2, 64 // ratio**2)
    assert levels[-1].scene.origin == (ratio - 1, ratio - 1)
    for level in levels:
        scene, reference = level.scene, np.asarray(level.reference, np.float64)
        below_h = scene.operator.forward(reference)
        beside_r = np.einsum("mb,byx->myx", scene.spectral_response, reference)
        assert np.abs(below_h - scene.lr_hsi).mean() < 3 * scene.sigma_hsi.mean() + 1e-6
        assert np.abs(beside_r - scene.hr_msi).mean() < 3 * scene.sigma_msi.mean() + 1e-6


def test_detail_is_as_strong_in_the_training_as_in_the_pair() -> None:
    """Of a smooth scene with one rough corner, whose detail is stronger one level down."""
    y, x = np.mgrid[:64, :64] / 64
    smooth = 1 + np.sin(2 * np.pi * (np.arange(1, 7)[:, None, None] / 4 * y + 3 * x))
    observation = simulate(
        smooth.astype(np.float32),
        spectral_response=np.eye(6)[:3],
        spatial_response=SpatialResponse.bicubic(ratio=4),
        snr_db=60,
    )
    levels = examples_below(observation, unit_scale(observation), 0, "test")
    (_, untouched) = one_level_down(observation, 0) or (None, observation)
    strength = detail_power(observation)
    assert detail_power(untouched) > 4 * strength
    assert np.mean([detail_power(level.scene) for level in levels]) < 2 * strength


def test_a_large_scene_has_fewer_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    observation, _ = observed(4, 64)
    monkeypatch.setattr(pair_examples, "ENOUGH", 4 * 16**2)
    assert len(examples_below(observation, unit_scale(observation), 0, "test")) == 4
    monkeypatch.setattr(pair_examples, "ENOUGH", 16)
    assert len(examples_below(observation, unit_scale(observation), 0, "test")) == 1


def test_crops_are_turned_as_far_as_the_psf_allows() -> None:
    along_columns = SpatialResponse.from_psf([[1, 2, 1]], ratio=4)
    assert symmetries(SpatialResponse.gaussian(ratio=4, fwhm=1.0)) == (True, True, True)
    assert symmetries(along_columns) == (False, True, True)
    assert symmetries(along_columns.shifted(0.1, 0)) == (False, True, False)
    assert symmetries(SpatialResponse.from_psf([[1, 2, 1.05]], ratio=4)) == (False, True, True)
    assert symmetries(SpatialResponse.from_psf([[1, 2], [2, 4]], ratio=4)) == (True, False, False)
    scene = replace(example(4, 16).scene, spatial_response=along_columns)
    whole = Example(scene, np.broadcast_to(np.arange(16.0)[:, None], (6, 16, 16)), scene.whole, 1.0)
    crops = Crops([whole], 16, 8, 0, "test")
    for step in range(4):
        assert (crops.draw(step).target.std(dim=-1) < 1e-6).all()


def test_what_does_not_fit_is_refused_in_a_line() -> None:
    whole = example(4, 64)
    with pytest.raises(InputError, match=r"differ in their bands or ratio .*4 bands.*train on scenes of one"):
        Crops([whole, example(4, 64, bands=8)], 16, 1, 0, "ddpm_fus")
    with pytest.raises(InputError, match=r"training.region with rows 40 to 79 .* inside the scene of 64x64"):
        cut_to_region(whole, Window(40, 80, 0, 32), "ddpm_fus")
    with pytest.raises(InputError, match=r"holds no whole LR pixel"):
        cut_to_region(whole, Window(1, 4, 0, 32), "ddpm_fus")
    region = cut_to_region(whole, Window(1, 22, 0, 32), "ddpm_fus")
    assert {window for _, window in Crops([region], 64, 1, 0, "ddpm_fus").windows} == {Window(4, 20, 0, 32)}
    small, _ = observed(4, 12)
    with pytest.raises(InputError, match="too small for a training one level down; at least 4x4"):
        method().fit(small)


@pytest.mark.parametrize("levels", [1, 2])
def test_receptive_radius_holds_what_convolutions_reach(levels: int) -> None:
    """The gradient of a pixel, with norms that act on each pixel alone, ends within the radius."""
    settings = DdpmFusSettings(budget=Budget(width=32, multipliers=[1] * levels, attention=[]))
    unet = ConditionalUNet(1, 1, settings, ALONE).unet.eval()
    for layer in list(unet.modules()):
        for name, child in layer.named_children():
            if isinstance(child, nn.GroupNorm) or type(child).__name__ == "Attention":
                setattr(layer, name, nn.Identity())
    radius = receptive_radius(levels)
    side = 2 * radius + 17
    image = torch.rand(1, 3, side, side, requires_grad=True)
    unet(image, torch.ones(1))[0, 0, side // 2, side // 2].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten() - side // 2
    assert radius - 2 * 2**levels <= int(rows.abs().max()) <= radius


@pytest.mark.slow
def test_one_crop_is_learned_by_heart() -> None:
    """Above 35 dB: network, loss and sampling fit together."""
    learned = example(4, 16, bands=8)
    budget = BUDGETS["quick"].model_copy(
        update={"multipliers": [1, 2], "batch": 4, "crop": 16, "learning_rate": 3e-3}
    )
    fitted = method(budget, steps=10).fit_on(learned.scene, [learned], 0)
    assert psnr(fitted.fuse(), np.asarray(learned.reference)) > 35


@pytest.mark.slow
def test_trained_on_other_scenes_it_beats_bicubic_by_6_db() -> None:
    """With the budget `quick`, on a synthetic scene of another seed than those of the training."""
    scenes = [example(seed, 64, bands=16) for seed in range(10, 18)]
    observation, truth = observed(4, 64, bands=16)
    fitted = method(BUDGETS["quick"], training={"scenes": ["others"]}).fit_on(observation, scenes, 0)
    bicubic = build(settings_of("bicubic")()).fit(observation).fuse()
    assert psnr(fitted.fuse(), truth) > psnr(bicubic, truth) + 6
