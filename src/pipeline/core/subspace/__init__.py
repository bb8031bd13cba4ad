"""Spectral subspaces and endmembers of a scene."""
