"""Sums over the edges of each pixel, class by class, in a fixed order.

A row is a pixel and a class that some of its edges have. Rows are sorted by class, so that the multiplication
of all rows of a class with the matrix of the class is one product.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.core.solvers.pixel_graph import PixelGraph


def bag_sums(table: Tensor, places: Tensor, starts: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return weighted sums ``(bags, d)`` of rows of a table, each in the order of its places.

    Parameters
    ----------
    table : (n, d) tensor
        The rows.
    places : (k,) int tensor
        Row of each term.
    starts : (bags + 1,) int tensor
        Position of the first term of each sum; the last is k.
    weights : (k,) tensor, optional
        Weight of each term; default: 1.
    """
    return functional.embedding_bag(
        places, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


class ClassSums:
    """Sums over the edges of a graph whose edges have classes.

    Parameters
    ----------
    graph : PixelGraph
        The graph, with m edges between n pixels.
    classes : (m,) int64 tensor
        Class of each edge.
    count : int
        Number of classes.
    """

    def __init__(self, graph: PixelGraph, classes: Tensor, count: int) -> None:
        pixels, edges = graph.shape[0] * graph.shape[1], len(classes)
        ends, others = torch.cat([graph.first, graph.second]), torch.cat([graph.second, graph.first])
        key, order = torch.sort(classes.repeat(2) * pixels + ends, stable=True)
        rows, lengths = torch.unique_consecutive(key, return_counts=True)
        self.starts = _starts(lengths)
        self.edges, self.others = (order % edges).int(), others[order].int()
        self.signs = torch.where(order < edges, 1.0, -1.0)
        self.pixels = rows % pixels
        limits = torch.searchsorted(rows, torch.arange(count + 1, device=rows.device) * pixels)
        self.slices = [slice(*bounds) for bounds in pairwise(limits.tolist())]
        own, by_pixel = torch.sort(self.pixels, stable=True)
        self.rows_of_pixel = by_pixel.int()
        self.starts_of_pixel = _starts(torch.bincount(own, minlength=pixels))

    def tied(self, image: Tensor, weights: Tensor, degrees: Tensor) -> Tensor:
        """Return, for each row, the weighted differences of its pixel from the other ends of its edges.

        Parameters
        ----------
        image : (n, d) tensor
            Values of the pixels.
        weights : (2 m,) tensor
            Weights of the edges, as `at_ends` returns them.
        degrees : (rows, 1) tensor
            Their sums, as `degrees` returns them.

        Returns
        -------
        (rows, d) tensor
        """
        return degrees * image.index_select(0, self.pixels) - bag_sums(
            image, self.others, self.starts, weights
        )

    def at_ends(self, weights: Tensor) -> Tensor:
        """Return weights of edges ``(m,)`` at the ends of the edges ``(2 m,)``, row by row."""
        return weights.index_select(0, self.edges)

    def degrees(self, at_ends: Tensor) -> Tensor:
        """Return the sum of the weights ``(rows, 1)`` of each row's edges."""
        places = torch.arange(len(at_ends), dtype=torch.int32, device=at_ends.device)
        return bag_sums(at_ends[:, None], places, self.starts)

    def spread(self, values: Tensor, at_ends: Tensor) -> Tensor:
        """Return, for each row, the weighted sum ``(rows, d)`` of the values of its edges.

        A value counts positive at the pixel that owns the edge, negative at the other.

        Parameters
        ----------
        values : (m, d) tensor
            Values of the edges.
        at_ends : (2 m,) tensor
            Weights of the edges, as `at_ends` returns them.
        """
        return bag_sums(values, self.edges, self.starts, at_ends * self.signs.to(at_ends.dtype))

    def over_classes(self, rows: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        """Multiply rows with the matrix of their class, and add up the rows of each pixel.

        Parameters
        ----------
        rows : (rows, d) tensor
            The rows.
        matrices : sequence of (d, d) tensors
            Matrix of each class, multiplied from the right.

        Returns
        -------
        (n, d) tensor
        """
        product = torch.empty_like(rows)
        for own, matrix in zip(self.slices, matrices, strict=True):
            torch.matmul(rows[own], matrix, out=product[own])
        return bag_sums(product, self.rows_of_pixel, self.starts_of_pixel)


def _starts(lengths: Tensor) -> Tensor:
    """Return where parts of given lengths start, and the end of the last."""
    return functional.pad(torch.cumsum(lengths, 0), (1, 0)).int()
