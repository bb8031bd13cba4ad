"""Closed-form fusion with a Gaussian prior in a spectral subspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.gaussian_subspace.settings import GaussianSubspaceSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = GaussianSubspaceSettings


def build(settings: GaussianSubspaceSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.gaussian_subspace.method import GaussianSubspace

    return GaussianSubspace(settings)
