"""The report: tables, figures and pictures of an experiment's results on one self-contained page.

Callers open the stores and pass images, in memory or on disk, and metrics.
"""
