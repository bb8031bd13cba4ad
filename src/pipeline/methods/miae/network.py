"""The network of MIAE: unfolded steps of an unmixing, pixel by pixel.

Liu et al., IEEE TGRS 2022 (arXiv 2110.11591): an encoder from a pixel's two spectra to its
abundances, and a decoder whose weights are the endmembers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from pipeline.core.sensing.resampling import Profile, response_rows
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse
from pipeline.core.window import Window

SLOPE = 0.2  # of the LeakyReLU for negative arguments


class Pixelwise(nn.Linear):
    """A 1x1 convolution of pixels ``(channels, n)``, with weights of variance 1 / inputs as published."""

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        deviation = 1 / sqrt(self.in_features)
        nn.init.trunc_normal_(self.weight, std=deviation)
        nn.init.zeros_(self.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map ``(in, n)`` to ``(out, n)``."""
        return torch.addmm(self.bias[:, None], self.weight, pixels)


class MiaeNetwork(nn.Module):
    """The network that maps an LR-HSI and an HR-MSI in [0, 1] to an HR-HSI in [0, 1].

    Parameters
    ----------
    hsi_bands, msi_bands : int
        Number of bands of each image, C and c.
    endmembers : int
        Number of endmembers, e, which is also the width of all layers.
    stages : int
        Number of successive estimates of the abundances.
    """

    def __init__(self, hsi_bands: int, msi_bands: int, endmembers: int, stages: int) -> None:
        super().__init__()
        e = endmembers
        self.of_hsi = nn.ModuleList([Pixelwise(hsi_bands, e), Pixelwise(e, e)])
        self.of_msi = Pixelwise(msi_bands, e)
        self.first = Pixelwise(2 * e, e)
        self.own = nn.ModuleList(Pixelwise(e, e) for _ in range(stages - 1))
        self.joint = nn.ModuleList(Pixelwise(3 * e, e) for _ in range(stages - 1))
        self.endmembers = nn.Parameter(torch.full((hsi_bands, e), 1 / e))

    def forward(self, lr_hsi: Tensor, upsample: Callable[[Tensor], Tensor], hr_msi: Tensor) -> Tensor:
        """Fuse pixels ``(C, n)``.

        The first layer is linear, so it commutes with the upsampling. It is applied to the LR-HSI, which has
        fewer pixels.

        Parameters
        ----------
        lr_hsi : (C, m)
            LR pixels.
        upsample : callable
            Interpolates ``(e, m)`` LR pixels to ``(e, n)`` HR pixels, with weights that sum to one.
        hr_msi : (c, n)
            HR pixels.
        """
        return (self.endmembers @ self.abundances(lr_hsi, upsample, hr_msi)).clamp(0, 1)

    def abundances(self, lr_hsi: Tensor, upsample: Callable[[Tensor], Tensor], hr_msi: Tensor) -> Tensor:
        """Return the abundances ``(e, n)``, in [0, 1]; see `forward` for the arguments."""
        hsi = leaky_relu(upsample(self.of_hsi[0](lr_hsi)), SLOPE)
        hsi = leaky_relu(self.of_hsi[1](hsi), SLOPE)
        msi = leaky_relu(self.of_msi(hr_msi), SLOPE)
        s = leaky_relu(self.first(torch.cat([hsi, msi])), SLOPE)
        for own, joint in zip(self.own, self.joint, strict=True):
            s = leaky_relu(own(s), SLOPE)
            s = leaky_relu(joint(torch.cat([s, hsi, msi])), SLOPE)
        return s.clamp(0, 1)

    @torch.no_grad()
    def constrain(self) -> None:
        """Clamp the endmembers to [0, 1]."""
        self.endmembers.clamp_(0, 1)


@dataclass(frozen=True)
class Patch:
    """A window of HR pixels, with the network's input for it.

    Attributes
    ----------
    lr_hsi : (C, a, b)
        The LR pixels from which the LR-HSI is upsampled.
    upsampling : SpatialOperator
        Bilinear interpolation from the LR pixels to the HR pixels of the patch.
    hr_msi : (c, height, width)
        The HR-MSI in the patch.
    """

    lr_hsi: Tensor
    upsampling: SpatialOperator
    hr_msi: Tensor


def fused_patches(network: MiaeNetwork, patches: Sequence[Patch]) -> list[Tensor]:
    """Fuse patches together and return the cube ``(C, height, width)`` of each."""
    lr_sizes = [patch.lr_hsi[0].numel() for patch in patches]
    shapes = [patch.hr_msi.shape[1:] for patch in patches]

    def upsample(features: Tensor) -> Tensor:
        planes = [
            patch.upsampling.forward(pixels.unflatten(1, patch.lr_hsi.shape[1:])).flatten(1)
            for patch, pixels in zip(patches, features.split(lr_sizes, dim=1), strict=True)
        ]
        return torch.cat(planes, dim=1)

    pixels = network(
        torch.cat([patch.lr_hsi.flatten(1) for patch in patches], dim=1),
        upsample,
        torch.cat([patch.hr_msi.flatten(1) for patch in patches], dim=1),
    )
    cubes = pixels.split([shape.numel() for shape in shapes], dim=1)
    return [cube.unflatten(1, shape) for cube, shape in zip(cubes, shapes, strict=True)]


def bilinear(
    lr_shape: tuple[int, int], response: SpatialResponse, window: Window
) -> tuple[SpatialOperator, Window]:
    """Return the bilinear interpolation from an LR image to a window of HR pixels, with symmetric borders.

    LR pixels are located at the centre of the response's PSF.

    Parameters
    ----------
    lr_shape : (int, int)
        Height and width of the LR image.
    response : SpatialResponse
        H, of which only ratio and shift are used.
    window : Window
        The HR pixels.

    Returns
    -------
    operator : SpatialOperator
        Interpolation from the LR window to the HR window.
    window : Window
        The LR pixels used.
    """
    (dy, dx), inverse = response.shift, 1 / response.ratio
    hat = Profile(_hat, 2.0)
    rows, top = response_rows(lr_shape[0], inverse, np.arange(window.y0, window.y1), hat, -dy)
    cols, left = response_rows(lr_shape[1], inverse, np.arange(window.x0, window.x1), hat, -dx)
    return SpatialOperator((rows,), (cols,)), Window(top, top + rows.shape[1], left, left + cols.shape[1])


def _hat(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0, 1 - np.abs(x))
