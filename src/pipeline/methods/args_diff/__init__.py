"""ARGS-Diff (arXiv 2505.11800): networks, training, guided reverse diffusion; and what makes it fast."""

from pipeline.methods.args_diff.fast import FastArgsDiff
from pipeline.methods.args_diff.fitted import FittedArgsDiff
from pipeline.methods.args_diff.method import ArgsDiff
from pipeline.methods.base import Method
from pipeline.settings import ArgsDiffSettings

__all__ = ["ArgsDiff", "FastArgsDiff", "FittedArgsDiff", "by_budget"]


def by_budget(settings: ArgsDiffSettings) -> Method:
    """The method as published, or with exact data steps."""
    return FastArgsDiff(settings, settings.fast) if settings.fast else ArgsDiff(settings)
