"""Training of a noise-prediction network, resumable to the same result as an unbroken run.

Mean squared error of the noise, AdamW without weight decay, a learning rate falling linearly to 0, and an
exponential moving average of the weights. The draws of a step depend on the seed and the step's number alone,
so that a resumed training continues with the draws of an unbroken one. On a GPU a step is a CUDA graph, which
reads all batches from the same memory.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from pipeline.core.diffusion.schedules import noisy
from pipeline.core.sensing.observation import Progress
from pipeline.methods.device import on_device
from pipeline.methods.diffusion.captured import Captured
from pipeline.methods.optimisation import (
    PROGRESS_EVERY,
    Checkpoint,
    descend,
    load_training,
    require_finite,
    seeded_generator,
    seeded_network,
    tensors_under,
    training_tensors,
)

CPU = torch.device("cpu")
EMA_DECAY = 0.9999
HELD_OUT_EVERY = 100  # iterations between evaluations of the held-out loss
PATIENCE = 10  # evaluations without a better held-out loss that end the training
HELD_OUT_DRAWS = 8  # batches, at fixed noise, over which the held-out loss is averaged

Draw = Callable[[Generator], Tensor]
"""Function that draws a batch of training samples in [-1, 1]."""
Levels = Callable[[int, Generator], tuple[Tensor, Tensor]]
"""Function that draws noise levels for a number of samples: as the network reads them, and as ``abar``."""


@dataclass(frozen=True)
class Recipe:
    """Settings of the training of a network.

    Attributes
    ----------
    method : str
        Name of the method in errors.
    name : str
        Name of the network in the draws, in errors and in the progress.
    levels : callable
        Draws noise levels.
    iterations : int
        Number of steps.
    learning_rate : float
        Learning rate at the start; it falls linearly to 0.
    seed : int
        Seed of the initial weights and of all draws.
    device : torch.device
        Device of the training.
    bfloat16 : bool
        Whether the heavy layers compute in bfloat16.
    checkpoint : Checkpoint
        File and interval at which the state is saved.
    draws : torch.device
        Device of the random draws; `draw` and `levels` return tensors on it.
    warm_up : bool
        Whether the moving average of the weights forgets its random start: its decay then rises to
        `EMA_DECAY`, and otherwise is `EMA_DECAY` from the first step.
    """

    method: str
    name: str
    levels: Levels
    iterations: int
    learning_rate: float
    seed: int
    device: torch.device
    bfloat16: bool
    checkpoint: Checkpoint
    draws: torch.device = CPU
    warm_up: bool = True

    def decay(self, step: int) -> float:
        """Return the decay of the moving average in a step.

        Parameters
        ----------
        step : int
            Number of the step, counted from 1.
        """
        return min(EMA_DECAY, (1 + step) / (10 + step)) if self.warm_up else EMA_DECAY


def train(
    build: Callable[[], nn.Module], draw: Draw, held_out: Draw | None, recipe: Recipe, progress: Progress
) -> nn.Module:
    """Train a network and return the moving average of its weights.

    Parameters
    ----------
    build : callable
        Builds the network, which predicts the noise from noisy samples and their noise levels.
    draw : callable
        Draws a batch of training samples.
    held_out : callable or None
        Draws batches of samples that `draw` never draws; their loss may end the training early.
    recipe : Recipe
        Settings of the training.
    progress : callable
        Receives the number of finished steps and the loss.

    Returns
    -------
    nn.Module
        The network on the recipe's device, in evaluation mode, without gradients.
    """
    network = on_device(seeded_network(build, recipe.seed, f"{recipe.name}/weights"), recipe.device)
    average = deepcopy(network).requires_grad_(False)
    descent = Descent(network, recipe)
    run = _Run(network, average, descent.optimiser, recipe.checkpoint)
    step, best, since_best = run.resume()
    while step < recipe.iterations and since_best < PATIENCE:
        rate = recipe.learning_rate * (1 - step / recipe.iterations)
        loss = descent(drawn(draw, recipe, f"step/{step}"), rate)
        step += 1
        run.update_average(recipe.decay(step))
        if held_out is not None and step % HELD_OUT_EVERY == 0:
            now = held_out_loss(average, held_out, recipe)
            best, since_best = (now, 0) if now < best else (best, since_best + 1)
        saved = recipe.checkpoint.due(step, recipe.iterations)
        reported = step % PROGRESS_EVERY == 0 or step == recipe.iterations
        if saved or reported:
            require_finite(float(loss), step, recipe.method, f"{recipe.name} network")
        if saved:
            run.save(step, best, since_best)
        if reported:
            progress(recipe.name, step, recipe.iterations, float(loss))
    return average.eval()


class Batch(NamedTuple):
    """A batch of training samples.

    Attributes
    ----------
    clean, noise : (n, ...) tensor
        Samples in [-1, 1], and the noise that is added to them.
    level, share : (n, ...) tensor
        Noise levels: as the network reads them, and as ``abar``.
    """

    clean: Tensor
    noise: Tensor
    level: Tensor
    share: Tensor


class Descent:
    """Steps of AdamW without weight decay against the loss of batches.

    Parameters
    ----------
    network : nn.Module
        The network, changed in place.
    recipe : Recipe
        Settings of the training.

    Attributes
    ----------
    optimiser : Optimizer
        Its learning rate is a tensor on a GPU, where a captured step reads it.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        self.network, self.recipe = network, recipe
        on_gpu = recipe.device.type == "cuda"
        rate = torch.tensor(recipe.learning_rate, device=recipe.device) if on_gpu else recipe.learning_rate
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=rate, weight_decay=0.0, fused=True, capturable=on_gpu
        )
        self._batch: Batch | None = None
        self._step = Captured(self._descend, recipe.device)

    def __call__(self, batch: Batch, rate: float) -> Tensor:
        """Take a step and return the loss before it.

        Parameters
        ----------
        batch : Batch
            Training samples; all batches have the same shapes.
        rate : float
            Learning rate.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        if self._batch is None:
            self._batch = batch
        else:
            torch._foreach_copy_(list(self._batch), list(batch))
        return self._step()

    def _descend(self) -> Tensor:
        assert self._batch is not None
        return descend(self.optimiser, noise_loss(self.network, self._batch, self.recipe))


def drawn(draw: Draw, recipe: Recipe, purpose: str) -> Batch:
    """Draw a batch, on the network's device.

    Parameters
    ----------
    draw : callable
        Draws samples.
    recipe : Recipe
        Settings of the training.
    purpose : str
        Name of the draw.
    """
    generator = seeded_generator(recipe.seed, f"{recipe.name}/{purpose}", recipe.draws)
    clean = draw(generator)
    level, share = recipe.levels(len(clean), generator)
    noise = torch.randn(clean.shape, generator=generator, device=generator.device)
    return Batch(*(tensor.to(recipe.device) for tensor in (clean, noise, level, share)))


def noise_loss(network: nn.Module, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the mean squared error of the predicted noise on a batch.

    Parameters
    ----------
    network : nn.Module
        The network.
    batch : Batch
        Training samples.
    recipe : Recipe
        Settings of the training.
    """
    x = noisy(batch.clean, batch.noise, batch.share)
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(recipe.device.type, torch.bfloat16, enabled=recipe.bfloat16):
        predicted = network(x, batch.level)
    return (predicted.float() - batch.noise).square().mean()


@torch.no_grad()
def held_out_loss(network: nn.Module, draw: Draw, recipe: Recipe) -> float:
    """Return the loss on held-out samples, with the same draws each time.

    Parameters
    ----------
    network : nn.Module
        The network.
    draw : callable
        Draws a batch of held-out samples.
    recipe : Recipe
        Settings of the training.
    """
    batches = (drawn(draw, recipe, f"held_out/{i}") for i in range(HELD_OUT_DRAWS))
    losses = [noise_loss(network, batch, recipe) for batch in batches]
    return float(torch.stack(losses).mean())


@dataclass(frozen=True)
class _Run:
    """The state of a training that a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    checkpoint: Checkpoint

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the average towards the weights.

        Parameters
        ----------
        decay : float
            Weight of the average so far.
        """
        average, weights = self._parameters
        torch._foreach_lerp_(average, weights, 1 - decay)

    @cached_property
    def _parameters(self) -> tuple[list[Tensor], list[Tensor]]:
        return list(self.average.parameters()), list(self.network.parameters())

    def save(self, step: int, best: float, since_best: int) -> None:
        """Write network, optimiser, average, and the course of the held-out loss.

        Parameters
        ----------
        step : int
            Number of finished steps.
        best : float
            Best held-out loss.
        since_best : int
            Evaluations since then.
        """
        tensors = training_tensors(self.network, self.optimiser)
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors["held_out"] = torch.tensor([best, since_best], dtype=torch.float64)
        self.checkpoint.save(step, tensors)

    def resume(self) -> tuple[int, float, int]:
        """Load the checkpoint, if any; return the step, the best held-out loss and the evaluations since."""
        saved = self.checkpoint.load()
        if saved is None:
            return 0, inf, 0
        step, tensors = saved
        load_training(self.network, self.optimiser, tensors, step)
        self.average.load_state_dict(tensors_under("average.", tensors))
        best, since_best = tensors["held_out"].tolist()
        return step, best, int(since_best)
