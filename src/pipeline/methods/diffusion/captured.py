"""Steps of a loop as CUDA graphs, so that the GPU does not wait for Python between two kernels."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

import torch

log = logging.getLogger(__name__)

WARM_UP = 3  # calls before the capture, in which libraries choose kernels and allocate what they keep
LOOK_EVERY = {"cpu": 1, "cuda": 10}  # steps of a sampling; to look at the loss is to wait for the device

Result = TypeVar("Result")


class Captured(Generic[Result]):
    """A step that is replayed as a CUDA graph on a GPU, and called each time on a CPU.

    The step reads and changes tensors that stay where they are: what differs from call to call is in them. It
    never waits for the device, and its shapes do not change. The tensors that it returns are overwritten
    by the next call.

    Parameters
    ----------
    step : callable
        The step, without arguments.
    device : torch.device
        Device on which it computes.
    """

    def __init__(self, step: Callable[[], Result], device: torch.device) -> None:
        self.step = step
        self.graph: torch.cuda.CUDAGraph | None = None
        self._result: Result | None = None
        self._to_warm_up = WARM_UP
        self._eager = device.type != "cuda"

    def __call__(self) -> Result:
        """Take the step and return its result."""
        if self.graph is None and not self._eager and not self._to_warm_up:
            self._capture()
        if self.graph is not None:
            self.graph.replay()
            assert self._result is not None
            return self._result
        if self._eager:
            return self.step()
        self._to_warm_up -= 1
        return self._beside()

    def _beside(self) -> Result:
        """Take the step on a stream of its own, as PyTorch asks for before a capture."""
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            result = self.step()
        current.wait_stream(side)
        return result

    def _capture(self) -> None:
        """Record the kernels of a step, none of which runs; without success, stay with plain calls."""
        current, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        try:
            # "thread_local": other threads may allocate and copy meanwhile
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = self.step()
        except RuntimeError as error:
            torch.cuda.set_stream(current)  # the failed context leaves its own
            log.warning("steps run without a CUDA graph, several times slower: %s", error)
            self._eager, self._result = True, None
        else:
            self.graph = graph
