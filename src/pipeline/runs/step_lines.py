"""A run of the workflow in one line for each step: its task, its duration and the time left.

    [11/25] train graph_subspace on synthetic (seed 0): 4 s; about 1 min left

`StepLines` is a handler of Snakemake's log, given to it as a logger plugin by `pipeline run`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from logging import WARNING, LogRecord
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, ClassVar

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from pipeline.runs.messages import warnings_in
from pipeline.runs.remaining import Job, Remaining, last_line

SECONDS_BETWEEN_LINES = 15.0
NO_STEPS = ("all", "total")  # the target, and the sum that Snakemake adds
PHRASES = {
    "download": "find the files of {scene}",
    "crop": "cut the reference of {scene}",
    "clip": "cut the reference of {scene} to the pair",
    "wald": "take the LR-HSI as the reference of {scene}",
    "simulate": "simulate both sensors on {scene}",
    "align": "align the two images of {scene}",
    "degrade": "degrade the pair of {scene}",
    "estimate": "estimate responses and noise of {scene}",
    "train": "train {label} on {scene}",
    "plan": "cut {scene} into tiles for {label}",
    "fuse": "fuse {scene} with {label}",
    "mosaic": "check the cube of {label} on {scene}",
    "trace": "trace the sampling of {label} on {scene}",
    "evaluate": "score {label} on {scene}",
    "export": "export the cube of {label} on {scene}",
    "report": "write the report",
}
"""Description of each rule for people who do not know the workflow."""


class StepLines(LogHandlerBase):
    """Prints a line when a step ends or fails, and what runs when nothing has ended for a while."""

    remaining: ClassVar[Remaining]
    """Estimate of the run's time, set in a subclass."""

    def __post_init__(self) -> None:
        self._lock, self._stop = Lock(), Event()
        self._printed = monotonic()
        self._repeated: set[str] = set()
        self._watch: Thread | None = None

    @property
    def writes_to_stream(self) -> bool:
        """Whether this replaces Snakemake's own lines; a dry run keeps them."""
        return not getattr(self.common_settings, "dryrun", False)

    @property
    def writes_to_file(self) -> bool:
        """Whether this writes a file; False, since Snakemake keeps its full log itself."""
        return False

    @property
    def has_filter(self) -> bool:
        """Whether this needs no filter of Snakemake's."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Whether this needs no formatter of Snakemake's."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Whether this draws the graph of the rules."""
        return False

    def emit(self, record: LogRecord) -> None:
        """Take one message of Snakemake."""
        if not self.writes_to_stream:
            return
        with self._lock:
            self._take(record.__dict__, record.levelno)

    def close(self) -> None:
        """Stop watching the running jobs."""
        self._stop.set()
        super().close()

    def _take(self, message: Mapping[str, Any], level: int) -> None:
        event, text = message.get("event"), str(message.get("msg") or "")
        if event == LogEvent.RUN_INFO:
            self._plan(message["stats"])
        elif event == LogEvent.JOB_INFO and message["rule_name"] not in NO_STEPS:
            log = Path(message["log"][0]) if message["log"] else None
            job = Job(message["rule_name"], monotonic(), dict(message["wildcards"] or {}), log)
            self.remaining.start(message["jobid"], job)
        elif event == LogEvent.JOB_FINISHED:
            self._finished(message["job_id"])
        elif event == LogEvent.JOB_ERROR:
            self._failed(message)
        elif level >= WARNING and text:
            self._print(text)
        elif text.startswith(("Nothing to be done", "Complete log")):
            self._print(text.replace("Complete log(s): ", "Snakemake's log: "))

    def _plan(self, stats: Mapping[str, int]) -> None:
        """Begin to count, once Snakemake has laid out its jobs; its last message repeats them."""
        if not self.remaining.total:
            self.remaining.plan({rule: int(n) for rule, n in stats.items() if rule not in NO_STEPS})
            seconds = self.remaining.seconds(monotonic())
            self._print(f"{self.remaining.total} steps, about {in_words(seconds)}")
            self._watch = Thread(target=self._watch_running, daemon=True)
            self._watch.start()

    def _finished(self, number: int) -> None:
        now = monotonic()
        job = self.remaining.finish(number, now)
        if job is not None:
            count = f"[{self.remaining.done}/{self.remaining.total}]"
            self._print(f"{count} {phrase(job)}: {in_words(now - job.started)}; {self._time_left(now)}")
            for line in warnings_in(job.log) if job.log else ():
                if line not in self._repeated:  # the same pair at several seeds
                    self._repeated.add(line)
                    self._print(f"  {line}")

    def _failed(self, message: Mapping[str, Any]) -> None:
        """Say why a step failed in its own words: the last line of its log."""
        job = self.remaining.running.get(message["jobid"])
        step = phrase(job) if job else message["rule_name"]
        log = message["log"][0] if message["log"] else None
        reason = last_line(Path(log)) if log else str(message["rule_msg"] or "")
        self._print(f"Failed to {step}: {reason or 'no message'}" + (f" (log: {log})" if log else ""))

    def _watch_running(self) -> None:
        """Name the job that has run longest, whenever nothing was printed for a while."""
        while not self._stop.wait(1.0):
            with self._lock:
                if self.remaining.running:
                    self._show_running(monotonic())

    def _show_running(self, now: float) -> None:
        job = min(self.remaining.running.values(), key=lambda job: job.started)
        spent = now - job.started
        if now - self._printed >= max(
            SECONDS_BETWEEN_LINES, spent / 10
        ):  # a day's training: a few dozen lines
            count = " " * len(f"[{self.remaining.done}/{self.remaining.total}]")
            self._print(f"{count} {phrase(job)}: running for {in_words(spent)}; {self._time_left(now)}")

    def _time_left(self, now: float) -> str:
        if self.remaining.done >= self.remaining.total:
            return "done"
        return f"about {in_words(self.remaining.seconds(now))} left"

    def _print(self, text: str) -> None:
        self._printed = monotonic()
        print(text, file=sys.stderr, flush=True)


def phrase(job: Job) -> str:
    """Describe the task of a job.

    >>> phrase(Job("train", 0.0, {"label": "bicubic", "scene": "field", "seed": "0"}))
    'train bicubic on field (seed 0)'
    >>> phrase(Job("fuse", 0.0, {"label": "a", "scene": "b", "seed": "1", "batch": "2", "batches": "9"}))
    'fuse b with a (seed 1, part 2 of 9)'
    """
    words = job.wildcards
    given = PHRASES.get(job.rule, job.rule).format_map(defaultdict(str, words))
    details = [f"seed {words['seed']}"] if "seed" in words else []
    if words.get("batches", "1") != "1":
        details.append(f"part {words['batch']} of {words['batches']}")
    return f"{given} ({', '.join(details)})" if details else given


def in_words(seconds: float) -> str:
    """Say a duration.

    >>> in_words(0.4), in_words(42), in_words(100), in_words(9000)
    ('1 s', '42 s', '2 min', '2.5 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
