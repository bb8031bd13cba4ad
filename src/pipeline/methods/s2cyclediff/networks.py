"""Networks of S2CycleDiff: two SR3 UNets with a second encoder each, learned responses, and a fusion block.

The spectral branch denoises the cube beside the HR-MSI and is guided by the LR-HSI, the spatial branch the
other way round. The guiding image passes an encoder of its own, the side encoder, whose features join those
of the main encoder on the way up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.core.diffusion.norms import Norm
from pipeline.core.diffusion.sr3 import (
    ALONE,
    Block,
    Half,
    Layers,
    NoiseEmbedding,
    Shape,
    Upsample,
    padded,
)
from pipeline.methods.s2cyclediff.attention import CrossAttention, SelfAttention, SpatialCross, SpectralCross


@dataclass(frozen=True)
class Plan:
    """Sizes that both branches share.

    Attributes
    ----------
    bands, msi_bands : int
        C and c.
    ratio : int
        HR pixels per LR pixel.
    width : int
        Number of channels of the first level.
    multipliers : sequence of int
        Channels of each level, in units of the width.
    attention : float
        Weight of the attention; 0 if it is not computed.
    crop : int
        Side of a training crop.
    halvings : sequence of int
        How often the spatial cross-attention halves the images of each level.
    stride : int
        Number that divides the sides of the images inside the networks.
    residual : bool
        Whether the networks predict differences: of the branches to the interpolated LR-HSI, of the fusion
        block to the mean of both branches.
    """

    bands: int
    msi_bands: int
    ratio: int
    width: int
    multipliers: Sequence[int]
    attention: float
    crop: int
    halvings: Sequence[int]
    stride: int
    residual: bool


class SideBlock(Block):
    """The first half of a residual block, without the noise's embedding.

    As in the published code, the other layers of the residual block exist, but are not computed.

    Parameters
    ----------
    channels, out : int
        Number of input and of output channels.
    shape : Shape
        Size of the network.
    layers : Layers
        Kind of norms.
    attentive : bool
        Has no effect: the block has no attention.
    """

    def __init__(self, channels: int, out: int, shape: Shape, layers: Layers, attentive: bool) -> None:
        super().__init__(channels, out, shape, layers, False)
        self.second = Half(Norm(out, shape.groups), out)

    def forward(self, x: Tensor, emb: Tensor | None = None) -> Tensor:
        """Update images ``(n, channels, H, W)``."""
        updated: Tensor = self.first(x) + self.skip(x)
        return updated


class Encoder(nn.Module):
    """The way down of an SR3 UNet.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    shape : Shape
        Size of the network.
    layers : Layers
        Kind of norms.
    block : type
        `Block` or `SideBlock`.

    Attributes
    ----------
    channels : list of int
        Number of channels of each feature.
    """

    def __init__(self, inputs: int, shape: Shape, layers: Layers, block: type[Block]) -> None:
        super().__init__()
        self.inlet = nn.Conv2d(inputs, shape.width, 3, padding=1)
        self.stages = nn.ModuleList()
        self.channels = [shape.width]
        for level, multiplier in enumerate(shape.multipliers):
            if level:
                self.stages.append(nn.Conv2d(self.channels[-1], self.channels[-1], 3, stride=2, padding=1))
                self.channels.append(self.channels[-1])
            for _ in range(shape.blocks):
                out = shape.width * multiplier
                self.stages.append(block(self.channels[-1], out, shape, layers, False))
                self.channels.append(out)

    def forward(self, x: Tensor, emb: Tensor) -> list[Tensor]:
        """Return the features of images ``(n, inputs, H, W)`` after each layer, of all levels."""
        features = [self.inlet(x)]
        for stage in self.stages:
            before = features[-1]
            features.append(stage(before, emb) if isinstance(stage, Block) else stage(before))
        return features


class Branch(nn.Module):
    """An SR3 UNet that predicts the clean cube, guided by the features of a side encoder.

    Parameters
    ----------
    shape : Shape
        Size of the UNet.
    side_inputs : int
        Number of channels of the guiding image.
    cross : type
        Kind of cross-attention.
    plan : Plan
        Sizes that both branches share.
    layers : Layers
        Kind of norms and attention.
    """

    def __init__(
        self, shape: Shape, side_inputs: int, cross: type[CrossAttention], plan: Plan, layers: Layers
    ) -> None:
        super().__init__()
        self.stride = plan.stride
        self.embedding = NoiseEmbedding(shape.width)
        self.main = Encoder(shape.inputs, shape, layers, Block)
        self.side = Encoder(side_inputs, shape, layers, SideBlock)
        skips, now = list(self.main.channels), self.main.channels[-1]
        self.middle = nn.ModuleList(Block(now, now, shape, layers, False) for _ in range(2))
        self.up, self.attention = nn.ModuleList(), nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(shape.multipliers))):
            for _ in range(shape.blocks + 1):
                self.up.append(Block(now + 2 * skips.pop(), shape.width * multiplier, shape, layers, False))
                now = shape.width * multiplier
            if level:
                self.up.append(Upsample(now))
                self.attention.append(Attentive(level - 1, shape, cross, plan, layers))
        self.outlet = Half(layers.norm(now, shape.groups), shape.outputs)

    def forward(self, x: Tensor, guide: Tensor, level: Tensor) -> Tensor:
        """Predict the clean cube.

        Parameters
        ----------
        x : (n, inputs, H, W) tensor
            Noisy cube beside the main image.
        guide : (n, side inputs, H, W) tensor
            Guiding image.
        level : (n,) tensor
            ``sqrt(abar)`` of the noise.
        """
        height, width = x.shape[-2:]
        emb = self.embedding(level)
        main, side = self.main(padded(x, self.stride), emb), self.side(padded(guide, self.stride), emb)
        x, attention, upsampled = main[-1], iter(self.attention), False
        for block in self.middle:
            x = block(x, emb)
        for block in self.up:
            if isinstance(block, Upsample):
                x, upsampled = block(x), True
                continue
            pair = main.pop(), side.pop()
            x = block(torch.cat([x, *(next(attention)(*pair) if upsampled else pair)], 1), emb)
            upsampled = False
        return self.outlet(x)[..., :height, :width]


class Attentive(nn.Module):
    """Cross-attention from the main to the side feature, and self-attention of the side feature.

    Without weight both features pass unchanged; as in the published code the layers exist all the same.

    Parameters
    ----------
    level : int
        Level of the features, counted from 0.
    shape : Shape
        Size of the UNet.
    cross : type
        Kind of cross-attention.
    plan : Plan
        Sizes that both branches share.
    layers : Layers
        Kind of norms and attention.
    """

    def __init__(
        self, level: int, shape: Shape, cross: type[CrossAttention], plan: Plan, layers: Layers
    ) -> None:
        super().__init__()
        self.weight = plan.attention
        if not self.weight:
            layers = ALONE  # what is not computed records nothing
        channels = shape.width * shape.multipliers[level]
        halvings = plan.halvings[level]
        positions = max(1, plan.crop >> (level + halvings)) ** 2
        self.self_attention = SelfAttention(channels, shape.groups, layers)
        self.cross_attention = cross(channels, shape.groups, layers, halvings, positions)

    def forward(self, main: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
        """Update the features ``(n, channels, H, W)`` of the main and of the side encoder."""
        if not self.weight:
            return main, side
        crossed = main + self.weight * self.cross_attention(main, side)
        return crossed, side + self.weight * self.self_attention(side)


class S2CycleNetworks(nn.Module):
    """Both branches, the responses that close the cycle, and the fusion block.

    The responses are convolutions that mix all bands, as published.

    Parameters
    ----------
    plan : Plan
        Sizes.
    layers : Layers
        Kind of norms and attention.

    Attributes
    ----------
    spread : (C, 1, 1) tensor
        Unit of each band of a predicted difference.
    """

    spread: Tensor

    def __init__(self, plan: Plan, layers: Layers = ALONE) -> None:
        super().__init__()
        bands, msi_bands, ratio = plan.bands, plan.msi_bands, plan.ratio
        self.residual = plan.residual
        self.register_buffer("spread", torch.ones(bands, 1, 1))

        def branch(main: int, side: int, cross: type[CrossAttention]) -> Branch:
            shape = Shape(main + bands, bands, plan.width, plan.multipliers, groups=16)
            return Branch(shape, side, cross, plan, layers)

        self.spectral = branch(msi_bands, bands, SpectralCross)
        self.spatial = branch(bands, msi_bands, SpatialCross)
        self.hsi_psf = nn.Conv2d(bands, bands, ratio, ratio)
        self.msi_psf = nn.Conv2d(msi_bands, msi_bands, ratio, ratio, bias=False)
        self.srf = nn.Conv2d(bands, msi_bands, 1, bias=False)
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * bands, 2 * bands, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * bands, bands, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(bands, bands, 3, padding=1),
        )

    def forward(
        self, spectral: Tensor, spatial: Tensor, upsampled: Tensor, hr_msi: Tensor, level: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict the clean cube by both branches.

        Parameters
        ----------
        spectral, spatial : (n, C, H, W) tensor
            Noisy cube of each branch.
        upsampled : (n, C, H, W) tensor
            The interpolated LR-HSI.
        hr_msi : (n, c, H, W) tensor
            The HR-MSI.
        level : (n,) tensor
            ``sqrt(abar)`` of the noise.
        """
        form = torch.channels_last
        of_spectral = torch.cat([hr_msi, spectral], 1).contiguous(memory_format=form)
        of_spatial = torch.cat([upsampled, spatial], 1).contiguous(memory_format=form)
        return (
            self.added(
                self.spectral(of_spectral, upsampled.contiguous(memory_format=form), level), upsampled
            ),
            self.added(self.spatial(of_spatial, hr_msi.contiguous(memory_format=form), level), upsampled),
        )

    def fused(self, spectral: Tensor, spatial: Tensor) -> Tensor:
        """Fuse the cubes ``(n, C, H, W)`` of both branches."""
        both = torch.cat([spectral, spatial], 1).contiguous(memory_format=torch.channels_last)
        return self.added(self.fuse(both), (spectral + spatial) / 2)

    def added(self, output: Tensor, base: Tensor) -> Tensor:
        """Return the cube of a network's output: the output, or its sum with a base ``(n, C, H, W)``."""
        return base + self.spread * output.float() if self.residual else output.float()
