"""The two observations of a window, against which a diffusion method compares its estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.nodata import filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.sensing.spatial import SpatialOperator
from pipeline.core.window import Window
from pipeline.methods.pool import lr_inside


@dataclass(frozen=True)
class Guidance:
    """The two observations of a window, scaled to [0, 1].

    Attributes
    ----------
    lr_hsi : (C, h, w) tensor
        The LR-HSI.
    hr_msi : (c, H, W) tensor
        The HR-MSI.
    spectral_response : (c, C) tensor
        R.
    operator : SpatialOperator
        H on tensors, from `support` to the LR-HSI.
    support : Window
        HR pixels on which the LR pixels depend, relative to the window.
    """

    lr_hsi: Tensor
    hr_msi: Tensor
    spectral_response: Tensor
    operator: SpatialOperator
    support: Window

    def residuals(self, coefficients: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``X - H(A E)`` and ``Y - A E R^T`` for A ``(d, H, W)`` and E ``(d, C)``.

        Uses ``H(A E) = H(A) E`` and ``(A E) R^T = A (E R^T)``.
        """
        low = self.operator.forward(coefficients[:, *self.support.slices])
        of_hsi = self.lr_hsi - torch.tensordot(basis.T, low, dims=1)
        of_msi = self.hr_msi - torch.tensordot(self.spectral_response @ basis.T, coefficients, dims=1)
        return of_hsi, of_msi


def guidance_of(
    scene: ObservedScene, part: Observation, window: Window, scale: float, device: torch.device
) -> Guidance | None:
    """Return the observations of a window, scaled to [0, 1].

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    part : Observation
        A part of the scene that contains the window.
    window : Window
        The window, in the scene's coordinates.
    scale : float
        Number by which both images are divided.
    device : torch.device
        Device of the tensors.

    Returns
    -------
    Guidance or None
        None if an image has no data in the window, or if no LR pixel depends on the window alone.
    """
    own = scene.window_of(part)
    aligned = part.padded_window(window.relative_to(own), 0)
    piece = part.crop(aligned)
    lr = lr_inside(scene, window)
    if min(lr.shape) < 1 or any(missing_pixels(np.asarray(image)).all() for image in piece.filled):
        return None
    filled = filled_observation(piece)
    corner = scene.window_of(piece)
    operator, support = scene.spatial_response.window_operator(scene.hr_shape, lr)

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(array, dtype=torch.float32, device=device)

    return Guidance(
        tensor(filled.lr_hsi[:, *lr.relative_to(scene.lr_window(corner)).slices] / scale),
        tensor(filled.hr_msi[:, *window.relative_to(corner).slices] / scale),
        tensor(scene.spectral_response),
        operator.to(device),
        support.relative_to(window),
    )
