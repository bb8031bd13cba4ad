"""Blind mode of MIAE: the PSF and the spectral response, both unknown, from the pair itself.

Liu et al., IEEE TGRS 2022: H(Y) and R X are the same image, so their L1 distance is made small over
non-negative responses that sum to one. Responses with negative lobes, as bicubic has, are out of its reach.

Normalising after each step alone does not do: all weights of a response have gradients of nearly the
same sign, which Adam turns into equal steps, which the normalisation takes back. So the loss is that of
the normalised responses; the public code does the same for the SRF, though not for the PSF, which then
stays noisy (on Jasper Ridge, an error of H(Y) of 1.6 % instead of 0.1 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.sensing.nodata import coupled_pixels, filled_observation
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress
from pipeline.core.sensing.resampling import response_rows, sampled_kernel
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods.base import State
from pipeline.methods.optimisation import Checkpoint, minimise
from pipeline.methods.pool import seeing_only

ITERATIONS = 5000
LEARNING_RATE = 5e-5
MOST_PIXELS = 10_000  # LR pixels that are compared

Scene = TypeVar("Scene", bound=ObservedScene)


@dataclass(frozen=True)
class Responses:
    """Estimated responses.

    Attributes
    ----------
    psf : (k, k) float64
        At HR pixel spacing, centred where the scene's own response is; sums to one.
    spectral_response : (c, C) float64
        Rows sum to one.
    """

    psf: NDArray[np.float64]
    spectral_response: NDArray[np.float64]

    def put_into(self, scene: Scene) -> Scene:
        """The same images with these responses in place of the given ones."""
        spatial = with_psf(scene.spatial_response, self.psf)
        return replace(scene, spatial_response=spatial, spectral_response=self.spectral_response)

    def state(self) -> State:
        """Both arrays by name."""
        return {"psf": self.psf, "spectral_response": self.spectral_response}


class ResponseNet(nn.Module):
    """A PSF and a spectral response, both uniform at the start."""

    def __init__(self, taps: int, msi_bands: int, hsi_bands: int) -> None:
        super().__init__()
        self.psf = nn.Parameter(torch.full((taps * taps,), 1 / taps**2))
        self.spectral = nn.Parameter(torch.full((msi_bands, hsi_bands), 1 / hsi_bands))

    def distance(self, hsi: Tensor, shifted_msi: Tensor) -> Tensor:
        """L1 distance of R X, clamped to [0, 1], from H(Y).

        Parameters
        ----------
        hsi : (C, n)
            X at some LR pixels.
        shifted_msi : (c, k * k, n)
            Y under each sample of the PSF about them.
        """
        seen = _normalised(self.spectral) @ hsi
        degraded = torch.einsum("t,ctn->cn", _normalised(self.psf), shifted_msi)
        return (seen.clamp(0, 1) - degraded.clamp(0, 1)).abs().sum()

    @torch.no_grad()
    def constrain(self) -> None:
        """Make both non-negative with sums of one."""
        for response in (self.psf, self.spectral):
            response.copy_(_normalised(response.clamp(0, 1)))


def _normalised(response: Tensor) -> Tensor:
    return response / response.sum(dim=-1, keepdim=True)


def taps_of(response: SpatialResponse) -> int:
    """Side of the PSF in HR pixels: 2 s - 1, with a ratio s between whole numbers rounded up."""
    return 2 * ceil(response.ratio) - 1


def with_psf(response: SpatialResponse, psf: NDArray[np.float64]) -> SpatialResponse:
    """A response of the same ratio and shift with a free PSF."""
    return SpatialResponse.from_psf(psf, ratio=response.ratio).shifted(*response.shift)


def estimate_responses(
    scene: ObservedScene,
    pool: Sequence[Observation],
    scale: float,
    device: torch.device,
    checkpoint: Checkpoint,
    progress: Progress,
) -> Responses:
    """Minimise the distance over an even sample of the pool's LR pixels, at any ratio.

    Raises
    ------
    InputError
        No LR pixel sees only pixels of the pool, and only such that have data.
    """
    taps = taps_of(scene.spatial_response)
    free = with_psf(scene.spatial_response, np.ones((taps, taps)))
    free_scene = replace(scene, spatial_response=free)
    stride = max(1, ceil(sqrt(sum(part.lr_hsi[0].size for part in pool) / MOST_PIXELS)))
    samples = [_sample(free_scene, replace(part, spatial_response=free), taps, stride) for part in pool]
    hsi, shifted = (
        torch.as_tensor(np.concatenate(images, axis=-1) / scale, dtype=torch.float32, device=device)
        for images in zip(*samples, strict=True)
    )
    if not hsi.shape[1]:
        raise InputError(
            "miae: no LR pixel of the windows to train on sees them alone and has data itself and in all HR "
            "pixels around it; crop the scene to where both images have data, or give the responses"
        )
    network = ResponseNet(taps, len(shifted), len(hsi)).to(device)
    minimise(
        network,
        torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True),
        lambda step: network.distance(hsi, shifted),
        ITERATIONS,
        method="miae",
        phase="responses",
        checkpoint=checkpoint,
        after_step=network.constrain,
        progress=progress,
    )
    psf = network.psf.detach().double().cpu().numpy().reshape(taps, taps)
    return Responses(psf, network.spectral.detach().double().cpu().numpy())


def _sample(
    scene: ObservedScene, part: Observation, taps: int, stride: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Some LR pixels of a part, ``(C, n)``, and the HR-MSI under each tap about them, ``(c, k * k, n)``.

    Those of an even grid that have data and see nothing but HR pixels that have data.
    """
    own = scene.window_of(part)
    inside = seeing_only(scene, own).relative_to(scene.lr_window(own))
    chosen = np.arange(inside.y0, inside.y1, stride), np.arange(inside.x0, inside.x1, stride)
    ratio, shift = scene.spatial_response.ratio, scene.spatial_response.shift

    def shifts(
        size: int, pixels: NDArray[np.intp], displaced: float
    ) -> list[tuple[NDArray[np.float64], slice]]:
        found = []
        for tap in np.eye(taps):
            kernel, offset = sampled_kernel(tap), displaced * float(ratio)
            matrix, first = response_rows(size, ratio, pixels, *kernel, normalise=False, offset=offset)
            found.append((matrix, slice(first, first + matrix.shape[1])))
        return found

    filled = filled_observation(part)
    rows, cols = (shifts(*axis) for axis in zip(part.hr_shape, chosen, shift, strict=True))
    shifted = [
        (row @ filled.hr_msi[:, across, along] @ col.T).reshape(len(part.hr_msi), -1)
        for row, across in rows
        for col, along in cols
    ]
    valid = coupled_pixels(part)[np.ix_(*chosen)].ravel()
    hsi = part.lr_hsi[:, chosen[0][:, None], chosen[1]].reshape(part.bands, -1)
    return hsi[:, valid], np.stack(shifted, axis=1)[..., valid]
