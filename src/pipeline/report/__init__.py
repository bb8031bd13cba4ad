"""Figures and pages: what an experiment's results look like on paper.

Arrays and metrics come in, a self-contained page goes out; no store is opened in this room.
"""
