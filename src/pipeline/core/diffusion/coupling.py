"""Recording of what couples distant pixels in a network, so that a part of a scene is sampled alone.

Group norms and attention depend on the whole image. `Recorder` runs the network on a few windows together and
keeps the numbers of each call; `Replay` runs it elsewhere with the numbers of the same call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Coupled(nn.Module):
    """A layer that records what couples distant pixels in its last call, or uses what was recorded.

    Attributes
    ----------
    statistics : Tensor
        The numbers that the layer's result depends on besides each pixel's surroundings.
    slopes : Tensor, optional
        The numbers that the layer's gradient depends on besides, after a backward pass.
    """

    statistics: Tensor
    slopes: Tensor | None = None


class Recorder(nn.Module):
    """A network of recording layers that keeps their numbers.

    Parameters
    ----------
    network : nn.Module
        A network built with `sr3.RECORDING`.

    Attributes
    ----------
    calls : list of list of Tensor
        For each call, the numbers of each layer.
    backward_calls : list of list of Tensor
        For each call, the slopes of each norm; empty for a call without a backward pass.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.layers = network, coupled(network)
        self.calls: list[list[Tensor]] = []
        self.backward_calls: list[list[Tensor]] = []

    def forward(self, *inputs: Tensor) -> Any:
        """Call the network on windows ``(n, ...)`` together and return its result.

        The first input may have a gradient.
        """
        call = len(self.calls)
        if inputs[0].requires_grad:
            inputs[0].register_hook(lambda _: self._keep_slopes(call))
        result = self.network(*inputs)
        self.calls.append([layer.statistics.float().cpu() for layer in self.layers])
        self.backward_calls.append([])
        return result

    def _keep_slopes(self, call: int) -> None:
        slopes = [layer.slopes for layer in self.layers]
        self.backward_calls[call] = [of_layer.cpu() for of_layer in slopes if of_layer is not None]

    def records(self) -> list[Tensor]:
        """Return the numbers of each layer in all calls, ``(calls, ...)``."""
        return [torch.stack(of_layer) for of_layer in zip(*self.calls, strict=True)]

    def slopes(self) -> list[Tensor]:
        """Return the slopes of each norm in all calls, ``(calls, ...)``; none without gradients."""
        return [torch.stack(of_layer) for of_layer in zip(*self.backward_calls, strict=True)]


class Replay(nn.Module):
    """A network of frozen layers that uses recorded numbers, call by call.

    Parameters
    ----------
    network : nn.Module
        A network built with `sr3.FROZEN`.
    records : list of (calls, ...) tensor
        Numbers of each layer, from `Recorder.records`.
    slopes : sequence of (calls, ...) tensor
        Slopes of each norm, from `Recorder.slopes`, for gradients.
    """

    def __init__(self, network: nn.Module, records: list[Tensor], slopes: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.network, self.layers, self.records = network, coupled(network), records
        norms = [layer for layer in self.layers if isinstance(layer, nn.GroupNorm)]
        self.slopes = list(zip(norms, slopes, strict=True)) if slopes else []
        self.call = 0

    def rewind(self) -> Replay:
        """Start again at the first recorded call."""
        self.call = 0
        return self

    def forward(self, *inputs: Tensor) -> Any:
        """Call the network on windows ``(n, ...)``, each independent of the others, and return its result."""
        for layer, record in zip(self.layers, self.records, strict=True):
            layer.statistics = record[self.call].to(inputs[0].device)
        for norm, slope in self.slopes:
            norm.slopes = slope[self.call].to(inputs[0].device)
        self.call += 1
        return self.network(*inputs)


def inner(network: nn.Module) -> nn.Module:
    """Return the network that a `Recorder` or a `Replay` runs, or the network itself."""
    return network.network if isinstance(network, Recorder | Replay) else network


def coupled(network: nn.Module) -> list[Coupled]:
    """Return the layers of a network that have recorded numbers, `statistics`, in a fixed order."""
    return [layer for layer in network.modules() if isinstance(layer, Coupled)]
