"""ARGS-Diff on a GPU: a captured step against a plain one, equal runs, and the CPU's result."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.core.sensing.observation import Observation
from pipeline.methods.args_diff.fitted import FittedArgsDiff
from pipeline.methods.args_diff.guidance import JointLoss
from pipeline.methods.args_diff.method import ArgsDiff
from pipeline.methods.args_diff.networks import SpectralNet
from pipeline.methods.args_diff.sampling import GuidedRun, sample
from pipeline.methods.args_diff.settings import ArgsDiffSettings, TrainingBudget
from pipeline.methods.args_diff.training import uniform_levels
from pipeline.methods.base import State
from pipeline.methods.device import reproducible
from pipeline.methods.diffusion.captured import WARM_UP, Captured
from pipeline.methods.diffusion.guidance import guidance_of
from pipeline.methods.diffusion.noise_prediction import Recipe, train
from pipeline.methods.optimisation import Checkpoint

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda")
BUDGET = TrainingBudget(width=32, spatial_iterations=6, spatial_batch=2, crop=16, spectral_iterations=12)


def method(**changes: object) -> ArgsDiff:
    fields = {"budget": BUDGET, "d": 3, "steps": 12, "precision": "float32", "device": "cuda", "threads": 1}
    return ArgsDiff(ArgsDiffSettings(**fields | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def state(observation_of_landscape: Observation) -> State:
    """What the CPU has learned."""
    return method(device="cpu").fit(observation_of_landscape).state()


def eager(fitted: FittedArgsDiff, observation: Observation) -> list[Tensor]:
    """The factors that plain steps draw."""
    guidance = guidance_of(observation, observation, observation.whole, fitted.scale, GPU)
    assert guidance is not None
    start = [fitted.start([observation.whole]), fitted.start_basis()]
    loss = JointLoss([guidance], fitted.settings)
    run = GuidedRun(fitted.sampling_networks(), start, loss, fitted.settings)
    for _ in range(fitted.settings.steps - 1):
        run.advance()
    return run.finish()


def captured(fitted: FittedArgsDiff, observation: Observation) -> list[Tensor]:
    """The factors that the method draws."""
    guidance = guidance_of(observation, observation, observation.whole, fitted.scale, GPU)
    assert guidance is not None
    start = [fitted.start([observation.whole]), fitted.start_basis()]
    loss = JointLoss([guidance], fitted.settings)
    return sample(fitted.sampling_networks(), start, loss, fitted.settings, lambda *event: None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", ["code", "paper"])
def test_captured_steps_equal_plain_ones(
    precision: str,
    variant: str,
    state: State,
    observation_of_landscape: Observation,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = state | {"bfloat16": np.array(precision == "bfloat16")}
    fitted = method(variant=variant).restore(observation_of_landscape, state)
    with reproducible(GPU, 1), caplog.at_level(logging.WARNING):
        plain, first, second = (
            draw(fitted, observation_of_landscape) for draw in (eager, captured, captured)
        )
    assert not caplog.records  # the capture did not fail
    for expected, drawn, again in zip(plain, first, second, strict=True):
        assert torch.equal(drawn, again)
        assert float((drawn - expected).abs().max()) < 1e-6


def test_a_captured_step_is_replayed_after_its_warm_up() -> None:
    number, calls = torch.zeros(1, device=GPU), []

    def step() -> Tensor:
        calls.append(None)
        number.add_(1)
        return number * 2

    captured_step = Captured(step, GPU)
    results = [float(captured_step()) for _ in range(WARM_UP + 4)]
    assert results == [2.0 * (i + 1) for i in range(WARM_UP + 4)]
    assert len(calls) == WARM_UP + 1


def test_a_step_that_cannot_be_captured_runs_plainly(caplog: pytest.LogCaptureFixture) -> None:
    number = torch.zeros(1, device=GPU)

    def step() -> float:
        number.add_(1)
        return float(number)

    captured_step = Captured(step, GPU)
    with caplog.at_level(logging.WARNING):
        results = [captured_step() for _ in range(WARM_UP + 3)]
    assert results == list(range(1, WARM_UP + 4))
    assert "without a CUDA graph" in caplog.text
    assert float((torch.ones(5, device=GPU) * 2).sum()) == 10  # the device computes on


@pytest.mark.parametrize("patch", [256, 32])
def test_a_gpu_draws_what_the_cpu_draws(patch: int, observation_of_landscape: Observation) -> None:
    """In one piece, and in patches that replay the CPU's anchor; few steps, which amplify little."""

    def few(device: str) -> ArgsDiff:
        return method(device=device, patch=patch, steps=5)

    learned = few("cpu").fit(observation_of_landscape).state()
    ours, again, expected = (
        few(device).restore(observation_of_landscape, learned).fuse() for device in ("cuda", "cuda", "cpu")
    )
    assert np.array_equal(ours, again)
    assert float(np.abs(ours - expected).max()) < 1e-3 * float(np.abs(expected).max())


class KilledError(Exception):
    """Stands for a kill between two steps."""


def test_resumed_training_on_a_gpu_equals_an_unbroken_one(
    observation_of_landscape: Observation, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The checkpoint lies within the captured steps, so that one step is plain here and replayed there."""

    def kill(phase: str, done: int, total: int, loss: float) -> None:
        if phase == "spatial":
            raise KilledError

    longer = BUDGET.model_copy(update={"spatial_iterations": 24})
    trained = method(budget=longer, checkpoint_every=8, precision="auto")
    with caplog.at_level(logging.WARNING):
        expected, again = (trained.fit(observation_of_landscape).state() for _ in range(2))
        with pytest.raises(KilledError):
            trained.fit(observation_of_landscape, 0, tmp_path, kill)
        resumed = trained.fit(observation_of_landscape, 0, tmp_path).state()
    assert not caplog.records  # the capture did not fail
    for name in expected:
        assert np.array_equal(expected[name], again[name]), name
        assert np.array_equal(expected[name], resumed[name]), name


def test_a_training_on_a_gpu_learns(tmp_path: Path) -> None:
    def spectra(generator: torch.Generator) -> Tensor:
        rows = torch.rand(16, 1, generator=generator, device=generator.device)
        return rows * torch.linspace(-1, 1, 12, device=generator.device)

    losses: list[float] = []
    recipe = Recipe(
        "args_diff", "spectral", uniform_levels(GPU), 1500, 2e-3, 0, GPU, False, Checkpoint(None, 1, ""), GPU
    )
    train(lambda: SpectralNet(12), spectra, None, recipe, lambda *event: losses.append(event[3]))
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])
