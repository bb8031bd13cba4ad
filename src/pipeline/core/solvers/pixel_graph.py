"""The graph of an image's pixels: each pixel is tied to its neighbours and to the most similar pixels.

Pixels with similar HR-MSI spectra are assumed to hold the same materials, so that bands that the HR-MSI does
not measure can be inferred for each from the others (non-local means, Buades, Coll and Morel 2005; here the
similarity decides which pixels are tied, not how strongly).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.sparse import csc_array, csr_array
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

REACH = 16  # HR pixels beyond which no pixels are tied: it bounds the halo of a window
DISTANCE = 0.05  # weight of a pixel of distance, in units of the HR-MSI's standard deviation
QUIETED_REACH = 1  # HR pixels around a pixel, in the window whose variance is compared with the noise
NOISE_FACTOR = 3.0  # on the noise variance, which nine pixels of noise alone exceed in 1 of 1000 windows


@dataclass(frozen=True)
class PixelGraph:
    """Edges between the pixels of an image, which are numbered row by row.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image.
    first, second : (m,) int
        The two pixels of each edge; `first` owns it.
    slots : tuple of slice
        Positions of the edges of each slot: to the pixel on the right, to the pixel below, to the most
        similar pixel, to the second most similar, and so on. A pixel owns at most one edge of a slot.
    """

    shape: tuple[int, int]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    slots: tuple[slice, ...]

    @cached_property
    def incidence(self) -> csc_array:
        """``D^T`` ``(n, m)``, from values on the edges to the pixels; D takes differences along edges."""
        edges = np.arange(len(self.first))
        ones = np.ones(len(edges))
        places = np.concatenate([self.first, self.second]), np.concatenate([edges, edges])
        size = self.shape[0] * self.shape[1], len(edges)
        return csc_array((np.concatenate([ones, -ones]), places), shape=size)

    def laplacian(self, weights: Array, chosen: NDArray[np.bool_]) -> csr_array:
        """Return ``D^T diag(w) D`` ``(n, n)`` over chosen edges.

        Parameters
        ----------
        weights : (m,)
            w.
        chosen : (m,) bool
            The edges.
        """
        part = self.incidence[:, np.flatnonzero(chosen)]
        return csr_array((part * weights[chosen]) @ part.T)


def grid_edges(shape: tuple[int, int]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the pairs of each pixel with its right neighbour, and of each with its lower neighbour."""
    number = np.arange(shape[0] * shape[1]).reshape(shape)
    return [
        (number[:, :-1].ravel(), number[:, 1:].ravel()),
        (number[:-1].ravel(), number[1:].ravel()),
    ]


def quieted(image: NDArray[np.floating], sigma: Array) -> Array:
    """Denoise an image by a local Wiener filter of 3x3 pixels (Lee 1980).

    A pixel's difference from its local mean is multiplied by the share of the window's variance that exceeds
    the noise. Without the filter, the most similar pixels would be those with similar noise.

    Parameters
    ----------
    image : (c, H, W)
        The HR-MSI.
    sigma : (c,)
        Noise standard deviations.

    Returns
    -------
    (c, H, W) float64
    """
    image = image.astype(np.float64)
    window = {"size": 2 * QUIETED_REACH + 1, "axes": (1, 2), "mode": "nearest"}
    mean = uniform_filter(image, **window)
    variance = uniform_filter(image**2, **window) - mean**2
    beyond = np.maximum(variance - NOISE_FACTOR * sigma[:, None, None] ** 2, 0)
    return mean + beyond / np.maximum(variance, np.finfo(np.float64).tiny) * (image - mean)


def pixel_graph(features: Array, similar: int) -> PixelGraph:
    """Build the graph of an image.

    Similar pixels are the nearest in spectrum and place, where a pixel of distance counts `DISTANCE`, and no
    further than pixels of equal spectrum at a distance of `REACH`. So no edge of a pixel depends on pixels
    that lie further away.

    Parameters
    ----------
    features : (c, H, W)
        Spectra in units in which 1 is a large difference.
    similar : int
        Largest number of similar pixels to which each pixel is tied.
    """
    shape = features.shape[1], features.shape[2]
    edges = grid_edges(shape)
    pixels = shape[0] * shape[1]
    similar = min(similar, pixels - 1)
    if similar:
        place = np.indices(shape).reshape(2, -1)
        points = np.concatenate([features.reshape(len(features), -1), DISTANCE * place]).T
        _, nearest = cKDTree(points).query(points, similar + 1, distance_upper_bound=DISTANCE * REACH)
        for other in nearest.T[1:]:  # the first is the pixel itself
            near = np.flatnonzero(other < pixels)
            edges.append((near, other[near]))
    ends = np.cumsum([0, *(len(first) for first, _ in edges)]).tolist()
    return PixelGraph(
        shape,
        np.concatenate([first for first, _ in edges]),
        np.concatenate([second for _, second in edges]),
        tuple(slice(start, stop) for start, stop in pairwise(ends)),
    )
