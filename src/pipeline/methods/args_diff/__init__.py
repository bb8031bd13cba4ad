"""ARGS-Diff (Zhu et al. 2025): guided reverse diffusion; and a variant with exact data steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.args_diff.settings import ArgsDiffSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = ArgsDiffSettings


def build(settings: ArgsDiffSettings) -> Method:
    """Build the method as published, or the variant with exact data steps where the budget asks for it."""
    if settings.fast:
        from pipeline.methods.args_diff.fast import FastArgsDiff

        return FastArgsDiff(settings, settings.fast)
    from pipeline.methods.args_diff.method import ArgsDiff

    return ArgsDiff(settings)
