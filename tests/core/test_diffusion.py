"""Schedules, sampling steps and the SR3 UNet: against hand-worked values, and alone against in windows."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from pipeline.core.diffusion.coupling import Recorder, Replay
from pipeline.core.diffusion.schedules import (
    ancestral_step,
    clean_from_noise,
    cosine,
    ddim_step,
    exponential,
    linear,
    noisy,
    share_at,
    times,
)
from pipeline.core.diffusion.sr3 import FROZEN, RECORDING, Shape, SR3UNet, orthogonal_

SCHEDULES = {
    "exponential": exponential(500),
    "linear": linear(2000, 1e-6, 1e-2),
    "cosine": cosine(2000),
}


def test_schedules_at_five_points() -> None:
    """Values worked out from the formulas, term by term for the linear one."""
    for t in (1, 100, 250, 400, 500):
        falling = (1 - math.exp(-10 * (1 - t / 500))) / (1 - math.exp(-10))
        assert SCHEDULES["exponential"][t - 1] == pytest.approx(0.001 + 0.999 * falling, rel=1e-12)
    for t in (1, 2, 500, 1000, 2000):
        product = math.prod(1 - (1e-6 + (1e-2 - 1e-6) * i / 1999) for i in range(t))
        assert SCHEDULES["linear"][t - 1] == pytest.approx(product, rel=1e-10)
    for t in (1, 500, 1000, 1500, 1999):
        share = math.cos((t / 2000 + 8e-3) / (1 + 8e-3) * math.pi / 2) ** 2
        assert SCHEDULES["cosine"][t - 1] == pytest.approx(
            share / math.cos(8e-3 / (1 + 8e-3) * math.pi / 2) ** 2, rel=1e-9
        )
    assert float(linear(2000, 1e-6, 1e-2)[-1]) == pytest.approx(4.4e-5, rel=0.01)
    assert float(linear(2000, 1e-4, 2e-3)[-1]) == pytest.approx(0.122, rel=0.01)


@pytest.mark.parametrize("steps", [1, 7, 50, 500])
def test_times_end_at_the_clean_image(steps: int) -> None:
    pairs = times(steps, 500)
    assert len(pairs) == steps
    assert pairs[0][0] == 499
    assert pairs[-1][1] == -1
    assert all(t > after for t, after in pairs)


def test_times_are_the_exact_floor_of_equal_parts() -> None:
    """A truncated linspace in float64 misses it for 114 of these counts, in float32 for 84 others."""
    for steps in range(2, 1001):
        exact = [math.floor(Fraction(1000 * number, steps)) - 1 for number in range(steps, -1, -1)]
        assert times(steps, 1000) == list(pairwise(exact))
    assert times(500, 1000)[0] == (999, 997)
    for steps in (50, 100, 200, 250, 500, 1000):
        published = torch.linspace(-1, 999, steps + 1).long().tolist()[::-1]
        assert times(steps, 1000) == list(pairwise(published))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("step", [ddim_step, ancestral_step])
@pytest.mark.parametrize("knows", ["noise", "clean"])
def test_a_perfect_prediction_is_sampled_to_the_truth(name: str, step: object, knows: str) -> None:
    """At least 60 dB, with the true noise or the true image, by few or by all steps."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 4, 9, 7, generator=generator) * 2 - 1
    schedule = SCHEDULES[name]
    for count in (20, len(schedule)):
        x = torch.randn(truth.shape, generator=generator)
        for t, after in times(count, len(schedule)):
            share, later = share_at(schedule, t), share_at(schedule, after)
            clean = truth
            if knows == "noise":
                noise = (x - math.sqrt(share) * truth) / math.sqrt(1 - share)
                clean = clean_from_noise(x, noise, share)
            draw = [] if step is ddim_step else [torch.randn(truth.shape, generator=generator)]
            x = step(x, clean, share, later, *draw)  # type: ignore[operator]
        assert -10 * math.log10(float((x - truth).square().mean()) / 4 + 1e-20) > 60


def test_an_ancestral_step_has_the_moments_of_the_posterior() -> None:
    """Against Bayes' rule for the product of two Gaussians, over several steps of the schedule at once."""
    schedule = SCHEDULES["linear"]
    share, after = float(schedule[1500]), float(schedule[1200])
    kept = share / after
    # x_t given x_s is N(sqrt(kept) x_s, 1 - kept); x_s given x_0 is N(sqrt(after) x_0, 1 - after)
    precision = kept / (1 - kept) + 1 / (1 - after)
    x, clean = torch.tensor([0.7]), torch.tensor([-0.2])
    mean = (math.sqrt(kept) * x / (1 - kept) + math.sqrt(after) * clean / (1 - after)) / precision
    zero, unit = (ancestral_step(x, clean, share, after, torch.tensor([n])) for n in (0.0, 1.0))
    assert float(zero) == pytest.approx(float(mean), rel=1e-5)
    assert float(unit - zero) == pytest.approx(precision**-0.5, rel=1e-5)


def test_noisy_images_keep_unit_power() -> None:
    share = torch.tensor([0.25, 1.0])
    clean, noise = torch.ones(2, 1, 1, 1), torch.full((2, 1, 1, 1), 2.0)
    assert noisy(clean, noise, share).flatten().tolist() == pytest.approx([0.5 + 2 * math.sqrt(0.75), 1.0])


@pytest.mark.parametrize(
    ("shape", "millions"),
    [
        (Shape(3, 3, 128, (1, 2, 4, 8, 8), attention={4}, dropout=0.2), 391.05),
        (Shape(3, 3, 32, (1, 2, 4)), 3.46),
        (Shape(3, 3, 64, (1, 2, 4)), 13.83),
    ],
)
def test_parameters_of_published_networks(shape: Shape, millions: float) -> None:
    with torch.device("meta"):
        network = SR3UNet(shape)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


@torch.no_grad()
def test_windows_with_recorded_numbers_equal_the_whole() -> None:
    """A window far from the borders of a frozen network has the values of the whole image."""
    shape = Shape(3, 2, 32, (1, 2), attention={1})
    weights = orthogonal_(SR3UNet(shape)).state_dict()
    recording, frozen = SR3UNet(shape, RECORDING), SR3UNet(shape, FROZEN)
    for network in (recording, frozen):
        network.load_state_dict(weights)
        network.eval()
    image, level = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)), torch.tensor([0.6])
    recorder = Recorder(recording)
    whole = recorder(image, level)
    plain = SR3UNet(shape).eval()
    plain.load_state_dict(weights)
    torch.testing.assert_close(plain(image, level), whole, rtol=1e-4, atol=1e-4)
    replay = Replay(frozen, recorder.records())
    part = replay(image[..., 16:80, 16:80], level)
    torch.testing.assert_close(part[..., 24:40, 24:40], whole[..., 40:56, 40:56], rtol=1e-3, atol=1e-3)
    again = replay.rewind()(image, level)
    torch.testing.assert_close(again, whole, rtol=1e-3, atol=1e-3)
