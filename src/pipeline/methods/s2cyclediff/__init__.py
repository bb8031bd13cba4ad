"""S2CycleDiff (Qu et al. 2024): a spectral and a spatial diffusion model of the cube, tied by a cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.s2cyclediff.settings import S2CycleDiffSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = S2CycleDiffSettings


def build(settings: S2CycleDiffSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.diffusion.conditional_training import ConditionalMethod
    from pipeline.methods.s2cyclediff.method import S2CycleDiff

    return ConditionalMethod(S2CycleDiff(settings))
