"""HySure: fusion with vector total variation in a spectral subspace (Simoes et al. 2015)."""

from pipeline.methods.hysure.method import Hysure

__all__ = ["Hysure"]
