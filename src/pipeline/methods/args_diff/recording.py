"""Recording of the numbers that couple the pixels of a scene in a sampling run.

They are the basis E and the norms of the loss in every step, and the statistics of the UNet's norms. With a
recording, a part of the scene is sampled independently of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.core.diffusion.norms import FrozenNorm, RecordingNorm
from pipeline.methods.args_diff.guidance import JointLoss
from pipeline.methods.args_diff.networks import STEPS, SpatialUNet
from pipeline.methods.base import State


@dataclass(frozen=True)
class Recording:
    """Recording of a joint run.

    Attributes
    ----------
    basis : (d, C) tensor
        The E that was drawn, in [0, 1].
    bases : (steps, uses, d, C) tensor
        E at each use of the loss in each guided step.
    pulls : (steps, uses, 2) tensor
        Factors on the residuals of HSI and MSI in the gradients of the loss.
    statistics : (steps + 1, norms, 2, 32) tensor
        Mean and variance of each group in each call of the UNet.
    slopes : (steps, norms, 2, 32) tensor
        Means of the norms over the image in each backward pass.
    """

    basis: Tensor
    bases: Tensor
    pulls: Tensor
    statistics: Tensor
    slopes: Tensor

    @classmethod
    def of(cls, basis: Tensor, loss: JointLoss, network: RecordingUNet) -> Recording:
        """Collect the records of a loss and a network.

        Parameters
        ----------
        basis : (d, C) tensor
            The E that the run drew.
        loss : JointLoss
            Loss of the run.
        network : RecordingUNet
            Spatial network of the run.
        """
        steps = len(network.slopes)
        bases, pulls = (torch.stack(kept).unflatten(0, (steps, -1)) for kept in (loss.bases, loss.pulls))
        statistics, slopes = torch.stack(network.statistics), torch.stack(network.slopes)
        return cls(basis, bases, pulls, statistics, slopes).to(torch.device("cpu"))

    @classmethod
    def restore(cls, state: State) -> Recording | None:
        """Return the recording in a fitted method's state, or None."""
        if "recording.basis" not in state:
            return None
        return cls(*(torch.from_numpy(state[f"recording.{name}"]) for name in cls.__annotations__))

    def state(self) -> State:
        """Return the arrays of the recording, for a fitted method's state."""
        names = self.__annotations__
        return {f"recording.{name}": getattr(self, name).contiguous().numpy() for name in names}

    def to(self, device: torch.device) -> Recording:
        """Return the recording on a device."""
        return Recording(*(getattr(self, name).to(device) for name in self.__annotations__))


class RecordingUNet(nn.Module):
    """A UNet with joint norms that records their statistics.

    Parameters
    ----------
    network : SpatialUNet
        A network built with `RecordingNorm`.

    Attributes
    ----------
    statistics : list of tensors ``(norms, 2, 32)``
        Means and variances in each call.
    slopes : list of tensors ``(norms, 2, 32)``
        Means in each backward pass.
    """

    def __init__(self, network: SpatialUNet) -> None:
        super().__init__()
        self.network = network
        self.norms = [layer for layer in network.modules() if isinstance(layer, RecordingNorm)]
        self.statistics: list[Tensor] = []
        self.slopes: list[Tensor] = []

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predict the noise of images ``(n, d, H, W)``, normalised together, at equal indices ``(n,)``."""
        if x.requires_grad:
            x.register_hook(lambda _: self.slopes.append(_stacked([norm.slopes for norm in self.norms])))
        noise: Tensor = self.network(x, t)
        self.statistics.append(_stacked([norm.statistics for norm in self.norms]))
        return noise


class FrozenUNet(nn.Module):
    """A UNet whose norms act as recorded; a pixel's noise depends on its surroundings only.

    Parameters
    ----------
    network : SpatialUNet
        A network built with `FrozenNorm`.
    times : sequence of int
        Schedule indices of the recorded calls.
    recording : Recording
        Statistics of the norms.
    """

    def __init__(self, network: SpatialUNet, times: Sequence[int], recording: Recording) -> None:
        super().__init__()
        self.network, self.recording = network, recording
        self.norms = [layer for layer in network.modules() if isinstance(layer, FrozenNorm)]
        step_of = torch.zeros(STEPS, dtype=torch.int64)
        step_of[list(times)] = torch.arange(len(times))
        self.step_of = step_of.to(recording.slopes.device)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Predict the noise of images ``(n, d, H, W)`` at equal schedule indices ``(n,)``."""
        step = self.step_of.index_select(0, t[:1])
        guided = step.clamp(max=len(self.recording.slopes) - 1)  # the last call has no backward pass
        statistics = self.recording.statistics.index_select(0, step)[0]
        slopes = self.recording.slopes.index_select(0, guided)[0]
        for norm, of_call, of_backward in zip(self.norms, statistics, slopes, strict=True):
            norm.statistics, norm.slopes = of_call, of_backward
        noise: Tensor = self.network(x, t)
        return noise


def _stacked(of_norms: list[Tensor]) -> Tensor:
    return torch.stack(of_norms)
