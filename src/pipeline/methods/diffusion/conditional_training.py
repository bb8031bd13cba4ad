"""Training of a conditional diffusion model on examples, resumable to the same result as an unbroken run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.core.diffusion.sr3 import ALONE
from pipeline.core.sensing.observation import ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.methods.base import State
from pipeline.methods.device import bfloat16_on, reproducible, resolve_device
from pipeline.methods.diffusion.conditional import FittedConditional, Learned, Model
from pipeline.methods.diffusion.examples import Crops, Example, Sample
from pipeline.methods.diffusion.pair_examples import examples_below
from pipeline.methods.diffusion.patches import halo_lr
from pipeline.methods.optimisation import (
    Checkpoint,
    Schedule,
    minimise,
    seeded_generator,
    seeded_network,
)
from pipeline.methods.pool import unit_scale

SHARED_SEED = 0
"""Seed of a training on other scenes: it serves all scenes and noise seeds of an experiment."""


class ConditionalMethod:
    """A method that trains a conditional diffusion model and draws from it.

    Parameters
    ----------
    model : Model
        The model.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.settings = model, model.settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the halo around a patch, in LR pixels."""
        return halo_lr(response, self.settings.stride)

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedConditional:
        """Train on the pair itself, one Wald level down."""
        scale = unit_scale(scene)
        examples = examples_below(scene, scale, seed, self.model.name)
        weights, bfloat16 = self._trained(examples, seed, checkpoint, progress)
        return self._settled(scene, seed, Learned(weights, scale, bfloat16, []), progress)

    def fit_on(
        self,
        scene: ObservedScene,
        examples: Sequence[Example],
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedConditional:
        """Train on examples.

        Parameters
        ----------
        scene : ObservedScene
            The scene to fuse.
        examples : sequence of Example
            Images with their references.
        seed : int
            Seed of all random draws; a training on other scenes uses the same for all.
        checkpoint : Path, optional
            Folder in which the training saves its state and from which it resumes.
        progress : callable
            Receives each step.
        """
        training_seed = SHARED_SEED if self.settings.training_scenes else seed
        weights, bfloat16 = self._trained(examples, training_seed, checkpoint, progress)
        return self._settled(scene, seed, Learned(weights, unit_scale(scene), bfloat16, []), progress)

    def fit_trained(
        self, scene: ObservedScene, state: State, seed: int = 0, progress: Progress = no_progress
    ) -> FittedConditional:
        """Fit with the network of a fitted method that has the same `training_part`."""
        learned = FittedConditional.learned_in(state)._replace(scale=unit_scale(scene), records=[])
        return self._settled(scene, seed, learned, progress)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedConditional:
        """Load the network's weights, the scale and the statistics of a large scene."""
        return self._fitted(scene, seed, FittedConditional.learned_in(state))

    def _settled(
        self, scene: ObservedScene, seed: int, learned: Learned, progress: Progress
    ) -> FittedConditional:
        """Return the fitted method, after the recorded draw of a scene that is larger than a patch."""
        return self._fitted(scene, seed, learned).settled(seed, progress)

    def _fitted(self, scene: ObservedScene, seed: int, learned: Learned) -> FittedConditional:
        return FittedConditional(scene, self.model, seed, learned)

    def _trained(
        self, examples: Sequence[Example], seed: int, checkpoint: Path | None, progress: Progress
    ) -> tuple[dict[str, torch.Tensor], bool]:
        """Return the trained weights, and whether heavy layers compute in bfloat16."""
        name, settings = self.model.name, self.settings
        device = resolve_device(settings.device)
        bfloat16 = bfloat16_on(device, settings.precision)
        first = examples[0].scene
        sizes = first.bands, first.hr_msi.shape[0], first.spatial_response.ratio
        with reproducible(device, settings.threads):
            training = self.model.budget
            crops = Crops(examples, training.crop, training.batch, seed, name)

            def started() -> torch.nn.Module:
                network = self.model.network(*sizes, ALONE)
                self.model.start(network, crops.draw(0))
                return network

            network = seeded_network(started, seed, f"{name}/weights")
            network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            optimiser = self.model.optimiser(network)

            def loss(step: int) -> torch.Tensor:
                sample = Sample(*(image.to(device) for image in crops.draw(step)))
                generator = seeded_generator(seed, f"{name}/step/{step}")
                with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                    return self.model.loss(network, sample, step, generator)

            saved = Checkpoint(
                checkpoint / f"{name}.safetensors" if checkpoint else None,
                settings.checkpoint_every,
                crops.fingerprint(settings.training_part()),
            )
            schedule = Schedule(name, "network", training.iterations, saved, training.factor)
            minimise(network, optimiser, loss, schedule, progress=progress)
        return {key: value.detach().cpu() for key, value in network.state_dict().items()}, bfloat16
