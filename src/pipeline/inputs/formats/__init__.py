"""File formats, opened lazily and read in windows."""
