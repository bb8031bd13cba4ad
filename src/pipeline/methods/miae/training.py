"""The loss of MIAE on patches of an observation, and the training of its network.

Liu et al., IEEE TGRS 2022: the L1 distance of the fused patch, degraded by both responses, from both images.
A patch is a window of LR pixels and all HR pixels on which they depend, so that nothing outside is needed.

The public code takes HR patches of a fixed size, cuts off as many LR pixels at their borders as the PSF
reaches, and fills batches from a count that is zero for images below 512x256 pixels. Here a patch grows
around the LR pixels that are compared. Inside the image that is the same; it also compares the image's own
borders, where H is known, and works at any ratio and size. The loss sums over the drawn patches, where the
code scales the sum to the image's size: Adam's steps do not depend on that, except for the weight decay,
which matters little in either case.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from pipeline.core.sensing.nodata import coupled_pixels, filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation, Progress
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.methods.miae.images import TrainingImages
from pipeline.methods.miae.network import MiaeNetwork, Patch, bilinear, fused_patches
from pipeline.methods.miae.settings import MiaeBudget, MiaeSettings
from pipeline.methods.optimisation import (
    Checkpoint,
    Schedule,
    constant_then_linear,
    minimise,
    seeded_generator,
    seeded_network,
)
from pipeline.methods.pool import lr_inside

WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class TrainingPatch(Patch):
    """HR pixels to fuse, and the values with which they are compared.

    Attributes
    ----------
    compared : (C, m, n)
        The LR pixels of the LR-HSI.
    operator : SpatialOperator
        H from the HR window `support` to these LR pixels.
    support : Window
        HR pixels on which the LR pixels depend, relative to the patch.
    core : Window
        HR pixels that the LR pixels cover, on which the HR-MSI is compared; relative to the patch.
    lr_valid : (m, n)
        1 where an LR pixel has data and depends only on HR pixels with data, else 0.
    hr_valid : (height, width)
        1 where an HR pixel has data, else 0.
    """

    compared: Tensor
    operator: SpatialOperator
    support: Window
    core: Window
    lr_valid: Tensor
    hr_valid: Tensor


def patches_of(images: TrainingImages, part: Observation, side: int) -> list[TrainingPatch]:
    """Return patches that cover a part of the scene.

    LR pixels that depend on something outside the part are left out, and so are patches without a valid
    LR pixel.

    Parameters
    ----------
    images : TrainingImages
        The scene, the scale of the images and the device of the patches.
    part : Observation
        The part of the scene.
    side : int
        Side of a patch in LR pixels; patches at the lower and right end may be smaller.
    """
    scene, ratio = images.scene, part.spatial_response.ratio
    own = scene.window_of(part)
    inside = lr_inside(scene, own).relative_to(scene.lr_window(own))
    arrays = _PartTensors.of(part, images)
    windows = [lr for lr in inside.split(side) if arrays.lr_valid[lr.slices].any()]
    return [_patch(part, lr, ratio, arrays) for lr in windows]


@dataclass(frozen=True)
class _PartTensors:
    """The images of a part, without no-data and divided by the scale, and the masks of valid pixels."""

    lr_hsi: Tensor
    hr_msi: Tensor
    lr_valid: Tensor
    hr_valid: Tensor

    @classmethod
    def of(cls, part: Observation, images: TrainingImages) -> _PartTensors:
        """Form the tensors of a part."""
        filled = filled_observation(part)
        arrays = (
            filled.lr_hsi / images.scale,
            filled.hr_msi / images.scale,
            coupled_pixels(part),
            ~missing_pixels(part.hr_msi),
        )
        return cls(*(torch.as_tensor(a, dtype=torch.float32, device=images.device) for a in arrays))


def _patch(part: Observation, lr: Window, ratio: Fraction, arrays: _PartTensors) -> TrainingPatch:
    """Grow the patch around a window of LR pixels: all HR pixels on which they depend or that they cover."""
    operator, support = part.spatial_response.window_operator(part.hr_shape, lr)
    core = _under(lr, ratio)
    patch = core.union(support)
    upsampling, around = bilinear(part.lr_shape, part.spatial_response, patch)
    device = arrays.lr_hsi.device
    return TrainingPatch(
        arrays.lr_hsi[:, *around.slices],
        upsampling.to(device),
        arrays.hr_msi[:, *patch.slices],
        arrays.lr_hsi[:, *lr.slices],
        operator.to(device),
        support.relative_to(patch),
        core.relative_to(patch),
        arrays.lr_valid[lr.slices],
        arrays.hr_valid[patch.slices],
    )


def _under(lr: Window, ratio: Fraction) -> Window:
    """Return the HR window under an LR window; adjacent LR windows share no HR pixel."""
    return Window(*(round(bound * ratio) for bound in (lr.y0, lr.y1, lr.x0, lr.x1)))


def data_terms(cube: Tensor, patch: TrainingPatch, spectral_response: Tensor) -> Tensor:
    """Return the L1 distance of a degraded fused patch from the valid pixels of both images.

    Parameters
    ----------
    cube : (C, height, width)
        The fused patch.
    patch : TrainingPatch
        The values with which it is compared.
    spectral_response : (c, C)
        R.
    """
    lr_hsi = patch.operator.forward(cube[:, *patch.support.slices])
    hr_msi = torch.tensordot(spectral_response, cube[:, *patch.core.slices], dims=1)
    of_hsi = ((lr_hsi - patch.compared).abs() * patch.lr_valid).sum()
    of_msi = (hr_msi - patch.hr_msi[:, *patch.core.slices]).abs() * patch.hr_valid[patch.core.slices]
    return of_hsi + of_msi.sum()


def train(
    images: TrainingImages,
    settings: MiaeSettings,
    seed: int,
    checkpoint: Checkpoint,
    progress: Progress,
) -> MiaeNetwork:
    """Train a network on a scene; a small scene is a single patch, whole in each step.

    Parameters
    ----------
    images : TrainingImages
        The parts to train on.
    settings : MiaeSettings
        Size of the network, and the budget.
    seed : int
        Seed of the initial weights and of the patches drawn.
    checkpoint : Checkpoint
        File of an unfinished training.
    progress : callable
        Receives the number of finished steps and the loss.

    Raises
    ------
    InputError
        The response reaches too far for the windows of a large scene, no LR pixel is valid, or the loss
        is not finite.
    """
    budget = settings.training
    patches = training_patches(images, budget)
    scene = images.scene
    response = torch.as_tensor(scene.spectral_response, dtype=torch.float32, device=images.device)
    network = seeded_network(
        lambda: MiaeNetwork(scene.bands, len(response), settings.endmembers, settings.stages),
        seed,
        "miae/weights",
    ).to(images.device)

    def loss(step: int) -> Tensor:
        order = torch.randperm(len(patches), generator=seeded_generator(seed, f"miae/step/{step}"))
        drawn = [patches[i] for i in order[: budget.batch].tolist()]
        cubes = fused_patches(network, drawn)
        terms = [data_terms(cube, patch, response) for cube, patch in zip(cubes, drawn, strict=True)]
        return torch.stack(terms).sum()

    optimiser = torch.optim.Adam(
        network.parameters(), lr=budget.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
    )
    steps = budget.constant_iterations + budget.falling_iterations
    factor = constant_then_linear(budget.constant_iterations, budget.falling_iterations)
    schedule = Schedule("miae", "network", steps, checkpoint, factor)
    minimise(network, optimiser, loss, schedule, network.constrain, progress)
    return network.requires_grad_(False).eval()


def training_patches(images: TrainingImages, budget: MiaeBudget) -> list[TrainingPatch]:
    """Return the patches of all parts; a scene of few pixels is a single patch.

    Parameters
    ----------
    images : TrainingImages
        The parts to train on.
    budget : MiaeBudget
        Side of a patch and number of patches in a step.

    Raises
    ------
    InputError
        No LR pixel is valid.
    """
    pool = images.pool
    small = len(pool) == 1 and pool[0].lr_hsi[0].size <= budget.batch * budget.patch**2
    side = max(images.scene.lr_shape) if small else budget.patch
    patches = [patch for part in pool for patch in patches_of(images, part, side)]
    if not patches:
        raise InputError(
            "miae: no LR pixel depends only on HR pixels inside the training windows and has data together "
            "with all these HR pixels; crop the scene to where both images have data, or use a narrower PSF"
        )
    return patches
