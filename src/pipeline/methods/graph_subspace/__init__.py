"""Fusion with a heavy-tailed prior on a graph of similar HR-MSI pixels, in a spectral subspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.methods.graph_subspace.settings import GraphSubspaceSettings

if TYPE_CHECKING:
    from pipeline.methods.base import Method

SETTINGS = GraphSubspaceSettings


def build(settings: GraphSubspaceSettings) -> Method:
    """Build the method that the settings describe."""
    from pipeline.methods.graph_subspace.method import GraphSubspace

    return GraphSubspace(settings)
