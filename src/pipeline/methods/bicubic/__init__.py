"""Bicubic interpolation of the LR-HSI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.bicubic.settings import BicubicSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = BicubicSettings


def build(settings: BicubicSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.bicubic.method import Bicubic

    return Bicubic(settings)
