"""Stages of a benchmark, run one after the other in a process that is replaced when one of them fails.

A stage yields its figures one by one, so that those before a failure or the end of its time are kept.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any, NamedTuple

START = 120.0  # seconds in which a process has to load PyTorch and the package


class Figure(NamedTuple):
    """A measured number.

    Attributes
    ----------
    name : str
        Name of the measured quantity.
    value : float
        The number.
    unit : str
        Its unit.
    """

    name: str
    value: float
    unit: str


class Stage(NamedTuple):
    """A part of a benchmark.

    Attributes
    ----------
    run : callable
        Yields figures, given the benchmark's options.
    limit : float
        Seconds that it may take.
    """

    run: Callable[[Any], Iterator[Figure]]
    limit: float


@dataclass
class Outcome:
    """Figures of a stage, its duration in seconds, and the error that ended it."""

    figures: list[Figure] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None


def run_stages(stages: Mapping[str, Stage], options: Any, limit: float) -> dict[str, Outcome]:
    """Run stages in turn.

    Parameters
    ----------
    stages : mapping of Stage
        The stages by their names.
    options : object
        Argument of each stage.
    limit : float
        Seconds for all stages together; a stage that would start later is left out.
    """
    end, outcomes, waiting = monotonic() + limit, {}, list(stages)
    spawn = get_context("spawn")  # a forked process could not use the GPU
    while waiting:
        receiver, sender = spawn.Pipe(duplex=False)
        remaining = {name: stages[name] for name in waiting}
        process = spawn.Process(target=_work, args=(remaining, options, sender), daemon=True)
        process.start()
        sender.close()
        error = _follow(receiver, min(START, end - monotonic())).error
        while waiting:
            name = waiting.pop(0)
            outcome = (
                Outcome(error=error)
                if error
                else _follow(receiver, min(stages[name].limit, end - monotonic()))
            )
            outcomes[name] = outcome
            print(f"{name}: {outcome.error or f'{outcome.seconds:.1f} s'}", file=sys.stderr, flush=True)
            if outcome.error:
                break
        process.kill()
        process.join()
    return outcomes


def _follow(receiver: Connection, limit: float) -> Outcome:
    """Receive the figures of a stage until it ends, fails or has used its time."""
    start, outcome = monotonic(), Outcome()
    while True:
        left = start + limit - monotonic()
        if limit <= 0 or not receiver.poll(max(left, 0)):
            outcome.error = f"stopped after {limit:.3g} s" if limit > 0 else "no time was left"
            break
        try:
            message = receiver.recv()
        except EOFError:
            outcome.error = "the process ended"
            break
        if isinstance(message, Figure):
            outcome.figures.append(message)
            continue
        outcome.error = message
        break
    outcome.seconds = monotonic() - start
    return outcome


def _work(stages: Mapping[str, Stage], options: Any, sender: Connection) -> None:
    """Run stages until one fails, in a process of their own; None tells that one has ended well."""
    sender.send(None)  # everything is imported
    for stage in stages.values():
        try:
            for figure in stage.run(options):
                sender.send(figure)
        except Exception as error:
            traceback.print_exc()
            sender.send(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            return
        sender.send(None)


def table(outcomes: Mapping[str, Outcome], goals: Mapping[str, float]) -> str:
    """Return figures and errors as a Markdown table.

    Parameters
    ----------
    outcomes : mapping of Outcome
        What became of each stage.
    goals : mapping of float
        Goals by stage and figure, as ``stage: figure``.
    """
    lines = ["| stage | figure | value | unit | goal |", "|---|---|---|---|---|"]
    for stage, outcome in outcomes.items():
        for name, value, unit in outcome.figures:
            goal = goals.get(f"{stage}: {name}")
            lines.append(f"| {stage} | {name} | {value:.4g} | {unit} | {'' if goal is None else goal} |")
        if outcome.error:
            lines.append(f"| {stage} | error: {outcome.error} | | | |")
    return "\n".join(lines)
