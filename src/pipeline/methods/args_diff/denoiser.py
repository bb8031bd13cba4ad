"""A small denoiser of single planes, trained on the HR-MSI for every noise level: the prior of `fast`.

In units in which differences of neighbouring pixels are white, planes of coefficients and of the HR-MSI look
alike up to their size, whatever the bands: differences of the coefficients are white between LR pixels, those
of the HR-MSI between HR pixels. The network is trained on random combinations of the HR-MSI's bands of equal
size. It has no bias and takes the noise level as a second plane (Zhang et al. 2022, "Plug-and-play image
restoration with deep denoiser prior"), so that twice the plane at twice the noise gives twice the result. The
local mean over `LOCAL` pixels bypasses the network, so that the level of a plane does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.nn import functional

from pipeline.core.sensing.nodata import fill_nearest
from pipeline.core.sensing.observation import Observation
from pipeline.core.solvers.graph_prior import FLOOR, MOST_EDGES, t_shape

LOWEST, HIGHEST = 0.1, 3.0  # noise levels of the training
LOCAL = 17  # side in pixels of the squares whose mean bypasses the network


class Denoiser(nn.Module):
    """Residual blocks on two scales, without bias or norm.

    Parameters
    ----------
    width : int
        Number of channels of the finer scale; the coarser scale has twice as many.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inlet = nn.Conv2d(2, width, 3, padding=1, bias=False)
        self.fine = nn.Sequential(Residual(width), Residual(width))
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2, bias=False)
        self.coarse = nn.Sequential(Residual(2 * width), Residual(2 * width))
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2, bias=False)
        self.joined = nn.Sequential(Residual(width), Residual(width))
        self.outlet = nn.Conv2d(width, 1, 3, padding=1, bias=False)
        nn.init.zeros_(self.outlet.weight)

    def forward(self, planes: Tensor, sigma: Tensor) -> Tensor:
        """Predict the noise in planes ``(n, 1, H, W)`` whose noise has standard deviations ``(n,)``."""
        height, width = planes.shape[-2:]
        detail = functional.pad(planes - local_mean(planes), (0, width % 2, 0, height % 2), mode="replicate")
        level = sigma.view(-1, 1, 1, 1).expand_as(detail)
        x = torch.cat([detail, level], dim=1).contiguous(memory_format=torch.channels_last)
        fine = self.fine(self.inlet(x))
        x = self.joined(fine + self.up(self.coarse(self.down(fine))))
        return self.outlet(x)[..., :height, :width]


class Residual(nn.Module):
    """Two convolutions beside the identity.

    Parameters
    ----------
    width : int
        Number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Update an image ``(n, width, H, W)``."""
        return x + self.second(functional.relu(self.first(x)))


def local_mean(planes: Tensor) -> Tensor:
    """Return the mean of `LOCAL` x `LOCAL` pixels around each pixel; fewer at the borders."""
    return functional.avg_pool2d(planes, LOCAL, stride=1, padding=LOCAL // 2, count_include_pad=False)


class PlaneDraw:
    """Draws of crops of the HR-MSI, each a random combination of its bands, and of noise levels.

    Parameters
    ----------
    pool : sequence of Observation
        Parts of the scene.
    crop : int
        Side of a crop in HR pixels; smaller if the parts are.
    batch : int
        Number of crops in a draw.
    """

    def __init__(self, pool: Sequence[Observation], crop: int, batch: int) -> None:
        images = [part.hr_msi for part in pool]
        white = whitening(images, pool[0].sigma_msi).astype(np.float32)
        self.images = [torch.from_numpy(np.tensordot(white, fill_nearest(image), axes=1)) for image in images]
        self.crop, self.batch = min(crop, *self.images[0].shape[1:]), batch

    def __call__(self, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw planes ``(n, 1, crop, crop)``, standard deviations ``(n,)`` and the noise in units of them."""
        planes = torch.stack([self._plane(generator) for _ in range(self.batch)])
        span = math.log(HIGHEST / LOWEST)
        sigma = LOWEST * torch.exp(span * torch.rand(self.batch, generator=generator))
        return planes, sigma, torch.randn(planes.shape, generator=generator)

    def _plane(self, generator: Generator) -> Tensor:
        image = self.images[int(torch.randint(len(self.images), (), generator=generator))]
        y, x = (int(torch.randint(size - self.crop + 1, (), generator=generator)) for size in image.shape[1:])
        mix = functional.normalize(torch.randn(1, len(image), generator=generator))
        plane = torch.tensordot(mix, image[:, y : y + self.crop, x : x + self.crop], dims=1)
        mirrored, turned = torch.rand(2, generator=generator) < 0.5
        plane = plane.flip(-1) if mirrored else plane
        return plane.transpose(-1, -2) if turned else plane


def whitening(images: Sequence[NDArray[np.float32]], sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix ``(c, c)`` that makes typical differences of neighbouring pixels white.

    Parameters
    ----------
    images : sequence of (c, H, W)
        Images of the HR-MSI. No-data is NaN; differences to it do not count.
    sigma : (c,)
        Noise levels, so that the matrix is finite where images are constant.
    """
    differences = np.concatenate(
        [np.diff(image, axis=axis).reshape(len(image), -1) for image in images for axis in (1, 2)], axis=1
    )
    differences = differences[:, np.isfinite(differences).all(axis=0)]
    every = math.ceil(max(differences.shape[1], 1) / MOST_EDGES)
    shape, _ = t_shape(differences[:, ::every].astype(np.float64), FLOOR * np.diag(sigma**2))
    return np.asarray(np.linalg.inv(np.linalg.cholesky(shape)))


def noise_loss(network: nn.Module, draw: PlaneDraw, generator: Generator, bfloat16: bool) -> Tensor:
    """Return the mean squared error of the predicted noise on a batch.

    Parameters
    ----------
    network : nn.Module
        The denoiser.
    draw : PlaneDraw
        Draws planes and noise.
    generator : Generator
        Random numbers of the draw.
    bfloat16 : bool
        Whether the network computes in bfloat16.
    """
    device = next(network.parameters()).device
    planes, sigma, noise = (tensor.to(device) for tensor in draw(generator))
    noisy = planes + sigma.view(-1, 1, 1, 1) * noise
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        predicted = network(noisy, sigma)
    return (predicted.float() / sigma.view(-1, 1, 1, 1) - noise).square().mean()
