"""CuCaNet (Yao et al. 2020): coupled unmixing networks with cross-attention, trained on the pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.cucanet.settings import CucanetSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = CucanetSettings


def build(settings: CucanetSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.cucanet.method import CuCaNet

    return CuCaNet(settings)
