"""The images on which MIAE trains, common to the network and to the blind estimation of the responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pipeline.core.sensing.observation import Observation, ObservedScene


@dataclass(frozen=True)
class TrainingImages:
    """Parts of a scene, and how they become tensors.

    Attributes
    ----------
    scene : ObservedScene
        The scene, with the responses that the training uses.
    pool : sequence of Observation
        Parts of the scene that are trained on, with the same responses.
    scale : float
        Number by which both images are divided.
    device : torch.device
        Device of the tensors.
    """

    scene: ObservedScene
    pool: Sequence[Observation]
    scale: float
    device: torch.device
