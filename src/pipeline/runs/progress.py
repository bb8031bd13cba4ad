"""Progress of a long step on stderr: a bar in a terminal, a line every few seconds in a log file."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class ProgressReport:
    """Display of the progress of long computations, which call it as ``report(phase, done, total, loss)``.

    Use as a context.

    Parameters
    ----------
    console : Console, optional
        Where to print; default: stderr.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._last_line = monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, phase: str, done: int, total: int, loss: float | None = None) -> None:
        """Show how many steps of a phase are finished, the loss and the rate.

        Parameters
        ----------
        phase : str
            Name of the phase.
        done : int
            Number of finished steps.
        total : int
            Number of all steps.
        loss : float, optional
            Present loss of a training.
        """
        now = monotonic()
        start, first = self._started.setdefault(phase, (now, done))
        rate = (done - first) / max(now - start, 1e-9)
        state = "" if loss is None else f"loss {loss:.4g}, "
        state += f"{rate:.3g}/s"
        if self._console.is_terminal:
            if phase not in self._tasks:
                self._tasks[phase] = self._bars.add_task(phase, total=total, state=state)
            self._bars.update(self._tasks[phase], completed=done, state=state)
        elif done == total or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            left = f"{(total - done) / rate:.0f} s left" if rate else "just started"
            self._console.print(f"{phase} {done}/{total}, {state}, {left}", highlight=False)
