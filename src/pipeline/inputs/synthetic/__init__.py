"""Synthetic scenes, a function of seed and absolute position."""
