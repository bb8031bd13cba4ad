"""What is settled for a scene as a whole before its base bands are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.subspace.base_bands import mixing_matrix
from pipeline.methods.base import State
from pipeline.methods.pool import unit_scale


@dataclass(frozen=True)
class Recording:
    """Recording of a joint run.

    Attributes
    ----------
    pulls : (steps, 2) tensor
        Factors on the residuals of HSI and MSI in the gradients of the loss; empty with exact data steps.
    etas : (2,) tensor
        Step sizes, in float64; empty with exact data steps.
    records, slopes : list of (calls, ...) tensor
        Numbers of the network's layers in each call, and of its norms in each backward pass.
    """

    pulls: Tensor
    etas: Tensor
    records: list[Tensor]
    slopes: list[Tensor]

    def state(self) -> State:
        """Return the arrays of the recording, for a fitted method's state."""
        lists = {"record": self.records, "slope": self.slopes}
        arrays = {f"{name}.{i:04d}": t.numpy() for name, kept in lists.items() for i, t in enumerate(kept)}
        return arrays | {"pulls": self.pulls.numpy(), "etas": self.etas.numpy()}

    @classmethod
    def restore(cls, state: State) -> Recording | None:
        """Return the recording in a fitted method's state, or None."""
        if "pulls" not in state:
            return None

        def kept(prefix: str) -> list[Tensor]:
            return [torch.from_numpy(state[name]) for name in sorted(state) if name.startswith(prefix)]

        pulls, etas = (torch.from_numpy(state[name]) for name in ("pulls", "etas"))
        return cls(pulls, etas, kept("record."), kept("slope."))


@dataclass(frozen=True)
class LowRankModel:
    """What is settled for a scene as a whole.

    Attributes
    ----------
    scale : float
        The images' largest value, by which they are divided.
    mixing : (r, C) float32
        E.
    recording : Recording or None
        Recording of a joint run, if the scene is sampled in patches.
    """

    scale: float
    mixing: NDArray[np.float32]
    recording: Recording | None = None

    @classmethod
    def of(cls, scene: ObservedScene, rank: int) -> LowRankModel:
        """Settle scale and E.

        Parameters
        ----------
        scene : ObservedScene
            The scene.
        rank : int
            Number of base bands.
        """
        scale = unit_scale(scene)
        return cls(scale, mixing_matrix(scene.lr_hsi, rank, scale).astype(np.float32))

    def state(self) -> State:
        """Return the arrays, for a fitted method's state."""
        recorded = self.recording.state() if self.recording else {}
        return {"scale": np.array(self.scale), "mixing": self.mixing} | recorded

    @classmethod
    def restore(cls, state: State) -> LowRankModel:
        """Return the model in a fitted method's state."""
        return cls(state["scale"].item(), state["mixing"], Recording.restore(state))
