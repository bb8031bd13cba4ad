"""Training loop of the networks, resumable to the same result as an unbroken run.

Weights and Adam's moments are saved at regular intervals. The random draws of a step depend on the seed and
the step's number alone, so that a resumed training continues with the draws of an unbroken one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, isfinite, pi
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
from pipeline.methods.checkpoint import read_arrays, write_arrays

PROGRESS_EVERY = 10  # steps; the loss is looked at in these alone, since that waits for a GPU
MOMENTS = ("exp_avg", "exp_avg_sq")  # what Adam keeps of each parameter besides its number of steps

Network = TypeVar("Network", bound=nn.Module)
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """File and interval at which the state of a training is saved.

    Attributes
    ----------
    path : Path or None
        The file; without it nothing is saved or resumed.
    every : int
        Steps from one checkpoint to the next; the last step always is one.
    fingerprint : str
        Digest of observation, settings and seed; a file with another fingerprint is refused.
    """

    path: Path | None
    every: int
    fingerprint: str

    def due(self, step: int, last: int) -> bool:
        """Tell whether the state is to be saved.

        Parameters
        ----------
        step : int
            Number of finished steps.
        last : int
            Number of steps of the whole training.
        """
        return self.path is not None and (step % self.every == 0 or step == last)

    def save(self, step: int, tensors: Tensors) -> None:
        """Write the state; a kill leaves the previous one.

        Parameters
        ----------
        step : int
            Number of finished steps.
        tensors : dict of Tensor
            State, such as from `training_tensors`.
        """
        if self.path is not None:
            arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
            write_arrays(self.path, arrays, {"fingerprint": self.fingerprint, "step": str(step)})

    def load(self) -> tuple[int, Tensors] | None:
        """Return the number of finished steps and the state; None if nothing was saved.

        Raises
        ------
        InputError
            The file belongs to another training.
        """
        if self.path is None or not self.path.exists():
            return None
        arrays, metadata = read_arrays(self.path)
        if metadata.get("fingerprint") != self.fingerprint:
            raise InputError(
                f"{self.path}: checkpoint of another configuration or observation "
                f"({metadata.get('fingerprint', 'unnamed')[:12]}, expected {self.fingerprint[:12]}); "
                "delete it to train anew"
            )
        return int(metadata["step"]), {name: torch.from_numpy(array) for name, array in arrays.items()}


def constant_rate(step: int) -> float:
    """Return 1, the factor of a constant learning rate.

    Parameters
    ----------
    step : int
        Number of the step.
    """
    return 1.0


@dataclass(frozen=True)
class Schedule:
    """Name, length and learning rate of a training.

    Attributes
    ----------
    method : str
        Name of the method in errors.
    phase : str
        Name of the trained model or quantity, in errors and for `progress`.
    iterations : int
        Number of steps.
    checkpoint : Checkpoint
        File and interval at which the state is saved.
    factor : callable
        From a step's number, counted from 0, to the factor on the learning rate of each parameter group.
    """

    method: str
    phase: str
    iterations: int
    checkpoint: Checkpoint
    factor: Callable[[int], float] = constant_rate


def minimise(
    network: nn.Module,
    optimiser: Optimizer,
    loss: Callable[[int], Tensor],
    schedule: Schedule,
    after_step: Callable[[], None] = lambda: None,
    progress: Progress = no_progress,
) -> None:
    """Train a network in place, from its checkpoint if there is one.

    Parameters
    ----------
    network : nn.Module
        Holds all parameters of the optimiser.
    optimiser : torch.optim.Adam or AdamW
        With any parameter groups.
    loss : callable
        Returns the loss of a step, given its number from 0. Its random draws depend on that number alone: see
        `seeded_generator`.
    schedule : Schedule
        Name, length and learning rate.
    after_step : callable
        Called after each step; projects the weights onto their constraints.
    progress : callable
        Receives the phase, the number of finished steps, the number of all steps and the loss.

    Raises
    ------
    InputError
        The loss is not finite, or the checkpoint belongs to another training.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    last, finished = schedule.iterations, _resume(network, optimiser, schedule.checkpoint)
    for step in range(finished, last):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * schedule.factor(step)
        value = descend(optimiser, loss(step))
        after_step()
        saved = schedule.checkpoint.due(step + 1, last)
        reported = (step + 1) % PROGRESS_EVERY == 0 or step + 1 == last
        if saved or reported:
            require_finite(float(value), step + 1, schedule.method, schedule.phase)
        if saved:
            schedule.checkpoint.save(step + 1, training_tensors(network, optimiser))
        if reported:
            progress(schedule.phase, step + 1, last, float(value))


def _resume(network: nn.Module, optimiser: Optimizer, checkpoint: Checkpoint) -> int:
    """Load the state of the checkpoint, if there is one, and return the number of finished steps."""
    saved = checkpoint.load()
    if saved is None:
        return 0
    finished, tensors = saved
    load_training(network, optimiser, tensors, finished)
    return finished


def descend(optimiser: Optimizer, loss: Tensor) -> Tensor:
    """Take a step against the gradient of the loss and return the loss before it, without waiting for it."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.detach()


def require_finite(loss: float, step: int, method: str, phase: str) -> None:
    """Refuse to continue a training that diverged.

    Parameters
    ----------
    loss : float
        The loss of the step.
    step : int
        Number of the step, counted from 1.
    method, phase : str
        Names of the method and of the trained model or quantity.

    Raises
    ------
    InputError
        The loss is not finite.
    """
    if not isfinite(loss):
        raise InputError(
            f"{method}: the training of the {phase} diverged at iteration {step} (loss {loss}); "
            "use a smaller learning rate"
        )


def constant_then_linear(constant: int, falling: int) -> Callable[[int], float]:
    """Return a learning rate's factor that is constant and then falls linearly to 0.

    Parameters
    ----------
    constant : int
        Number of steps with factor 1.
    falling : int
        Number of steps over which the factor falls.
    """
    return lambda step: min(1.0, max(0.0, 1 - (step - constant) / max(falling, 1)))


def falling_cosine(steps: int) -> Callable[[int], float]:
    """Return a learning rate's factor that falls from 1 to 0 as half a cosine.

    Parameters
    ----------
    steps : int
        Number of steps over which the factor falls.
    """
    return lambda step: (1 + cos(pi * step / steps)) / 2


def seeded_generator(seed: int, purpose: str, device: torch.device | None = None) -> Generator:
    """Return a generator for draws that depend on a seed, a purpose and the kind of device alone.

    Parameters
    ----------
    seed : int
        Seed of the run.
    purpose : str
        Name of the draws, such as ``network/step/17``.
    device : torch.device, optional
        Device on which is drawn; default: the CPU.
    """
    return Generator(device or "cpu").manual_seed(derived_seed(seed, purpose))


def seeded_network(build: Callable[[], Network], seed: int, purpose: str) -> Network:
    """Build a network whose initial weights depend on a seed and a purpose alone.

    Parameters
    ----------
    build : callable
        Builds the network.
    seed : int
        Seed of the run.
    purpose : str
        Name of the draws.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, purpose))
        return build()


def training_tensors(network: nn.Module, optimiser: Optimizer) -> Tensors:
    """Return the state of a training: the network's state and Adam's moments of its parameters."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        if moments := optimiser.state.get(parameter):  # none for a parameter that had no gradient yet
            tensors |= {f"adam.{key}.{name}": moments[key] for key in ("step", *MOMENTS)}
    return tensors


@torch.no_grad()
def load_training(network: nn.Module, optimiser: Optimizer, tensors: Tensors, step: int) -> None:
    """Load the state of a training.

    Parameters
    ----------
    network : nn.Module
        Changed in place.
    optimiser : Optimizer
        Changed in place.
    tensors : dict of Tensor
        State, from `training_tensors`.
    step : int
        Number of finished steps; a parameter that had its first gradient later has its own in the state.
    """
    network.load_state_dict(tensors_under("network.", tensors))
    for name, parameter in network.named_parameters():
        if f"adam.{MOMENTS[0]}.{name}" not in tensors:
            continue
        steps = tensors.get(f"adam.step.{name}", torch.tensor(float(step)))
        state = {"step": steps.clone().to(parameter.device)}
        for key in MOMENTS:  # the fused optimiser wants them in the parameter's layout
            state[key] = torch.empty_like(parameter).copy_(tensors[f"adam.{key}.{name}"])
        optimiser.state[parameter] = state


def tensors_under(prefix: str, tensors: Tensors) -> Tensors:
    """Return the tensors whose names begin with a prefix, under their names without it."""
    return {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}


def weights_under(prefix: str, state: State) -> Tensors:
    """Return the weights that a fitted method's state holds under a prefix, as tensors."""
    return tensors_under(prefix, {name: torch.from_numpy(array) for name, array in state.items()})


def pair_fingerprint(pool: Sequence[Observation], settings: dict[str, Any] | None, seed: int) -> str:
    """Return the digest of everything that determines the weights: images, responses, settings and seed.

    It keeps the checkpoint of a pair of images from being resumed on another pair. The code is not included:
    `runs.fitted_store` has the fingerprint of a finished training.

    Parameters
    ----------
    pool : sequence of Observation
        Parts of the scene that are trained on.
    settings : dict or None
        JSON-ready settings that determine the weights.
    seed : int
        Seed of the run.
    """
    responses = pool[0].spatial_response.to_dict(), pool[0].spectral_response.tolist()
    digest = hashlib.sha256(json.dumps([responses, settings, seed]).encode())
    for part in pool:
        for image in (part.lr_hsi, part.hr_msi):
            digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def parameter_count(*networks: nn.Module) -> int:
    """Return the number of trained parameters of networks."""
    return sum(p.numel() for network in networks for p in network.parameters())
