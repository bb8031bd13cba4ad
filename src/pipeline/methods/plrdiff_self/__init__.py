"""The sampler of PLRDiff (Rui et al. 2024) with a prior trained on the pair's own HR-MSI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.plrdiff_self.settings import PlrdiffSelfSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = PlrdiffSelfSettings


def build(settings: PlrdiffSelfSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.plrdiff_self.method import PlrdiffSelf

    return PlrdiffSelf(settings)
