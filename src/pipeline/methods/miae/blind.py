"""Blind mode of MIAE: the PSF and the spectral response are estimated from the pair itself.

Liu et al., IEEE TGRS 2022: H(Y) and R X are the same image, so their L1 distance is minimised over
non-negative responses that sum to one. Responses with negative lobes, such as bicubic, cannot be represented.

Normalising the weights after each step is not enough: all weights of a response have gradients of nearly the
same sign, Adam turns these into equal steps, and the normalisation undoes equal steps. Therefore the loss is
that of the normalised responses. The public code does the same for the SRF but not for the PSF, which then
stays noisy (on Jasper Ridge, an error of H(Y) of 1.6 % instead of 0.1 %).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.core.sensing.nodata import coupled_pixels, filled_observation
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress
from pipeline.core.sensing.resampling import response_rows, sampled_profile
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
from pipeline.methods.base import State
from pipeline.methods.miae.images import TrainingImages
from pipeline.methods.optimisation import Checkpoint, Schedule, minimise
from pipeline.methods.pool import lr_inside

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
        """Return a scene with these responses in place of its own."""
        spatial = with_psf(scene.spatial_response, self.psf)
        return replace(scene, spatial_response=spatial, spectral_response=self.spectral_response)

    def state(self) -> State:
        """Return both arrays by name."""
        return {"psf": self.psf, "spectral_response": self.spectral_response}


class ResponseNet(nn.Module):
    """A PSF and a spectral response, both uniform at the start.

    Parameters
    ----------
    taps : int
        Side of the PSF in HR pixels.
    msi_bands, hsi_bands : int
        c and C.
    """

    def __init__(self, taps: int, msi_bands: int, hsi_bands: int) -> None:
        super().__init__()
        self.psf = nn.Parameter(torch.full((taps * taps,), 1 / taps**2))
        self.spectral = nn.Parameter(torch.full((msi_bands, hsi_bands), 1 / hsi_bands))

    def distance(self, hsi: Tensor, shifted_msi: Tensor) -> Tensor:
        """Return the L1 distance between R X and H(Y), both clamped to [0, 1].

        Parameters
        ----------
        hsi : (C, n)
            X at the sampled LR pixels.
        shifted_msi : (c, k * k, n)
            Y at each tap of the PSF about these pixels.
        """
        matched = _normalised(self.spectral) @ hsi
        degraded = torch.einsum("t,ctn->cn", _normalised(self.psf), shifted_msi)
        return (matched.clamp(0, 1) - degraded.clamp(0, 1)).abs().sum()

    @torch.no_grad()
    def constrain(self) -> None:
        """Make both responses non-negative with sums of one."""
        for response in (self.psf, self.spectral):
            response.copy_(_normalised(response.clamp(0, 1)))


def _normalised(response: Tensor) -> Tensor:
    return response / response.sum(dim=-1, keepdim=True)


def taps_of(response: SpatialResponse) -> int:
    """Return the side of the PSF in HR pixels: 2 s - 1, the ratio s rounded up to a whole number."""
    return 2 * ceil(response.ratio) - 1


def with_psf(response: SpatialResponse, psf: NDArray[np.float64]) -> SpatialResponse:
    """Return a response of the same ratio and shift with a PSF given by its samples ``(k, k)``."""
    return SpatialResponse.from_psf(psf, ratio=response.ratio).shifted(*response.shift)


def estimate_responses(images: TrainingImages, checkpoint: Checkpoint, progress: Progress) -> Responses:
    """Minimise the distance between H(Y) and R X over an even sample of LR pixels.

    Parameters
    ----------
    images : TrainingImages
        The parts from which LR pixels are sampled. Only ratio and shift of their spatial response count.
    checkpoint : Checkpoint
        File of an unfinished minimisation.
    progress : callable
        Receives the number of finished steps and the distance.

    Raises
    ------
    InputError
        No LR pixel depends only on HR pixels of a part that have data.
    """
    taps = taps_of(images.scene.spatial_response)
    hsi, shifted = _samples(images, taps)
    network = ResponseNet(taps, len(shifted), len(hsi)).to(images.device)
    minimise(
        network,
        torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=True),
        lambda step: network.distance(hsi, shifted),
        Schedule("miae", "responses", ITERATIONS, checkpoint),
        network.constrain,
        progress,
    )
    psf = network.psf.detach().double().cpu().numpy().reshape(taps, taps)
    return Responses(psf, network.spectral.detach().double().cpu().numpy())


def _samples(images: TrainingImages, taps: int) -> tuple[Tensor, Tensor]:
    """Return X ``(C, n)`` at an even sample of LR pixels, and Y ``(c, k * k, n)`` at each tap about them."""
    free = with_psf(images.scene.spatial_response, np.ones((taps, taps)))
    scene = replace(images.scene, spatial_response=free)
    stride = max(1, ceil(sqrt(sum(part.lr_hsi[0].size for part in images.pool) / MOST_PIXELS)))
    samples = [_sample(scene, replace(part, spatial_response=free), taps, stride) for part in images.pool]
    hsi, shifted = (
        torch.as_tensor(
            np.concatenate(arrays, axis=-1) / images.scale, dtype=torch.float32, device=images.device
        )
        for arrays in zip(*samples, strict=True)
    )
    if not hsi.shape[1]:
        raise InputError(
            "miae: no LR pixel depends only on HR pixels inside the training windows and has data "
            "together with all HR pixels around it; crop the scene to where both images have data, or "
            "give the responses"
        )
    return hsi, shifted


def _sample(
    scene: ObservedScene, part: Observation, taps: int, stride: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return LR pixels ``(C, n)`` of a part, and the HR-MSI at each tap about them ``(c, k * k, n)``.

    LR pixels are taken from an even grid, if they have data and depend only on HR pixels with data.
    """
    own = scene.window_of(part)
    inside = lr_inside(scene, own).relative_to(scene.lr_window(own))
    chosen = np.arange(inside.y0, inside.y1, stride), np.arange(inside.x0, inside.x1, stride)
    ratio, shift = scene.spatial_response.ratio, scene.spatial_response.shift

    def shifts(
        size: int, pixels: NDArray[np.intp], displaced: float
    ) -> list[tuple[NDArray[np.float64], slice]]:
        rows = []
        for tap in np.eye(taps):
            profile, offset = sampled_profile(tap), displaced * float(ratio)
            matrix, first = response_rows(size, ratio, pixels, profile, offset)
            rows.append((matrix, slice(first, first + matrix.shape[1])))
        return rows

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
