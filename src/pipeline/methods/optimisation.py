"""Minimising a loss over a network's weights, resumable to the same result as an unbroken run.

Weights and Adam's moments are saved every so many steps. Each step's random draws depend on the seed
and the step's number alone, so that a resumed training repeats none of them. No loss is defined here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from pipeline.core.sensing.noise import derived_seed
from pipeline.core.sensing.observation import Observation, Progress, no_progress
from pipeline.errors import InputError
from pipeline.methods.base import State
from pipeline.methods.checkpoint import read_tensors, write_tensors

PROGRESS_EVERY = 10  # steps
MOMENTS = ("exp_avg", "exp_avg_sq")  # what Adam keeps of each parameter besides the number of steps

Network = TypeVar("Network", bound=nn.Module)
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often the state of a training is saved.

    Attributes
    ----------
    path : Path or None
        The file; without one nothing is saved or resumed.
    every : int
        Steps from one checkpoint to the next; the last step always is one.
    fingerprint : str
        Identifies observation, settings and seed; a file with another one is refused.
    """

    path: Path | None
    every: int
    fingerprint: str

    def due(self, step: int, last: int) -> bool:
        """Whether the state after `step` steps is to be saved."""
        return self.path is not None and (step % self.every == 0 or step == last)

    def save(self, step: int, tensors: Tensors) -> None:
        """Write the state; a kill leaves the previous one."""
        if self.path is not None:
            write_tensors(self.path, tensors, {"fingerprint": self.fingerprint, "step": str(step)})

    def load(self) -> tuple[int, Tensors] | None:
        """The steps done and the state, where one was saved."""
        if self.path is None or not self.path.exists():
            return None
        tensors, metadata = read_tensors(self.path)
        if metadata.get("fingerprint") != self.fingerprint:
            raise InputError(
                f"{self.path}: checkpoint of another configuration or observation "
                f"({metadata.get('fingerprint', 'unnamed')[:12]}, expected {self.fingerprint[:12]}); "
                "delete it to train anew"
            )
        return int(metadata["step"]), tensors


def minimise(
    network: nn.Module,
    optimiser: Optimizer,
    loss: Callable[[int], Tensor],
    iterations: int,
    *,
    method: str,
    phase: str,
    checkpoint: Checkpoint,
    learning_rate: Callable[[int], float] = lambda step: 1.0,
    after_step: Callable[[], None] = lambda: None,
    progress: Progress = no_progress,
) -> None:
    """Change a network's weights so as to make a loss small.

    Parameters
    ----------
    network : nn.Module
        Holds all parameters of the optimiser; changed in place.
    optimiser : torch.optim.Adam or AdamW
        Of any parameter groups.
    loss : callable
        The loss of a step, numbered from 0. Its random draws depend on that number alone: see
        `seeded_generator`.
    iterations : int
    method, phase : str
        Name the training in an error; `phase` also names it to `progress`.
    checkpoint : Checkpoint
    learning_rate : callable
        Factor on each parameter group's own learning rate at a step.
    after_step : callable
        Puts the weights back where their constraints hold; called after each step.
    progress : callable

    Raises
    ------
    InputError
        The loss is not finite, or the checkpoint is not of this training.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    done = 0
    if saved := checkpoint.load():
        done, tensors = saved
        load_training(network, optimiser, tensors, done)
    for step in range(done, iterations):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * learning_rate(step)
        value = descend(optimiser, loss(step))
        after_step()
        require_finite(value, step + 1, method, phase)
        if checkpoint.due(step + 1, iterations):
            checkpoint.save(step + 1, training_tensors(network, optimiser))
        if (step + 1) % PROGRESS_EVERY == 0 or step + 1 == iterations:
            progress(phase, step + 1, iterations, value)


def descend(optimiser: Optimizer, loss: Tensor) -> float:
    """Take one step against the loss's gradient; the loss before it."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def require_finite(loss: float, step: int, method: str, phase: str) -> None:
    """Refuse to go on with a training that diverged."""
    if not isfinite(loss):
        raise InputError(
            f"{method}: the training of the {phase} diverged at iteration {step} (loss {loss}); "
            "use a smaller learning rate"
        )


def constant_then_linear(constant: int, falling: int) -> Callable[[int], float]:
    """A learning rate's factor: 1 for `constant` steps, then linear to 0 over `falling` steps."""
    return lambda step: min(1.0, max(0.0, 1 - (step - constant) / max(falling, 1)))


def seeded_generator(seed: int, purpose: str) -> Generator:
    """A generator on the CPU for the draws of one purpose, such as ``network/step/17``."""
    return Generator().manual_seed(derived_seed(seed, purpose))


def seeded_network(build: Callable[[], Network], seed: int, purpose: str) -> Network:
    """A network whose initial weights depend on the seed and the purpose alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, purpose))
        return build()


def training_tensors(network: nn.Module, optimiser: Optimizer) -> Tensors:
    """What a training has come to: the network's state and Adam's moments of its parameters."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        if moments := optimiser.state.get(parameter):  # none for a parameter that had no gradient yet
            tensors |= {f"adam.{key}.{name}": moments[key] for key in MOMENTS}
    return tensors


@torch.no_grad()
def load_training(network: nn.Module, optimiser: Optimizer, tensors: Tensors, step: int) -> None:
    """Put back what `training_tensors` gave after `step` steps."""
    network.load_state_dict(tensors_under("network.", tensors))
    for name, parameter in network.named_parameters():
        if f"adam.{MOMENTS[0]}.{name}" not in tensors:
            continue
        state = {"step": torch.tensor(float(step), device=parameter.device)}
        for key in MOMENTS:  # the fused optimiser wants them in the parameter's layout
            state[key] = torch.empty_like(parameter).copy_(tensors[f"adam.{key}.{name}"])
        optimiser.state[parameter] = state


def tensors_under(prefix: str, tensors: Tensors) -> Tensors:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}


def weights_under(prefix: str, state: State) -> Tensors:
    """The weights that a fitted method's state holds under a prefix."""
    return tensors_under(prefix, {name: torch.from_numpy(array) for name, array in state.items()})


def pair_fingerprint(pool: Sequence[Observation], settings: dict[str, Any] | None, seed: int) -> str:
    """Digest of all that decides the weights: images, their responses, JSON-ready settings and seed.

    It keeps a checkpoint of one pair of images from being resumed on another. That of a whole step, code
    included, is in `steps/fitted.py`.
    """
    responses = pool[0].spatial_response.to_dict(), pool[0].spectral_response.tolist()
    digest = hashlib.sha256(json.dumps([responses, settings, seed]).encode())
    for part in pool:
        for image in (part.lr_hsi, part.hr_msi):
            digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def parameter_count(*networks: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for network in networks for p in network.parameters())
