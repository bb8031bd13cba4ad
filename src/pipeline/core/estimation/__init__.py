"""Estimation from the observed pair: noise levels, responses, shift."""
