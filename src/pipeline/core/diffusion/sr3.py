"""The UNet of SR3 (Saharia et al. 2021), which PLRDiff, S2CycleDiff and DDPM-Fus share.

It knows the noise by ``sqrt(abar)``, not by the number of a step, so that the steps of a sampling may lie
anywhere on any schedule. The layers that couple distant pixels, norms and attention, come in three kinds:
alone, recording, and frozen (see `coupling`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.diffusion.attention import (
    Attention,
    Context,
    FrozenAttention,
    FrozenContext,
    RecordingAttention,
    RecordingContext,
)
from pipeline.core.diffusion.norms import FrozenNorm, Norm, RecordingNorm


@dataclass(frozen=True)
class Layers:
    """Kind of the layers that couple distant pixels; names and shapes of the weights do not depend on it.

    Attributes
    ----------
    norm : type
        Kind of norm.
    attention : type
        Kind of attention.
    context : type
        Kind of the matrix of linear attention.
    """

    norm: type[Norm]
    attention: type[Attention]
    context: type[Context]


ALONE = Layers(Norm, Attention, Context)
RECORDING = Layers(RecordingNorm, RecordingAttention, RecordingContext)
FROZEN = Layers(FrozenNorm, FrozenAttention, FrozenContext)


@dataclass(frozen=True)
class Shape:
    """Size of an SR3 UNet.

    Attributes
    ----------
    inputs, outputs : int
        Number of input and of output channels.
    width : int
        Number of channels of the first level.
    multipliers : sequence of int
        Channels of each level, in units of the width.
    blocks : int
        Residual blocks of each level on the way down; one more on the way up.
    attention : collection of int
        Levels with attention, counted from 0.
    middle_attention : bool
        Whether the first of the two blocks in the middle has attention.
    groups : int
        Groups of the norms.
    dropout : float
        Fraction of the values that the second half of each residual block drops in training.
    """

    inputs: int
    outputs: int
    width: int
    multipliers: Sequence[int]
    blocks: int = 2
    attention: Collection[int] = ()
    middle_attention: bool = True
    groups: int = 32
    dropout: float = 0.0

    @property
    def stride(self) -> int:
        """Number that divides the sides of the deepest level's input."""
        return int(2 ** (len(self.multipliers) - 1))


class SR3UNet(nn.Module):
    """Prediction from a noisy image and its ``sqrt(abar)``, with any channels beside the noisy ones.

    Parameters
    ----------
    shape : Shape
        Size of the network.
    layers : Layers
        Kind of norms and attention.
    """

    def __init__(self, shape: Shape, layers: Layers = ALONE) -> None:
        super().__init__()
        self.shape = shape
        width, levels = shape.width, list(enumerate(shape.multipliers))
        self.embedding = NoiseEmbedding(width)
        self.inlet = nn.Conv2d(shape.inputs, width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, now = [width], width
        for level, multiplier in levels:
            for _ in range(shape.blocks):
                self.down.append(Block(now, width * multiplier, shape, layers, level in shape.attention))
                now = width * multiplier
                skips.append(now)
            if level < len(levels) - 1:
                self.down.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                skips.append(now)
        self.middle = nn.ModuleList(
            Block(now, now, shape, layers, attentive) for attentive in (shape.middle_attention, False)
        )
        for level, multiplier in reversed(levels):
            for _ in range(shape.blocks + 1):
                out = width * multiplier
                self.up.append(Block(now + skips.pop(), out, shape, layers, level in shape.attention))
                now = out
            if level:
                self.up.append(Upsample(now))
        self.outlet = Half(layers.norm(now, shape.groups), shape.outputs)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        """Predict from images ``(n, inputs, H, W)``, of any H and W, with ``sqrt(abar)`` ``(n,)``."""
        height, width = x.shape[-2:]
        x, emb = padded(x, self.shape.stride), self.embedding(level)
        x = self.inlet(x)
        skips = [x]
        for block in self.down:
            x = block(x, emb) if isinstance(block, Block) else block(x)
            skips.append(x)
        for block in self.middle:
            x = block(x, emb)
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], 1), emb) if isinstance(block, Block) else block(x)
        return self.outlet(x)[..., :height, :width]


class NoiseEmbedding(nn.Module):
    """Sines and cosines of ``sqrt(abar)`` at `width` / 2 frequencies, through two linear layers.

    Parameters
    ----------
    width : int
        Length of the embedding.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))

    def forward(self, level: Tensor) -> Tensor:
        """Embed ``sqrt(abar)`` ``(n,)`` as ``(n, width)``."""
        half = self.width // 2
        frequencies = torch.exp(-math.log(1e4) * torch.arange(half, device=level.device) / half)
        angles = level[:, None].float() * frequencies
        # bfloat16 would not tell levels near 1 apart
        with torch.autocast(level.device.type, enabled=False):
            embedded: Tensor = self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))
        return embedded


class Half(nn.Sequential):
    """Norm, SiLU and 3x3 convolution: half of a residual block.

    Parameters
    ----------
    norm : Norm
        The norm, which knows the number of input channels.
    out : int
        Number of output channels.
    dropout : float
        Fraction of the values that are dropped in training.
    """

    def __init__(self, norm: Norm, out: int, dropout: float = 0.0) -> None:
        drop = [nn.Dropout(dropout)] if dropout else []
        super().__init__(norm, nn.SiLU(), *drop, nn.Conv2d(norm.num_channels, out, 3, padding=1))


class Block(nn.Module):
    """Two halves with the noise's embedding added between them, beside the identity; then maybe attention.

    Parameters
    ----------
    channels, out : int
        Number of input and of output channels.
    shape : Shape
        Size of the network.
    layers : Layers
        Kind of norms and attention.
    attentive : bool
        Whether attention follows.
    """

    def __init__(self, channels: int, out: int, shape: Shape, layers: Layers, attentive: bool) -> None:
        super().__init__()
        self.first = Half(layers.norm(channels, shape.groups), out)
        self.noise = nn.Linear(shape.width, out)
        self.second = Half(layers.norm(out, shape.groups), out, shape.dropout)
        self.skip = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        self.attention = layers.attention(layers.norm(out, shape.groups), out) if attentive else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        """Update images ``(n, channels, H, W)`` given the embedding ``(n, width)`` of their noise."""
        added = self.noise(emb)[..., None, None]
        h = self.second(self.first(x) + added) + self.skip(x)
        updated: Tensor = self.attention(h)
        return updated


class Upsample(nn.Module):
    """Enlargement by 2 with nearest neighbours, then a 3x3 convolution.

    Parameters
    ----------
    channels : int
        Number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge images ``(n, channels, H, W)`` to ``(n, channels, 2H, 2W)``."""
        enlarged: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return enlarged


def padded(x: Tensor, stride: int) -> Tensor:
    """Repeat the last rows and columns of images until the stride divides both sides.

    Parameters
    ----------
    x : (n, channels, H, W) tensor
        Images.
    stride : int
        Stride of the network.
    """
    height, width = x.shape[-2:]
    pad = (0, -width % stride, 0, -height % stride)
    return functional.pad(x, pad, mode="replicate") if any(pad) else x


def orthogonal_(network: nn.Module) -> nn.Module:
    """Draw orthogonal weights for all convolutions and linear layers, with zero biases, as SR3 starts."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
