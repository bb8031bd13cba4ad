"""Recording of what couples distant pixels in a network, so that a part of a scene is sampled alone.

Group norms and attention depend on the whole image. `Recorder` runs the network on a few windows together and
keeps the numbers of each call; `Replay` runs it elsewhere with the numbers of the same call.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Coupled(nn.Module):
    """A layer that records what couples distant pixels in its last call, or uses what was recorded.

    Attributes
    ----------
    statistics : Tensor
        The numbers that the layer's result depends on besides each pixel's surroundings.
    """

    statistics: Tensor


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
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.layers = network, coupled(network)
        self.calls: list[list[Tensor]] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        """Call the network on windows ``(n, ...)`` together."""
        result: Tensor = self.network(*inputs)
        self.calls.append([layer.statistics.cpu() for layer in self.layers])
        return result

    def records(self) -> list[Tensor]:
        """Return the numbers of each layer in all calls, ``(calls, ...)``."""
        return [torch.stack(of_layer) for of_layer in zip(*self.calls, strict=True)]


class Replay(nn.Module):
    """A network of frozen layers that uses recorded numbers, call by call.

    Parameters
    ----------
    network : nn.Module
        A network built with `sr3.FROZEN`.
    records : list of (calls, ...) tensor
        Numbers of each layer, from `Recorder.records`.
    """

    def __init__(self, network: nn.Module, records: list[Tensor]) -> None:
        super().__init__()
        self.network, self.layers, self.records = network, coupled(network), records
        self.call = 0

    def rewind(self) -> Replay:
        """Start again at the first recorded call."""
        self.call = 0
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        """Call the network on windows ``(n, ...)``, each independent of the others."""
        for layer, record in zip(self.layers, self.records, strict=True):
            layer.statistics = record[self.call].to(inputs[0].device)
        self.call += 1
        result: Tensor = self.network(*inputs)
        return result


def coupled(network: nn.Module) -> list[Coupled]:
    """Return the layers of a network that have recorded numbers, `statistics`, in a fixed order."""
    return [layer for layer in network.modules() if isinstance(layer, Coupled)]
