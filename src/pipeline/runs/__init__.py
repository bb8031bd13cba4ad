"""A scene in tiles: which tiles there are, in which jobs they are fused, and how a job runs them."""
