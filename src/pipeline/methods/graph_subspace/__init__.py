"""A heavy-tailed prior on the graph of the pixels of the HR-MSI, in a spectral subspace."""

from pipeline.methods.graph_subspace.method import GraphSubspace

__all__ = ["GraphSubspace"]
