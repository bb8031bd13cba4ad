"""MIAE (Liu, Wu, Xiao and Wu 2022): an autoencoder of single pixels, trained on the observed pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.miae.settings import MiaeSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = MiaeSettings


def build(settings: MiaeSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.miae.method import Miae

    return Miae(settings)
