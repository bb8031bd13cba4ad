"""Responses that CuCaNet learns together with its networks.

Yao et al. (ECCV 2020) learn the PSF as an s x s convolution of stride s, and the SRF of each MSI band as a
1x1 convolution over its known support.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.rounding import TIED
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError

EMPTY = 1e-12  # sum below which a learned response has vanished; it restarts as uniform


class LearnedResponses(nn.Module):
    """PSF and SRF as parameters, non-negative and summing to one.

    Parameters
    ----------
    spatial : SpatialResponse
        Response of the observation; only its ratio is used.
    spectral : (c, C)
        Response of the observation, whose entries that are positive beyond rounding are the support of each
        MSI band.

    Raises
    ------
    InputError
        An MSI band has no positive response, or the ratio is no integer.
    """

    support: Tensor

    def __init__(self, spatial: SpatialResponse, spectral: NDArray[np.float64]) -> None:
        super().__init__()
        support = spectral > TIED * spectral.max(axis=1, keepdims=True).clip(min=0)
        if not support.any(axis=1).all():
            raise InputError("spectral_response: an MSI band has no positive response; use responses: given")
        self.ratio = int(footprint_response(spatial).ratio)
        self.psf = nn.Parameter(torch.ones(self.ratio, self.ratio))
        self.srf = nn.Parameter(torch.ones(support.shape))
        self.register_buffer("support", torch.from_numpy(support.astype(np.float32)), persistent=False)
        self.project()

    def degrade(self, image: Tensor) -> Tensor:
        """Blur an image ``(n, channels, H, W)`` by the PSF and decimate it."""
        n, channels, height, width = image.shape
        planes = image.reshape(n * channels, 1, height, width)
        blurred = functional.conv2d(planes, self.psf.to(image.dtype)[None, None], stride=self.ratio)
        return blurred.view(n, channels, *blurred.shape[-2:])

    @torch.no_grad()
    def project(self) -> None:
        """Make both responses non-negative, zero outside the support and of sum one."""
        self.psf.copy_(_normalised(self.psf.flatten(), torch.ones_like(self.psf).flatten()).view_as(self.psf))
        self.srf.copy_(_normalised(self.srf, self.support))


def footprint_response(spatial: SpatialResponse) -> SpatialResponse:
    """Return a response with the support of a learned PSF: the HR pixels that an LR pixel covers.

    Parameters
    ----------
    spatial : SpatialResponse
        Response of the observation.

    Raises
    ------
    InputError
        The ratio is no integer, or the images are shifted.
    """
    if spatial.ratio.denominator != 1:
        raise InputError(
            f"responses: learned needs an integer ratio, got {spatial.ratio}; use responses: given"
        )
    if any(spatial.shift):
        raise InputError(
            f"responses: learned needs images without a shift, got {spatial.shift}; use responses: given"
        )
    return SpatialResponse.box(ratio=spatial.ratio)


def _normalised(weights: Tensor, support: Tensor) -> Tensor:
    """Clamp rows to be non-negative on their support and divide by their sums; uniform if all is zero."""
    clamped = weights.clamp(min=0) * support
    kept = torch.where(clamped.sum(-1, keepdim=True) > EMPTY, clamped, support)
    return kept / kept.sum(-1, keepdim=True)
