"""The closed-form solution with a Gaussian prior in a spectral subspace."""

from pipeline.methods.gaussian_subspace.method import GaussianSubspace

__all__ = ["GaussianSubspace"]
