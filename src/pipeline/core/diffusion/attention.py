"""Attention between the pixels of an image: alone, of several images together, or with given keys.

Attention couples distant pixels. With the keys and values of a recorded run, a pixel's result depends on the
pixel alone. Linear attention (Shen et al. 2021) couples them by one matrix, its `Context`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.core.diffusion.coupling import Coupled
from pipeline.core.diffusion.norms import Norm


class Attention(nn.Module):
    """Softmax attention with one head over all pixels, beside the identity (SR3, Saharia et al. 2021).

    ``x + P softmax(q^T k / sqrt(C)) v``, where q, k and v are linear in the normed image.

    Parameters
    ----------
    norm : Norm
        Norm of the input.
    channels : int
        C, number of channels.
    """

    def __init__(self, norm: Norm, channels: int) -> None:
        super().__init__()
        self.norm = norm
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Update images ``(n, C, H, W)``."""
        query, key, value = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        mixed = functional.scaled_dot_product_attention(query, *self.keys(key, value))
        return x + self.project(mixed.transpose(1, 2).reshape(x.shape))

    def keys(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values ``(n, pixels, C)`` that the queries of each image compare with."""
        return key, value


class RecordingAttention(Attention, Coupled):
    """Attention among the pixels of all images of a batch together, which records keys and values.

    Attributes
    ----------
    statistics : (2, pixels, C) tensor
        Keys and values of the last call.
    """

    def keys(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the keys and values of all images, for each image."""
        n = len(key)
        key, value = (rows.reshape(1, -1, rows.shape[-1]) for rows in (key, value))
        self.statistics = torch.cat([key, value]).detach()
        return key.expand(n, -1, -1), value.expand(n, -1, -1)


class FrozenAttention(Attention, Coupled):
    """Attention of each pixel to the keys and values of a `RecordingAttention`.

    Attributes
    ----------
    statistics : (2, pixels, C) tensor
        Keys and values.
    """

    def keys(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the recorded keys and values, for each image."""
        recorded = self.statistics.to(key.dtype)
        return recorded[0].expand(len(key), -1, -1), recorded[1].expand(len(key), -1, -1)


class Context(nn.Module):
    """The matrix through which the pixels of an image act on each other in linear attention.

    Parameters
    ----------
    combine : callable
        Returns the matrix ``(n, A, B)`` of two images ``(n, A, pixels)`` and ``(n, B, pixels)``.
    """

    def __init__(self, combine: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.combine = combine

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Combine images ``(n, A, pixels)`` and ``(n, B, pixels)`` over their pixels to ``(n, A, B)``."""
        return self.combine(first, second)


class RecordingContext(Context, Coupled):
    """The matrix of all images of a batch together, which is recorded.

    Attributes
    ----------
    statistics : (A, B) tensor
        Matrix of the last call.
    """

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Combine over the pixels of all images, for each image."""
        n = len(first)
        rows = (image.transpose(0, 1).flatten(1)[None] for image in (first, second))
        context = self.combine(*rows)
        self.statistics = context[0].detach()
        return context.expand(n, -1, -1)


class FrozenContext(Context, Coupled):
    """The matrix of a `RecordingContext`.

    Attributes
    ----------
    statistics : (A, B) tensor
        The matrix.
    """

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the recorded matrix, for each image."""
        return self.statistics.to(first.dtype).expand(len(first), -1, -1)
