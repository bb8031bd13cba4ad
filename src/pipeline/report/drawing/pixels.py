"""Typical pixels: one for each of the main kinds of spectra on a coarse grid of a scene's pixels.

The grid's spectra are gathered window by window; farthest points among them start a k-means
clustering. The clusters serve to choose pixels for charts; they are no classification.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.vq import kmeans2

from pipeline.core.subspace.farthest import farthest_points
from pipeline.core.window import Window
from pipeline.report.drawing.pictures import Floats

CANDIDATES = 4096
"""Largest number of pixels on the grid."""
PIXELS = 6


class Candidates:
    """Spectra on a grid of pixels that leaves out the outermost twentieth of the image.

    Parameters
    ----------
    bands, height, width : int
        Size of the scene.
    most : int
        Largest number of pixels on the grid.
    """

    def __init__(self, bands: int, height: int, width: int, most: int = CANDIDATES) -> None:
        step = max(1, int(np.ceil(np.sqrt(height * width / most))))
        self.rows, self.columns = (
            np.arange(side // 20 + step // 2, side - side // 20, step) for side in (height, width)
        )
        self.spectra = np.full((self.rows.size, self.columns.size, bands), np.nan)

    def add(self, window: Window, cube: Floats) -> None:
        """Take the grid's pixels from `cube` ``(C, height, width)``, a window of the scene.

        Parameters
        ----------
        window : Window
            Its place in the scene.
        cube : (C, height, width)
            Its values.
        """
        y = slice(*np.searchsorted(self.rows, (window.y0, window.y1)))
        x = slice(*np.searchsorted(self.columns, (window.x0, window.x1)))
        values = cube[:, self.rows[y, None] - window.y0, self.columns[None, x] - window.x0]
        self.spectra[y, x] = np.moveaxis(values, 0, -1)

    def typical(self, count: int = PIXELS) -> list[tuple[int, int]]:
        """Return row and column of a typical pixel for each kind: the nearest to its cluster's centre.

        The same scene always gives the same pixels, all of them with data; fewer than `count` where
        spectra coincide.

        Parameters
        ----------
        count : int
            Number of kinds.
        """
        grid = np.stack(np.meshgrid(self.rows, self.columns, indexing="ij"), axis=-1)
        valid = np.isfinite(self.spectra).all(axis=-1)
        positions, spectra = grid[valid], self.spectra[valid]
        if len(spectra) == 0:
            return []
        outlier = int(np.argmax(((spectra - spectra.mean(axis=0)) ** 2).sum(axis=1)))
        starts = spectra[farthest_points(spectra, outlier, count)]
        centres, _ = kmeans2(spectra, starts, iter=10, minit="matrix")
        nearest = (int(np.argmin(((spectra - centre) ** 2).sum(axis=1))) for centre in centres)
        return [(int(positions[i, 0]), int(positions[i, 1])) for i in dict.fromkeys(nearest)]
