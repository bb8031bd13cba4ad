"""Warnings of the steps, marked in their logs, so that a run can repeat them where its user looks."""

from __future__ import annotations

import logging
from pathlib import Path

MARK = "warning: "


class Messages(logging.Formatter):
    """Formatter of plain messages, in which warnings carry a mark."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line.

        Parameters
        ----------
        record : LogRecord
            The message.
        """
        text = super().format(record)
        return f"{MARK}{text}" if record.levelno == logging.WARNING else text


def warnings_in(log: Path) -> list[str]:
    """Return the warnings in the log of a step, each once.

    Parameters
    ----------
    log : Path
        The log; it may be missing.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return list(dict.fromkeys(line for line in lines if line.startswith(MARK)))


def warnings_below(folder: Path) -> list[str]:
    """Return the warnings in all logs of an experiment, each once, with the log's name.

    Parameters
    ----------
    folder : Path
        The experiment's folder of logs.
    """
    first: dict[str, Path] = {}
    for log in sorted(folder.rglob("*.log")):
        for line in warnings_in(log):
            first.setdefault(line, log)
    return [f"{line} ({log})" for line, log in first.items()]
