"""Per-pixel baseline that ignores H: a network from an HR-MSI pixel to a spectrum, trained on (R X, X)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.spectral_mlp.settings import SpectralMlpSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = SpectralMlpSettings


def build(settings: SpectralMlpSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.spectral_mlp.method import SpectralMlp

    return SpectralMlp(settings)
