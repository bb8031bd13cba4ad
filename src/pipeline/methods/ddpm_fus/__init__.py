"""DDPM-Fus (Shi, Zhang and Chen 2023): a diffusion model of the cube, conditioned on both images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.ddpm_fus.settings import DdpmFusSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = DdpmFusSettings


def build(settings: DdpmFusSettings) -> Method:
    """Build the method."""
    from pipeline.methods.ddpm_fus.method import DdpmFus
    from pipeline.methods.diffusion.conditional_training import ConditionalMethod

    return ConditionalMethod(DdpmFus(settings))
