"""Linear attention of S2CycleDiff: of a feature to itself, and between the features of both encoders.

Each attention takes a feature to a correction of equal shape. Its pixels act on each other through one
matrix, the context, alone.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.diffusion.sr3 import Layers


def softmax_product(key: Tensor, value: Tensor) -> Tensor:
    """Return ``softmax(K) V^T`` ``(n, A, B)``, the softmax over the pixels.

    Parameters
    ----------
    key : (n, A, pixels) tensor
        K.
    value : (n, B, pixels) tensor
        V.
    """
    return key.softmax(-1) @ value.transpose(1, 2)


class SelfAttention(nn.Module):
    """Linear attention of a feature to itself: ``P (softmax(K) V^T)^T Q``, all linear in the normed feature.

    Parameters
    ----------
    channels : int
        Number of channels.
    groups : int
        Groups of the norm.
    layers : Layers
        Kind of norms and attention.
    """

    def __init__(self, channels: int, groups: int, layers: Layers) -> None:
        super().__init__()
        self.norm = layers.norm(channels, groups)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.context = layers.context(softmax_product)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the correction of features ``(n, channels, H, W)``."""
        query, key, value = self.qkv(self.norm(x)).flatten(2).chunk(3, dim=1)
        mixed = self.context(key, value).transpose(1, 2) @ query
        corrected: Tensor = self.project(mixed.reshape(x.shape))
        return corrected


class CrossAttention(nn.Module):
    """Linear attention between the features of the main and of the side encoder.

    Both kinds have the layers of both, as in the published code; each computes its own.

    Parameters
    ----------
    channels : int
        c, number of channels.
    groups : int
        Groups of the norms.
    layers : Layers
        Kind of norms and attention.
    halvings : int
        How often `SpatialCross` halves the features.
    positions : int
        Number of pixels of a halved feature in training.
    """

    def __init__(self, channels: int, groups: int, layers: Layers, halvings: int, positions: int) -> None:
        super().__init__()
        self.halvings, self.positions = halvings, positions
        self.main_norm, self.side_norm = (layers.norm(channels, groups) for _ in range(2))
        self.main_qkv, self.side_qkv = (nn.Conv2d(channels, 3 * channels, 1, bias=False) for _ in range(2))
        self.project = nn.Conv2d(channels, channels, 1)
        widths = [channels, 2 * channels, 2 * channels, 4 * channels, 4 * channels]
        steps = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in steps)
        self.grow = nn.ModuleList(nn.Conv2d(after, before, 3, padding=1) for before, after in steps)
        self.context = layers.context(self.combine)

    def forward(self, main: Tensor, side: Tensor) -> Tensor:
        """Return the correction of the main features, given the side features ``(n, c, H, W)``."""
        corrected: Tensor = self.project(self.mixed(self.main_norm(main), self.side_norm(side)))
        return corrected

    @staticmethod
    @abstractmethod
    def combine(first: Tensor, second: Tensor) -> Tensor:
        """Return the context ``(n, A, B)`` of features ``(n, A, pixels)`` and ``(n, B, pixels)``."""

    @abstractmethod
    def mixed(self, main: Tensor, side: Tensor) -> Tensor:
        """Mix the normed features ``(n, c, H, W)``."""


class SpectralCross(CrossAttention):
    """Attention of the main feature's queries to its own keys with the side feature's values."""

    @staticmethod
    def combine(first: Tensor, second: Tensor) -> Tensor:
        """Return ``softmax(K) V^T`` of the keys K and the values V."""
        return softmax_product(first, second)

    def mixed(self, main: Tensor, side: Tensor) -> Tensor:
        """Mix the normed features ``(n, c, H, W)``."""
        query, key, _ = self.main_qkv(main).flatten(2).chunk(3, dim=1)
        value = self.side_qkv(side).flatten(2).chunk(3, dim=1)[2]
        return (self.context(key, value).transpose(1, 2) @ query).reshape(main.shape)


class SpatialCross(CrossAttention):
    """Attention among positions: of the side feature to the main feature, both halved several times.

    Position e of the result is ``sum_d q_d softmax(q_d)^T v_e``, with the vectors q of the main and v of the
    side feature's positions; the softmax is over channels. The sum over d is computed first. It is a mean
    over the image times the number of positions in training, so that it does not grow with the image.
    """

    @staticmethod
    def combine(first: Tensor, second: Tensor) -> Tensor:
        """Return the mean of ``q k^T`` over the pixels."""
        return first @ second.transpose(1, 2) / first.shape[-1]

    def mixed(self, main: Tensor, side: Tensor) -> Tensor:
        """Mix the normed features ``(n, c, H, W)``."""
        query, value = self.halved(main), self.halved(side)
        context = self.positions * self.context(query.flatten(2), query.flatten(2).softmax(1))
        mixed = (context @ value.flatten(2)).reshape(value.shape)
        for step in reversed(range(self.halvings)):
            mixed = functional.interpolate(self.grow[step](mixed), scale_factor=2.0, mode="bicubic")
        return mixed

    def halved(self, x: Tensor) -> Tensor:
        """Widen and halve features ``(n, c, H, W)`` several times."""
        for step in range(self.halvings):
            x = functional.interpolate(self.shrink[step](x), scale_factor=0.5, mode="bicubic")
        return x
