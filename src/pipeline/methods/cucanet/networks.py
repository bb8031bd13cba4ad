"""The two streams of CuCaNet with their cross-attention and decoders.

Yao et al., "Cross-Attention in Coupled Unmixing Nets for Unsupervised Hyperspectral Super-Resolution",
ECCV 2020, section 3. Images are divided by their scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLU
FEATURES = 512  # channels of an encoder's output
ABUNDANCES = 128
RADIUS = 3  # context of the MSI encoder around a pixel: a 5x5 and a 3x3 convolution

Degrade = Callable[[Tensor], Tensor]
"""From an HR image to the LR image of the same place."""


@dataclass(frozen=True)
class Reconstruction:
    """Output of the networks for a crop: ``(n, channels, y, x)`` tensors on the LR or the HR grid.

    Attributes
    ----------
    lr_abundances, hr_abundances : tensor of 128 channels in [0, 1]
        Abundances of the HSI and of the MSI stream.
    lr_hsi, hr_msi : tensor
        The images, each reconstructed by its own stream.
    fused : tensor
        The HR-HSI: the abundances of the MSI stream times the endmembers of the HSI stream.
    """

    lr_abundances: Tensor
    hr_abundances: Tensor
    lr_hsi: Tensor
    hr_msi: Tensor
    fused: Tensor


class CoupledNetworks(nn.Module):
    """Two coupled unmixing networks with cross-attention.

    Parameters
    ----------
    bands, msi_bands : int
        C and c.
    lr_shape : (int, int)
        Size of the training crops in LR pixels, and of the channel attention's kernel.
    """

    def __init__(self, bands: int, msi_bands: int, lr_shape: tuple[int, int]) -> None:
        super().__init__()
        self.hsi_encoder = _encoder(bands, (1, 1, 1))
        self.msi_encoder = _encoder(msi_bands, (5, 3, 1))
        self.spatial_attention = nn.Conv2d(FEATURES, 1, 3, padding=1)
        self.channel_attention = nn.Conv2d(FEATURES, FEATURES, lr_shape, groups=FEATURES)
        self.hsi_unmixing = nn.Conv2d(2 * FEATURES, ABUNDANCES, 1)
        self.msi_unmixing = nn.Conv2d(2 * FEATURES, ABUNDANCES, 1)
        self.hsi_decoder = nn.Conv2d(ABUNDANCES, bands, 1, bias=False)
        self.msi_decoder = nn.Conv2d(ABUNDANCES, msi_bands, 1, bias=False)
        _initialise(self)

    def forward(
        self, lr_hsi: Tensor, hr_msi: Tensor, inner: tuple[slice, slice], degrade: Degrade
    ) -> Reconstruction:
        """Unmix a crop in both streams.

        Parameters
        ----------
        lr_hsi : (n, C, h, w) tensor
            The LR-HSI.
        hr_msi : (n, c, H, W) tensor
            The HR-MSI, with the encoder's context around the crop.
        inner : (slice, slice)
            Position of the HR pixels that `degrade` maps to the pixels of `lr_hsi`.
        degrade : callable
            H, which maps an HR image to the LR image of the same place.
        """
        hsi_features = self.hsi_encoder(lr_hsi)
        msi_features = self.msi_encoder(hr_msi)[..., *inner]
        lr_abundances = self.hsi_unmixing(attended(hsi_features, self.where(degrade(msi_features))))
        hr_abundances = self.msi_unmixing(attended(msi_features, self.which(hsi_features)))
        lr, hr = Unit.apply(lr_abundances.float()), Unit.apply(hr_abundances.float())
        with torch.autocast(lr.device.type, enabled=False):
            return Reconstruction(lr, hr, self.hsi_decoder(lr), self.msi_decoder(hr), self.hsi_decoder(hr))

    def where(self, lr_msi_features: Tensor) -> Tensor:
        """Return the spatial attention ``(n, 1, h, w)`` of degraded MSI features, of mean 1 over the crop."""
        scores: Tensor = self.spatial_attention(lr_msi_features)
        shares = scores.float().flatten(1).softmax(1) * scores[0].numel()
        return shares.view_as(scores)

    def which(self, hsi_features: Tensor) -> Tensor:
        """Return the channel attention ``(n, 512, 1, 1)``, of mean 1, of HSI features as in the training."""
        return self.channel_attention(hsi_features).float().softmax(1) * FEATURES

    def fuse(self, hr_msi: Tensor, attention: Tensor) -> Tensor:
        """Fuse an HR-MSI to an HR-HSI ``(n, C, H, W)``, given a channel attention ``(1, 512, 1, 1)``."""
        abundances = self.msi_unmixing(attended(self.msi_encoder(hr_msi), attention)).clamp(0, 1)
        fused: Tensor = self.hsi_decoder(abundances)
        return fused

    @torch.no_grad()
    def project(self) -> None:
        """Put the decoders' weights, the endmembers, back into [0, 1] after a step."""
        for decoder in (self.hsi_decoder, self.msi_decoder):
            decoder.weight.clamp_(0, 1)


class Unit(torch.autograd.Function):
    """Clamp to [0, 1] whose gradient vanishes only where a step would lead further out of the range.

    The gradient of a plain clamp vanishes everywhere outside of the range, so that an abundance that a step
    took there in all pixels never returns.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Clamp the values."""
        ctx.save_for_backward(values)
        return values.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Pass the gradient, except where it leads further out of the range."""
        (values,), (gradient,) = ctx.saved_tensors, gradients
        leads_out = ((values < 0) & (gradient > 0)) | ((values > 1) & (gradient < 0))
        return gradient.masked_fill(leads_out, 0)


def attended(features: Tensor, attention: Tensor) -> Tensor:
    """Append to the features the features times their attention."""
    return torch.cat([features, features * attention.to(features.dtype)], dim=1)


def _encoder(channels: int, kernels: tuple[int, int, int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for out, kernel in zip((FEATURES // 4, FEATURES // 2, FEATURES), kernels, strict=True):
        layers += [nn.Conv2d(channels, out, kernel, padding=kernel // 2), nn.LeakyReLU(SLOPE)]
        channels = out
    return nn.Sequential(*layers)


@torch.no_grad()
def _initialise(network: CoupledNetworks) -> None:
    """Initialise as He; attentions start as the mean, endmembers as non-negative random spectra."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE, nonlinearity="leaky_relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for attention in (network.spatial_attention, network.channel_attention):
        nn.init.constant_(attention.weight, 1 / attention.weight[0].numel())
    for decoder in (network.hsi_decoder, network.msi_decoder):
        decoder.weight.clamp_(0, 1)
