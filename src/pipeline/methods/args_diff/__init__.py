"""ARGS-Diff (arXiv 2505.11800): networks, training, guided reverse diffusion."""

from pipeline.methods.args_diff.fitted import FittedArgsDiff
from pipeline.methods.args_diff.method import ArgsDiff

__all__ = ["ArgsDiff", "FittedArgsDiff"]
