"""Time and memory of a computation on the CPU or a GPU."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from types import TracebackType
from typing import Self, TypeVar

import torch

T = TypeVar("T")
MEGABYTE = 1e6


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(action: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """Return the result of an action and its wall time in seconds.

    Parameters
    ----------
    action : callable
        The computation.
    device : torch.device
        Device whose work belongs to it.
    """
    wait_for(device)
    start = perf_counter()
    result = action()
    wait_for(device)
    return result, perf_counter() - start


class Laps:
    """A callback of progress that takes the time of each reported step of one phase.

    Parameters
    ----------
    phase : str
        Name of the phase.
    device : torch.device
        Device of the computation; a GPU is waited for at each report.
    """

    def __init__(self, phase: str, device: torch.device) -> None:
        self.phase, self.device = phase, device
        self.laps: list[tuple[int, float, float]] = []

    def __call__(self, phase: str, done: int, total: int, loss: float | None = None, /) -> None:
        """Take the time of a step."""
        if phase == self.phase:
            wait_for(self.device)
            self.laps.append((done, perf_counter(), process_time()))

    @property
    def seconds(self) -> float:
        """Wall seconds of a step, after the first third, in which kernels are chosen and captured."""
        return self._of_a_step(1)

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of such a step."""
        return self._of_a_step(2)

    def _of_a_step(self, clock: int) -> float:
        if len(self.laps) < 2:
            raise RuntimeError(f"{self.phase}: fewer than two times were taken")
        first, last = self.laps[min(len(self.laps) // 3, len(self.laps) - 2)], self.laps[-1]
        return (last[clock] - first[clock]) / (last[0] - first[0])


class Peak:
    """A block's largest memory in MB: of the process, and what PyTorch allocated on the GPU.

    Attributes
    ----------
    host : float
        Resident memory; that of the whole process so far where the system cannot reset it.
    gpu : float
        Allocated memory of the GPU; zero without one.
    """

    host = gpu = 0.0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> Self:
        """Forget earlier peaks."""
        wait_for(self.device)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        reset = Path("/proc/self/clear_refs")
        if reset.exists():
            reset.write_text("5")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the peaks."""
        wait_for(self.device)
        if self.device.type == "cuda":
            self.gpu = torch.cuda.max_memory_allocated(self.device) / MEGABYTE
        self.host = resident_peak()


def resident_peak() -> float:
    """Return the largest resident memory of this process in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) * 1024 / MEGABYTE
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Return the rate of square matrix products in operations per second, the best of ten.

    Parameters
    ----------
    device : torch.device
        The device.
    dtype : torch.dtype
        Type of the matrices.
    size : int
        Their side.
    """
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times = [timed(lambda: torch.mm(a, b), device)[1] for _ in range(12)][2:]
    return 2 * size**3 / min(times)


def bandwidth(device: torch.device, values: int) -> float:
    """Return the rate at which memory is read and written by a copy, in bytes per second, the best of ten.

    Parameters
    ----------
    device : torch.device
        The device.
    values : int
        Number of copied float32 values.
    """
    source = torch.zeros(values, device=device)
    target = torch.empty_like(source)
    times = [timed(lambda: target.copy_(source), device)[1] for _ in range(12)][2:]
    return 2 * source.nbytes / min(times)
