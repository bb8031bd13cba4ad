"""`pipeline status`: say which runs of an experiment are done, running or missing, and how long is left.

Reads ledgers, manifests and journals, and no pixel. A batch counts as running if its log or its
journal changed a short while ago.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import time

from pipeline.config.experiment import Experiment
from pipeline.runs.batches import planned_batches, tiles_planned
from pipeline.runs.paths import ExperimentFolder, RunFolder, batch_name
from pipeline.store.shards import journal_lines

RECENT = 180.0  # seconds since the last sign of life of a running batch


@dataclass(frozen=True)
class TileProgress:
    """Progress of the tiles of one run.

    Attributes
    ----------
    tiles : int or None
        Number of tiles in the plan; None before there is a plan.
    done : int
        Number of finished tiles.
    batches : int
        Number of batches.
    finished : int
        Number of finished batches.
    running : int
        Number of batches that seem to be running.
    seconds : float
        Seconds that the finished tiles took.
    """

    tiles: int | None
    done: int
    batches: int
    finished: int
    running: int
    seconds: float

    @property
    def left(self) -> float | None:
        """Seconds until all tiles are fused, at the present number of jobs; None before the first tile."""
        if self.tiles is None or not self.done:
            return None
        return (self.tiles - self.done) * self.seconds / self.done / max(1, self.running)


def run(experiment: Experiment, folder: ExperimentFolder) -> str:
    """Return one line for each run of an experiment, and a last one for all of it.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    folder : ExperimentFolder
        Its folder.
    """
    lines, finished, total = [], 0, 0
    for key in experiment.runs():
        run = folder.run(key)
        state = _state(experiment, run)
        done = run.metrics.exists() and state == "fused"
        finished, total = finished + done, total + 1
        lines.append(f"{run.path.relative_to(folder.path).as_posix()}: {'done' if done else state}")
    report = "report written" if folder.report.exists() else "no report yet"
    return "\n".join([*lines, f"{experiment.experiment}: {finished} of {total} runs done, {report}"])


def _state(experiment: Experiment, run: RunFolder) -> str:
    """Return the state of one run in words."""
    simulated = experiment.scenes[run.scene.name].source is not None  # others get a reference late, or never
    for path, missing in (
        *([(run.scene.reference.ledger, "waits for the reference")] if simulated else []),
        (run.images.observation.ledger, "waits for the observation"),
        (run.fitted, "waits for training"),
    ):
        if not path.exists():
            return missing
    if run.fused.ledger.exists():
        return "fused"
    progress = progress_of(run, planned_batches(experiment, run))
    if progress.tiles is None:
        return "waits for its plan"
    left = "" if progress.left is None else f", about {_in_words(progress.left)} left"
    return (
        f"{progress.done} of {progress.tiles} tiles, {progress.finished} of {progress.batches} batches done, "
        f"{progress.running} running{left}"
    )


def progress_of(run: RunFolder, batches: int) -> TileProgress:
    """Return how many tiles and batches of a run are finished.

    Parameters
    ----------
    run : RunFolder
        Folder of the run.
    batches : int
        Number of batches of its cube.
    """
    journals = sorted(run.journals(), key=lambda path: path.stat().st_mtime)
    lines = [line for journal in journals for line in journal_lines(journal)]
    seconds = {line["unit"]: float(line["seconds"]) for line in lines if line["token"] == lines[-1]["token"]}
    finished = running = 0
    for batch in range(1, batches + 1):
        if run.manifest(batch, batches).exists():
            finished += 1
        else:
            signs = run.journal(batch, batches), run.log(f"fuse.{batch_name(batch, batches)}")
            running += any(map(_recent, signs))
    return TileProgress(tiles_planned(run), len(seconds), batches, finished, running, sum(seconds.values()))


def _recent(path: Path) -> bool:
    try:
        return time() - path.stat().st_mtime < RECENT
    except FileNotFoundError:
        return False


def _in_words(seconds: float) -> str:
    """Return a duration in rounded units.

    >>> _in_words(42), _in_words(600), _in_words(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
