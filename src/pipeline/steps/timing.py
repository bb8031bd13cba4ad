"""Wall time and peak memory of a step, kept beside its output.

These numbers differ between equal runs, so they never enter a ledger or a store; `evaluate`
gathers them. GPU memory is not counted.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Literal

from pipeline.data.store import write_json


class Timing:
    """A step's stopwatch with two hands.

    >>> timing = Timing("crop")
    >>> with timing.measure("io"):
    ...     _ = sum(range(1000))
    >>> timing.seconds["io"] > 0, timing.seconds["compute"]
    (True, 0.0)
    """

    def __init__(self, step: str) -> None:
        self.step = step
        self.seconds = {"compute": 0.0, "io": 0.0}

    @contextmanager
    def measure(self, part: Literal["compute", "io"]) -> Iterator[None]:
        """Add the time inside the block to `part`."""
        start = perf_counter()
        yield
        self.seconds[part] += perf_counter() - start

    def write(
        self, folder: Path, *, device: str = "cpu", precision: str = "float64", parameters: int = 0
    ) -> None:
        """Write `<step>.timing.json` into `folder`.

        Parameters
        ----------
        folder : Path
            Where the step's output lies.
        device, precision : str
            Where and in which floating-point type the heavy part was computed.
        parameters : int
            Number of trained parameters.
        """
        content = {
            "step": self.step,
            "seconds": {part: round(value, 6) for part, value in self.seconds.items()},
            "peak_mem_mb": round(peak_memory_mb(), 1),
            "device": device,
            "precision": precision,
            "parameters": parameters,
        }
        write_json(folder / f"{self.step}.timing.json", content)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
