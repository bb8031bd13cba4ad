"""HySure (Simoes et al. 2015): fusion with vector total variation in a spectral subspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.hysure.settings import HysureSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = HysureSettings


def build(settings: HysureSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.hysure.method import Hysure

    return Hysure(settings)
