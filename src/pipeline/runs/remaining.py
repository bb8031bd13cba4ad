"""Estimate of how long a run of the workflow still takes, from the jobs that have finished.

Before anything is measured, a job is expected to take `START_SECONDS`, in which Python starts and the inputs
are read; a training or a fusion takes longer by the duration in the method's settings. Finished jobs then
scale all expectations to the speed of the machine. Jobs that log their progress show their own time left.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config.experiment import Experiment, Run
from pipeline.runs.batches import planned_batches, scene_shape, speed_of
from pipeline.runs.paths import experiment_folder

START_SECONDS = 3.0
SERIES = ("train", "plan", "fuse", "mosaic", "evaluate", "report")
"""Rules from a prepared observation to the report, in the order in which a run passes through them."""
LEFT = re.compile(r"([\d.]+) s left\s*$")
TAIL_BYTES = 4096


@dataclass(frozen=True)
class Job:
    """A job of the workflow that was started.

    Attributes
    ----------
    rule : str
        Name of the rule.
    started : float
        When it was started, in seconds of a monotonic clock.
    wildcards : mapping of str to str
        Its wildcards, such as scene, response, seed and label.
    log : Path or None
        File to which it writes its progress.
    """

    rule: str
    started: float
    wildcards: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None

    def concerns(self, run: Run) -> bool:
        """Tell whether the job's result is used for a run: its wildcards are the run's."""
        values = {name: str(value) for name, value in run._asdict().items()}
        return all(values.get(name, value) == value for name, value in self.wildcards.items())


class Remaining:
    """Seconds that a run of the workflow still takes.

    Parameters
    ----------
    experiment : Experiment
        Experiment that is run.
    cores : int
        Number of cores that its jobs share.

    Examples
    --------
    >>> from pipeline.config.experiment import parse_experiment
    >>> scene = {"source": {"kind": "synthetic", "height": 32, "width": 32, "bands": 8}}
    >>> response = {
    ...     "spatial": {"kind": "bicubic", "ratio": 4},
    ...     "spectral": {"kind": "gaussian", "centres": [500, 600], "fwhm": 80},
    ... }
    >>> experiment = {"experiment": "x", "scenes": {"a": scene}, "responses": {"b": response}}
    >>> remaining = Remaining(parse_experiment(experiment | {"methods": {"bicubic": {}}}, "example"), cores=2)
    >>> remaining.plan({"train": 1, "fuse": 1, "report": 1})
    >>> round(remaining.seconds(now=0.0))
    9
    >>> remaining.start(1, Job("train", started=0.0))
    >>> _ = remaining.finish(1, now=6.0)
    >>> round(remaining.seconds(now=6.0))  # the machine is half as fast
    12
    """

    def __init__(self, experiment: Experiment, cores: int) -> None:
        self.total = self.done = 0
        self.running: dict[int, Job] = {}
        self._cores = cores
        self._costs = {run: _costs(experiment, run) for run in experiment.runs()}
        self._waiting: Counter[str] = Counter()
        self._begun: defaultdict[str, set[Run]] = defaultdict(set)
        self._expected = self._measured = 0.0

    def plan(self, jobs: Mapping[str, int]) -> None:
        """Set the number of jobs of each rule in the run."""
        self._waiting = Counter(jobs)
        self.total = self._waiting.total()

    def start(self, number: int, job: Job) -> None:
        """Count a job as running.

        Parameters
        ----------
        number : int
            Snakemake's number of the job.
        job : Job
            The job.
        """
        self.running[number] = job
        self._waiting[job.rule] -= 1
        if job.wildcards.get("batches", "1") == "1":
            self._begun[job.rule] |= self._runs_of(job)

    def finish(self, number: int, now: float) -> Job | None:
        """Count a job as finished, and learn from the time it took; None if it was never started.

        Parameters
        ----------
        number : int
            Snakemake's number of the job.
        now : float
            The present time, on the clock of `Job.started`.
        """
        job = self.running.pop(number, None)
        if job is not None:
            self.done += 1
            self._measured += now - job.started
            self._expected += self._seconds(job)
        return job

    def seconds(self, now: float) -> float:
        """Estimate the seconds until the last job ends.

        The larger of two bounds is taken: all work divided among the cores, and the longest chain of jobs
        that wait for each other.

        Parameters
        ----------
        now : float
            The present time, on the clock of `Job.started`.
        """
        speed = self._measured / self._expected if self._expected else 1.0
        left = [_left(job, speed * self._seconds(job), now) for job in self.running.values()]
        waiting = speed * sum(count * self._mean(rule) for rule, count in self._waiting.items())
        series = [
            rest + speed * self._after(job) for rest, job in zip(left, self.running.values(), strict=True)
        ]
        return max((sum(left) + waiting) / self._cores, *series, speed * self._after(None))

    def _runs_of(self, job: Job) -> set[Run]:
        return {run for run in self._costs if job.concerns(run)}

    def _seconds(self, job: Job) -> float:
        """Return the seconds that a job is expected to take."""
        return START_SECONDS + max(
            (self._costs[run].get(job.rule, 0.0) for run in self._runs_of(job)), default=0.0
        )

    def _mean(self, rule: str) -> float:
        """Return the mean expected seconds of a rule's jobs that wait."""
        costs = [self._costs[run].get(rule, 0.0) for run in self._costs.keys() - self._begun[rule]]
        return START_SECONDS + (sum(costs) / len(costs) if costs else 0.0)

    def _after(self, job: Job | None) -> float:
        """Return the expected seconds of the longest chain of waiting jobs, after a given job or in all."""
        place = SERIES.index(job.rule) + 1 if job and job.rule in SERIES else 0
        rules = [rule for rule in SERIES[place:] if self._waiting[rule] > 0]
        series = (
            sum(self._costs[run].get(rule, 0.0) for rule in rules if job or run not in self._begun[rule])
            for run in (self._runs_of(job) if job else self._costs)
        )
        return START_SECONDS * len(rules) + max(series, default=0.0)


def _costs(experiment: Experiment, run: Run) -> dict[str, float]:
    """Return the expected seconds of a run's training and of one batch of its fusion."""
    settings = experiment.methods[run.label]
    height, width = scene_shape(experiment, run.scene) or (0, 0)
    folder = experiment_folder(experiment.experiment).run(run)
    fusion = height * width / 1e6 * speed_of(experiment, folder) / planned_batches(experiment, folder)
    return {"train": settings.expected_training, "fuse": fusion}


def _left(job: Job, expected: float, now: float) -> float:
    """Return the seconds until a running job ends, from its log or else as expected."""
    rest = expected - (now - job.started)
    match = LEFT.search(last_line(job.log)) if job.log else None
    late = 0.1 * (now - job.started)  # of a job that takes longer than expected
    return max(rest, float(match[1]) if match else 0.0, late, 1.0)


def last_line(log: Path) -> str:
    """Return the last line of a log that is not blank; empty if there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
