"""A real pair of images: their grids, bands and responses."""
