"""PLRDiff (Rui et al. 2024): base bands drawn by a published diffusion model of aerial photographs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.plrdiff.settings import PlrdiffSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = PlrdiffSettings


def build(settings: PlrdiffSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.plrdiff.method import Plrdiff

    return Plrdiff(settings)
