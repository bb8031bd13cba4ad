"""The loop that minimises a loss: resumed as if unbroken, constrained after each step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods.optimisation import (
    Checkpoint,
    Schedule,
    constant_then_linear,
    minimise,
    pair_fingerprint,
    seeded_generator,
    seeded_network,
)


class KilledError(Exception):
    """Stands for a kill between two steps."""


def train(path, iterations=25, rate=1e-2, progress=lambda *event: None, fingerprint="abc") -> nn.Module:
    """A small network on noisy draws, its weights kept above -0.2."""
    network = seeded_network(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 3)), 0, "test/weights")
    network.to(memory_format=torch.channels_last)  # a layout that a checkpoint does not keep
    groups = [
        {"params": list(part.parameters()), "lr": rate * share}
        for part, share in zip(network, (1, 0.5), strict=True)
    ]

    def loss(step: int) -> torch.Tensor:
        images = torch.randn(2, 3, 5, 5, generator=seeded_generator(0, f"test/step/{step}"))
        return (network(images) - 1).square().mean()

    @torch.no_grad()
    def constrain() -> None:
        for parameter in network.parameters():
            parameter.clamp_(min=-0.2)

    minimise(
        network,
        torch.optim.Adam(groups, fused=True, weight_decay=1e-3),
        loss,
        Schedule(
            "test", "network", iterations, Checkpoint(path, 6, fingerprint), constant_then_linear(10, 15)
        ),
        constrain,
        progress,
    )
    return network


def test_resumed_minimisation_equals_an_unbroken_one(tmp_path):
    path = tmp_path / "network.safetensors"

    def kill(phase, done, total, loss):
        if done == 20:
            raise KilledError

    with pytest.raises(KilledError):
        train(path, progress=kill)
    assert path.exists()
    seen = []
    resumed = train(path, progress=lambda phase, done, total, loss: seen.append(done))
    assert seen == [20, 25]  # from step 18 on
    unbroken = train(None)
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    again = train(path, progress=kill)  # finished: nothing is done again
    assert torch.equal(again[1].weight, unbroken[1].weight)


def test_loss_falls_and_constraints_hold():
    losses = []
    network = train(None, rate=0.1, progress=lambda phase, done, total, loss: losses.append(loss))
    assert losses[-1] < 0.5 * losses[0]
    assert min(float(p.detach().min()) for p in network.parameters()) >= -np.float32(0.2)


def test_checkpoint_of_another_training_is_refused(tmp_path):
    path = tmp_path / "network.safetensors"
    train(path, iterations=6)
    with pytest.raises(InputError, match="another configuration or observation"):
        train(path, fingerprint="other")


def test_diverged_minimisation_is_one_line():
    with pytest.raises(InputError, match=r"^test: the training of the network diverged at iteration \d+"):
        train(None, iterations=200, rate=1e30)


def test_learning_rate_is_constant_then_falls_to_zero():
    factor = constant_then_linear(1000, 9000)
    assert [factor(step) for step in (0, 1000, 5500, 10_000)] == [1, 1, 0.5, 0]
    assert constant_then_linear(10, 0)(9) == 1


def test_fingerprint_tells_images_responses_settings_and_seeds_apart(observation_of_landscape):
    pair = observation_of_landscape
    blurred = replace(pair, spatial_response=SpatialResponse.box(ratio=4))
    seen_otherwise = replace(pair, spectral_response=pair.spectral_response[::-1])
    digests = {
        pair_fingerprint([pair], {"a": 1}, 0),
        pair_fingerprint([pair], {"a": 1}, 1),
        pair_fingerprint([pair], {"a": 2}, 0),
        pair_fingerprint([pair] * 2, {"a": 1}, 0),
        pair_fingerprint([blurred], {"a": 1}, 0),
        pair_fingerprint([seen_otherwise], {"a": 1}, 0),
    }
    assert len(digests) == 6
    assert pair_fingerprint([pair], {"a": 1}, 0) in digests
