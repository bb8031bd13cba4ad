"""The graph of an image's pixels: each pixel is tied to its neighbours and to the most similar pixels.

Pixels with similar HR-MSI spectra are assumed to hold the same materials, so that bands that the HR-MSI does
not measure can be inferred for each from the others (non-local means, Buades, Coll and Morel 2005; here the
similarity decides which pixels are tied, not how strongly).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional

from pipeline.core.solvers.engine import DOUBLE, Engine

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
    first, second : (m,) int64 tensor
        The two pixels of each edge; `first` owns it.
    slots : tuple of slice
        Positions of the edges of each slot: to the pixel on the right, to the pixel below, to the most
        similar pixel, to the second most similar, and so on. A pixel owns at most one edge of a slot.
    """

    shape: tuple[int, int]
    first: Tensor
    second: Tensor
    slots: tuple[slice, ...]


def grid_edges(shape: tuple[int, int]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the pairs of each pixel with its right neighbour, and of each with its lower neighbour."""
    number = np.arange(shape[0] * shape[1]).reshape(shape)
    return [
        (number[:, :-1].ravel(), number[:, 1:].ravel()),
        (number[:-1].ravel(), number[1:].ravel()),
    ]


def quieted(image: NDArray[np.floating], sigma: Array, engine: Engine) -> Tensor:
    """Denoise an image by a local Wiener filter of 3x3 pixels (Lee 1980).

    A pixel's difference from its local mean is multiplied by the share of the window's variance that exceeds
    the noise. Without the filter, the most similar pixels would be those with similar noise.

    Parameters
    ----------
    image : (c, H, W)
        The HR-MSI.
    sigma : (c,)
        Noise standard deviations.
    engine : Engine
        Device of the computation, which is always in float64.

    Returns
    -------
    (c, H, W) float64 tensor
    """
    engine = Engine(engine.device, DOUBLE)
    values = engine.tensor(image)

    def local_mean(bands: Tensor) -> Tensor:
        padded = functional.pad(bands[None], (QUIETED_REACH,) * 4, mode="replicate")
        return functional.avg_pool2d(padded, 2 * QUIETED_REACH + 1, stride=1)[0]

    mean = local_mean(values)
    variance = local_mean(values.square()) - mean.square()
    beyond = (variance - NOISE_FACTOR * engine.tensor(sigma)[:, None, None].square()).clamp(min=0)
    return mean + beyond / variance.clamp(min=torch.finfo(DOUBLE).tiny) * (values - mean)


def pixel_graph(features: Tensor, similar: int) -> PixelGraph:
    """Build the graph of an image.

    Similar pixels are the nearest in spectrum and place, where a pixel of distance counts `DISTANCE`, and no
    further than pixels of equal spectrum at a distance of `REACH`. So no edge of a pixel depends on pixels
    that lie further away.

    Parameters
    ----------
    features : (c, H, W) float64 tensor
        Spectra in units in which 1 is a large difference.
    similar : int
        Largest number of similar pixels to which each pixel is tied.
    """
    shape, device = (features.shape[1], features.shape[2]), features.device
    pixels = shape[0] * shape[1]
    edges = [
        (torch.as_tensor(first, device=device), torch.as_tensor(second, device=device))
        for first, second in grid_edges(shape)
    ]
    if similar := min(similar, pixels - 1):
        search = nearest_by_tree if device.type == "cpu" else nearest_by_shifts
        for other in search(features, similar):
            near = torch.nonzero(other < pixels).squeeze(1)
            edges.append((near, other[near]))
    ends = np.cumsum([0, *(len(first) for first, _ in edges)]).tolist()
    return PixelGraph(
        shape,
        torch.cat([first for first, _ in edges]),
        torch.cat([second for _, second in edges]),
        tuple(slice(start, stop) for start, stop in pairwise(ends)),
    )


def nearest_by_tree(features: Tensor, similar: int) -> Tensor:
    """Return the most similar pixels of each pixel, by a k-d tree: the faster search on a CPU.

    Parameters
    ----------
    features : (c, H, W) float64 tensor
        Spectra.
    similar : int
        Number of similar pixels.

    Returns
    -------
    (similar, n) int64 tensor
        Numbers of pixels, the most similar first; n where there are no further pixels in reach.
    """
    spectra = features.cpu().numpy()
    place = np.indices(spectra.shape[1:]).reshape(2, -1)
    points = np.concatenate([spectra.reshape(len(spectra), -1), DISTANCE * place]).T
    _, found = cKDTree(points).query(
        points, similar + 1, distance_upper_bound=DISTANCE * REACH, workers=torch.get_num_threads()
    )
    others = np.ascontiguousarray(found.T[1:])  # the first is the pixel itself
    return torch.as_tensor(others, device=features.device)


def nearest_by_shifts(features: Tensor, similar: int) -> Tensor:
    """Return what `nearest_by_tree` returns, by comparing the image with itself at every shift in reach.

    Parameters
    ----------
    features : (c, H, W) float64 tensor
        Spectra.
    similar : int
        Number of similar pixels.
    """
    (height, width), pixels = features.shape[1:], features[0].numel()
    padded = functional.pad(features, (REACH,) * 4, value=torch.inf)
    number = torch.arange(pixels, device=features.device).view(height, width)
    numbers = functional.pad(number, (REACH,) * 4, value=pixels)
    shifts = torch.arange(2 * REACH + 1, device=features.device)
    best = torch.full((similar, height, width), torch.inf, dtype=DOUBLE, device=features.device)
    chosen = torch.full_like(best, pixels, dtype=torch.int64)
    for down in range(2 * REACH + 1):
        rows = slice(down, down + height)
        distance = torch.zeros((len(shifts), height, width), dtype=DOUBLE, device=features.device)
        for own, other in zip(features, padded[:, rows].unfold(2, width, 1), strict=True):
            distance += (own[:, None] - other).square().transpose(0, 1)
        distance += (DISTANCE**2 * ((shifts - REACH).square() + (down - REACH) ** 2))[:, None, None]
        distance[distance >= (DISTANCE * REACH) ** 2] = torch.inf
        if down == REACH:
            distance[REACH] = torch.inf  # the pixel itself
        others = numbers[rows].unfold(1, width, 1).transpose(0, 1)
        best, order = torch.cat([best, distance]).topk(similar, dim=0, largest=False)
        chosen = torch.cat([chosen, others]).gather(0, order)
    chosen[best.isinf()] = pixels
    return chosen.view(similar, -1)
