"""The observations of a window, less the residual that the base bands do not explain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.nodata import filled_observation
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.spatial import upsample
from pipeline.core.subspace.base_bands import base_bands, descended_residual, stable_rate
from pipeline.core.window import Window
from pipeline.methods.diffusion.guidance import Guidance, guidance_of
from pipeline.methods.diffusion.low_rank_model import LowRankModel


@dataclass(frozen=True)
class Piece:
    """Observations of a window, and the residual of its cube.

    Attributes
    ----------
    guidance : Guidance
        Both observations, less what the residual gives in them.
    residual : (C, H, W) tensor
        Res, or a scalar 0.
    """

    guidance: Guidance
    residual: Tensor


def piece_of(
    scene: ObservedScene,
    part: Observation,
    window: Window,
    model: LowRankModel,
    kind: Literal["optimised", "interpolated", "none"],
    device: torch.device,
) -> Piece | None:
    """Return the observations of a window less its residual; None where `guidance_of` returns None.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    part : Observation
        A part of the scene that contains the window.
    window : Window
        The window, in the scene's coordinates.
    model : Mixture
        Scale and mixing matrix.
    kind : str
        How the residual of the LR-HSI is brought to the HR pixels.
    device : torch.device
        Device of the tensors.
    """
    guidance = guidance_of(scene, part, window, model.scale, device)
    if guidance is None:
        return None
    if kind == "none":
        return Piece(guidance, torch.zeros((), device=device))
    aligned = part.padded_window(window.relative_to(scene.window_of(part)), 0)
    piece = filled_observation(part.crop(aligned))
    unexplained = unexplained_by(piece.lr_hsi / np.float32(model.scale), model.mixing)
    start = upsample(unexplained, piece.hr_shape, scene.spatial_response.shift)
    residual = torch.as_tensor(
        start[:, *window.relative_to(scene.window_of(piece)).slices], dtype=torch.float32, device=device
    )
    if kind == "optimised":
        target = torch.from_numpy(unexplained_by(guidance.lr_hsi.cpu().numpy(), model.mixing)).to(device)
        rate = stable_rate(scene.spatial_response)
        residual = descended_residual(residual, target, guidance.operator, guidance.support, rate)
    return Piece(less(guidance, residual), residual)


def unexplained_by(lr_hsi: NDArray[np.float32], mixing: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``X - E B`` ``(C, h, w)``.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        X.
    mixing : (r, C)
        E.
    """
    base = lr_hsi[base_bands(len(lr_hsi), len(mixing))]
    return lr_hsi - np.tensordot(mixing.T, base, axes=1)


def less(guidance: Guidance, cube: Tensor) -> Guidance:
    """Return observations less what a cube ``(C, H, W)`` gives in them."""
    low = guidance.operator.forward(cube[:, *guidance.support.slices])
    high = torch.tensordot(guidance.spectral_response, cube, dims=1)
    return replace(guidance, lr_hsi=guidance.lr_hsi - low, hr_msi=guidance.hr_msi - high)
