"""Figures and pages: what an experiment's results look like on paper.

Images, in memory or on disk, and metrics come in, a self-contained page goes out; no store is opened in
this room.
"""
