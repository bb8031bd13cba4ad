"""The graph of an image's pixels: each is tied to its neighbours and to those that look most like it.

Pixels that look alike in the HR-MSI are likely to hold the same materials, wherever they lie, so that
what the HR-MSI does not see of one can be told from the others (non-local means, Buades, Coll and Morel
2005; here only to say who is tied to whom, not how strongly).
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

REACH = 16  # HR pixels, beyond which no pixels are tied
DISTANCE = 0.05  # of a pixel, in units of the HR-MSI's standard deviation
QUIETED_REACH = 1  # HR pixels, of the window in which a pixel is compared with the noise
NOISE_FACTOR = 3.0  # times its variance, which nine pixels of noise alone exceed once in a thousand windows


@dataclass(frozen=True)
class PixelGraph:
    """Edges between the pixels of an image, numbered row by row, slot after slot.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the image.
    first, second : (m,) int
        The pixels of each edge; `first` owns it.
    slots : tuple of slice
        Where the edges of each slot are: those to the right, those down, those to the most similar pixel, to
        the next, and so on. A pixel owns one edge of each slot at most.
    """

    shape: tuple[int, int]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    slots: tuple[slice, ...]

    @cached_property
    def incidence(self) -> csc_array:
        """``D^T``, which takes values on the edges to the pixels ``(n, m)``."""
        edges = np.arange(len(self.first))
        ones = np.ones(len(edges))
        places = np.concatenate([self.first, self.second]), np.concatenate([edges, edges])
        size = self.shape[0] * self.shape[1], len(edges)
        return csc_array((np.concatenate([ones, -ones]), places), shape=size)

    def laplacian(self, weights: Array, chosen: NDArray[np.bool_]) -> csr_array:
        """``D^T diag(w) D`` over the chosen edges ``(n, n)``, D being the differences along edges."""
        part = self.incidence[:, np.flatnonzero(chosen)]
        return csr_array((part * weights[chosen]) @ part.T)


def grid_edges(shape: tuple[int, int]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Each pixel with that to its right, and each with that below."""
    number = np.arange(shape[0] * shape[1]).reshape(shape)
    return [
        (number[:, :-1].ravel(), number[:, 1:].ravel()),
        (number[:-1].ravel(), number[1:].ravel()),
    ]


def quieted(image: NDArray[np.floating], sigma: Array) -> Array:
    """An image ``(c, H, W)`` with noise of given levels ``(c,)`` replaced by local means of 3x3 pixels.

    Of each pixel's difference from its local mean, that share stays by which the window varies more than
    noise would (Lee 1980). Without it, those pixels look most alike that have the same noise.
    """
    image = image.astype(np.float64)
    window = {"size": 2 * QUIETED_REACH + 1, "axes": (1, 2), "mode": "nearest"}
    mean = uniform_filter(image, **window)
    variance = uniform_filter(image**2, **window) - mean**2
    beyond = np.maximum(variance - NOISE_FACTOR * sigma[:, None, None] ** 2, 0)
    return mean + beyond / np.maximum(variance, np.finfo(np.float64).tiny) * (image - mean)


def pixel_graph(features: Array, similar: int) -> PixelGraph:
    """The graph of an image.

    Parameters
    ----------
    features : (c, H, W)
        Spectra in units in which one is a large difference.
    similar : int
        Number of pixels to which each is tied for its likeness, at most: the nearest in spectrum and place,
        each pixel of distance counting `DISTANCE`, as far as `REACH` pixels of equal spectrum would be. So no
        edge of a pixel depends on what lies further away.
    """
    shape = features.shape[1], features.shape[2]
    edges = grid_edges(shape)
    pixels = shape[0] * shape[1]
    similar = min(similar, pixels - 1)
    if similar:
        place = np.indices(shape).reshape(2, -1)
        points = np.concatenate([features.reshape(len(features), -1), DISTANCE * place]).T
        _, found = cKDTree(points).query(points, similar + 1, distance_upper_bound=DISTANCE * REACH)
        for other in found.T[1:]:
            near = np.flatnonzero(other < pixels)
            edges.append((near, other[near]))
    ends = np.cumsum([0, *(len(first) for first, _ in edges)]).tolist()
    return PixelGraph(
        shape,
        np.concatenate([first for first, _ in edges]),
        np.concatenate([second for _, second in edges]),
        tuple(slice(start, stop) for start, stop in pairwise(ends)),
    )
