"""The graph of an image's pixels: each is tied to its neighbours and to those that look most like it.

Pixels that look alike in the HR-MSI are likely to hold the same materials, wherever they lie, so that
what the HR-MSI does not see of one can be told from the others (non-local means, Buades, Coll and Morel
2005; here only to say who is tied to whom, not how strongly).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

REACH = 16  # HR pixels, beyond which no pixels are tied
DISTANCE = 0.05  # of a pixel, in units of the HR-MSI's standard deviation


@dataclass(frozen=True)
class PixelGraph:
    """Edges between the pixels of an image, numbered row by row.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image.
    first, second : (m,) int
        The pixels of each edge; `first` owns it.
    slot : (m,) int
        Number of the edge among its owner's: 0 and 1 to the right and down, from 2 on to similar pixels.
    """

    shape: tuple[int, int]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    slot: NDArray[np.intp]

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    def differences(self, values: Array) -> Array:
        """Differences ``(m, d)`` along the edges of values ``(n, d)`` at the pixels."""
        return values[self.first] - values[self.second]

    def differences_adjoint(self, field: Array) -> Array:
        """The transpose of `differences`: ``(m, d)`` to ``(n, d)``."""
        edges = np.arange(len(self.first))
        ones = np.ones(len(edges))
        pixels = np.concatenate([self.first, self.second])
        incidence = csr_array(
            (np.concatenate([ones, -ones]), (pixels, np.concatenate([edges, edges]))),
            shape=(self.pixels, len(edges)),
        )
        return np.asarray(incidence @ field)

    def laplacian(self, weights: Array, chosen: NDArray[np.bool_]) -> csr_array:
        """``D^T diag(w) D`` over the chosen edges, D being `differences`; ``(n, n)``."""
        first, second, weights = self.first[chosen], self.second[chosen], weights[chosen]
        tied = csr_array((weights, (first, second)), shape=(self.pixels, self.pixels))
        tied = tied + tied.T
        return csr_array(diags_array(tied.sum(axis=1)) - tied)


def grid_edges(shape: tuple[int, int]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Each pixel with that to its right, and each with that below."""
    number = np.arange(shape[0] * shape[1]).reshape(shape)
    return [
        (number[:, :-1].ravel(), number[:, 1:].ravel()),
        (number[:-1].ravel(), number[1:].ravel()),
    ]


def pixel_graph(features: Array, similar: int) -> PixelGraph:
    """The graph of an image.

    Parameters
    ----------
    features : (c, H, W)
        Spectra in units in which one is a large difference.
    similar : int
        Number of pixels to which each is tied for its likeness: the nearest in spectrum and place, each
        pixel of distance counting `DISTANCE`; those further than `REACH` are left out.
    """
    shape = features.shape[1], features.shape[2]
    edges = grid_edges(shape)
    pixels = shape[0] * shape[1]
    similar = min(similar, pixels - 1)
    if similar:
        place = np.indices(shape).reshape(2, -1)
        points = np.concatenate([features.reshape(len(features), -1), DISTANCE * place]).T
        _, found = cKDTree(points).query(points, similar + 1)
        owners = np.arange(pixels)
        for other in found.T[1:]:
            near = np.abs(place[:, owners] - place[:, other]).max(axis=0) <= REACH
            edges.append((owners[near], other[near]))
    return PixelGraph(
        shape,
        np.concatenate([first for first, _ in edges]),
        np.concatenate([second for _, second in edges]),
        np.repeat(np.arange(len(edges)), [len(first) for first, _ in edges]),
    )
