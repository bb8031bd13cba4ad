"""The loss of MIAE on patches of an observation, and the training of its network.

Liu et al., IEEE TGRS 2022: the fused patch, seen through both responses, against both images in L1.
A patch is some LR pixels and all the HR pixels that these see; nothing outside is needed.

The public code takes HR patches of a fixed size, cuts as many LR pixels off their borders as the PSF
reaches, and fills batches from a count that is zero for images below 512x256 pixels. Here a patch is
grown around the LR pixels that are compared, which is the same inside the image, compares the
image's own borders too, since H is known there, and holds at any ratio and size. The sums are over the
drawn patches, where the code scales them to the image's size: Adam's steps do not depend on that, but
for the weight decay, which matters little in either case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.nodata import coupled_pixels, filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.miae.network import MiaeNetwork, Patch, bilinear, fused_patches
from pipeline.methods.miae.settings import MiaeSettings
from pipeline.methods.optimisation import (
    Checkpoint,
    constant_then_linear,
    minimise,
    seeded_generator,
    seeded_network,
)
from pipeline.methods.pool import seeing_only

WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class TrainingPatch(Patch):
    """Some HR pixels, and what they are compared with once fused.

    Attributes
    ----------
    compared : (C, m, n)
        The LR pixels of the LR-HSI that are compared.
    operator : SpatialOperator
        H from the HR window `seen` to these.
    seen, core : Window
        In the patch: the HR pixels that these LR pixels see, and those under them, on which the
        HR-MSI is compared.
    lr_valid : (m, n)
        One where an LR pixel has data and sees nothing but HR pixels that have data, else zero.
    hr_valid : (height, width)
        One where an HR pixel has data, else zero.
    """

    compared: Tensor
    operator: SpatialOperator
    seen: Window
    core: Window
    lr_valid: Tensor
    hr_valid: Tensor


def patches_of(
    scene: ObservedScene, part: Observation, scale: float, side: int, device: torch.device
) -> list[TrainingPatch]:
    """Patches of `side` x `side` LR pixels that cover a part of the scene, fewer pixels at its end.

    LR pixels that see something outside the part are left out, and so are patches of which no LR pixel
    is valid.

    Parameters
    ----------
    scene : ObservedScene
    part : Observation
        Read from it.
    scale : float
        What both images are divided by.
    side : int
    device : torch.device
    """

    def tensor(image: NDArray[Any]) -> Tensor:
        return torch.as_tensor(image, dtype=torch.float32, device=device)

    filled = filled_observation(part)
    lr_hsi, hr_msi = tensor(filled.lr_hsi / scale), tensor(filled.hr_msi / scale)
    lr_valid, hr_valid = coupled_pixels(part), ~missing_pixels(part.hr_msi)
    ratio = part.spatial_response.ratio
    own = scene.window_of(part)
    inside = seeing_only(scene, own).relative_to(scene.lr_window(own))
    found = []
    for lr in inside.split(side):
        if not lr_valid[lr.slices].any():
            continue
        operator, seen = part.spatial_response.window_operator(part.hr_shape, lr)
        core = _under(lr, ratio)
        patch = core.union(seen)
        upsampling, around = bilinear(part.lr_shape, part.spatial_response, patch)
        found.append(
            TrainingPatch(
                lr_hsi[:, *around.slices],
                upsampling.to(device),
                hr_msi[:, *patch.slices],
                lr_hsi[:, *lr.slices],
                operator.to(device),
                seen.relative_to(patch),
                core.relative_to(patch),
                tensor(lr_valid[lr.slices]),
                tensor(hr_valid[patch.slices]),
            )
        )
    return found


def _under(lr: Window, ratio: Fraction) -> Window:
    """The HR pixels under LR pixels, each under one of two neighbours."""
    return Window(*(round(bound * ratio) for bound in (lr.y0, lr.y1, lr.x0, lr.x1)))


def data_terms(cube: Tensor, patch: TrainingPatch, spectral_response: Tensor) -> Tensor:
    """L1 distance of a fused patch, seen through H and R, from the valid pixels of both images."""
    lr_hsi = patch.operator.forward(cube[:, *patch.seen.slices])
    hr_msi = torch.tensordot(spectral_response, cube[:, *patch.core.slices], dims=1)
    of_hsi = ((lr_hsi - patch.compared).abs() * patch.lr_valid).sum()
    of_msi = (hr_msi - patch.hr_msi[:, *patch.core.slices]).abs() * patch.hr_valid[patch.core.slices]
    return of_hsi + of_msi.sum()


def train(
    scene: ObservedScene,
    pool: Sequence[Observation],
    scale: float,
    settings: MiaeSettings,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    progress: Progress,
) -> MiaeNetwork:
    """Train a network on windows of a scene, all of them at a time where there are few pixels.

    Parameters
    ----------
    scene : ObservedScene
        With the responses that the training is to use.
    pool : sequence of Observation
        Parts of the scene.
    scale : float
        What both images are divided by.
    settings : MiaeSettings
    seed : int
    device : torch.device
    checkpoint : Checkpoint
    progress : callable

    Raises
    ------
    InputError
        The response reaches too far for the windows of a large scene, no LR pixel is valid, or the loss
        is not finite.
    """
    budget = settings.training
    small = len(pool) == 1 and pool[0].lr_hsi[0].size <= budget.batch * budget.patch**2
    side = max(scene.lr_shape) if small else budget.patch
    patches = [patch for part in pool for patch in patches_of(scene, part, scale, side, device)]
    if not patches:
        raise InputError(
            "miae: no LR pixel of the windows to train on sees them alone and has data itself and in all HR "
            "pixels that it sees; crop the scene to where both images have data, or use a narrower PSF"
        )
    response = torch.as_tensor(scene.spectral_response, dtype=torch.float32, device=device)
    network = seeded_network(
        lambda: MiaeNetwork(scene.bands, len(response), settings.endmembers, settings.stages),
        seed,
        "miae/weights",
    ).to(device)

    def loss(step: int) -> Tensor:
        order = torch.randperm(len(patches), generator=seeded_generator(seed, f"miae/step/{step}"))
        drawn = [patches[i] for i in order[: budget.batch].tolist()]
        cubes = fused_patches(network, drawn)
        terms = [data_terms(cube, patch, response) for cube, patch in zip(cubes, drawn, strict=True)]
        return torch.stack(terms).sum()

    minimise(
        network,
        torch.optim.Adam(
            network.parameters(), lr=budget.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
        ),
        loss,
        budget.constant_iterations + budget.falling_iterations,
        method="miae",
        phase="network",
        checkpoint=checkpoint,
        learning_rate=constant_then_linear(budget.constant_iterations, budget.falling_iterations),
        after_step=network.constrain,
        progress=progress,
    )
    return network.requires_grad_(False).eval()
