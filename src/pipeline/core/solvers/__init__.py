"""Solvers of the fusion problem in a spectral subspace, and the priors they use."""
