"""Wall time and peak memory of a step, stored beside its output.

These numbers differ between equal runs, so they never enter a ledger or a store; `evaluate`
gathers them. GPU memory is not counted.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from pipeline.runs.paths import TIMING
from pipeline.store.files import read_record, write_record


class Timing:
    """Stopwatch of a step, for computing and for reading and writing.

    >>> timing = Timing("crop")
    >>> with timing.measure("io"):
    ...     _ = sum(range(1000))
    >>> timing.seconds["io"] > 0, timing.seconds["compute"]
    (True, 0.0)
    """

    def __init__(self, step: str) -> None:
        self.step = step
        self.seconds = {"compute": 0.0, "io": 0.0}
        self.least_memory_mb = 0.0

    @contextmanager
    def measure(self, part: Literal["compute", "io"]) -> Iterator[None]:
        """Add the time inside the block to `part`, `compute` or `io`."""
        start = perf_counter()
        yield
        self.seconds[part] += perf_counter() - start

    def include(self, other: Mapping[str, Any]) -> None:
        """Add the computing time of another step, whose result is reused, from its timing `other`."""
        self.seconds["compute"] += other["seconds"]["compute"]
        self.least_memory_mb = other["peak_mem_mb"]

    def write(
        self,
        folder: Path,
        *,
        name: str | None = None,
        device: str = "cpu",
        precision: str = "float64",
        parameters: int = 0,
    ) -> None:
        """Write `<name>.timing.json` into `folder`.

        Parameters
        ----------
        folder : Path
            Where the step's output lies.
        name : str, optional
            Default: the step's.
        device, precision : str
            Where and in which floating-point type the heavy part was computed.
        parameters : int
            Number of parameters trained by gradient descent.
        """
        content = {
            "step": self.step,
            "seconds": {part: round(value, 6) for part, value in self.seconds.items()},
            "peak_mem_mb": round(max(peak_memory_mb(), self.least_memory_mb), 1),
            "device": device,
            "precision": precision,
            "parameters": parameters,
        }
        write_record(folder / f"{name or self.step}{TIMING}", content)


def write_total(parts: Sequence[Path], out: Path) -> None:
    """Write the timing of a step that several jobs shared: sums of seconds, the largest memory.

    Parameters
    ----------
    parts : sequence of Path
        The timings of the jobs.
    out : Path
        The file to write.
    """
    timings = [read_record(path) for path in parts]
    total = timings[0] | {
        "seconds": {
            part: round(sum(timing["seconds"][part] for timing in timings), 6) for part in ("compute", "io")
        },
        "peak_mem_mb": max(timing["peak_mem_mb"] for timing in timings),
        "device": ", ".join(sorted({timing["device"] for timing in timings})),
    }
    write_record(out, total)


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
