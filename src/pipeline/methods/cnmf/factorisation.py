"""Non-negative matrix factorisation ``V = W H`` of one image: spectra of endmembers times abundances.

Lee and Seung's multiplicative updates (2001, NIPS 13, 556-562), with abundances that sum to one
by an appended row (Heinz and Chang 2001). The coupling of two images is not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

BLOCK = 4096  # pixels at a time, so that their abundances stay in the processor's cache
TINY = np.finfo(np.float64).tiny


@dataclass
class Factorisation:
    """The factors of an image, updated in place.

    The objective is ``||V - W H||^2 + weight^2 ||1 - 1^T H||^2``, that of V and W with a last row of
    `weight` appended; neither update raises it.

    Attributes
    ----------
    data : (C, N)
        V, not negative, one column a pixel.
    endmembers : (C, M)
        W, not negative; a zero stays zero.
    abundances : (M, N)
        H, not negative; a zero stays zero.
    weight : float
        Value of the appended row, in the units of V.
    """

    data: Matrix
    endmembers: Matrix
    abundances: Matrix
    weight: float

    def objective(self) -> float:
        """Return the value that the updates minimise."""
        return sum(self._residual(block) + self._excess(block) for block in self._blocks())

    def error(self) -> float:
        """Root mean square of ``V - W H``."""
        return float(np.sqrt(sum(self._residual(block) for block in self._blocks()) / self.data.size))

    def update_abundances(self) -> None:
        """``H <- H * (W^T V) / (W^T W H)``, both products with the appended row."""
        for block in self._blocks():
            abundances = self.abundances[:, block]
            _multiply(abundances, self.endmembers, self.data[:, block], self.weight)

    def update_endmembers(self) -> None:
        """``W <- W * (V H^T) / (W H H^T)``; the appended row stays."""
        wanted, found = np.zeros_like(self.endmembers), np.zeros_like(self.endmembers)
        for block in self._blocks():
            abundances = self.abundances[:, block]
            wanted += self.data[:, block] @ abundances.T
            found += (self.endmembers @ abundances) @ abundances.T
        self.endmembers = self.endmembers * wanted / np.maximum(found, TINY)

    def update_both(self) -> None:
        """The endmembers first, then the abundances."""
        self.update_endmembers()
        self.update_abundances()

    def _residual(self, block: slice) -> float:
        difference = self.data[:, block] - self.endmembers @ self.abundances[:, block]
        return float(np.vdot(difference, difference))

    def _excess(self, block: slice) -> float:
        excess = 1 - self.abundances[:, block].sum(axis=0)
        return self.weight**2 * float(excess @ excess)

    def _blocks(self) -> Iterator[slice]:
        return blocks(self.data.shape[1])


@dataclass(frozen=True)
class Trajectory:
    """Every W with which abundances were updated, in order, and how often each was used.

    Given these, the abundances of a pixel depend on that pixel alone: `replay` gives any window
    what the factorisation of the whole image gave it.

    Attributes
    ----------
    endmembers : (steps, C, M)
    counts : (steps,) int64
    """

    endmembers: Matrix
    counts: NDArray[np.int64]

    def replay(self, data: Matrix, abundances: Matrix, weight: float) -> None:
        """Repeat the updates of the abundances ``(M, N)`` of the pixels ``(C, N)``, in place."""
        for block in blocks(data.shape[1]):
            own = abundances[:, block].copy()
            for endmembers, count in zip(self.endmembers, self.counts, strict=True):
                _multiply(own, endmembers, data[:, block], weight, int(count))
            abundances[:, block] = own


class Recorder:
    """Updates a factorisation and keeps the trajectory of its abundances."""

    def __init__(self, factors: Factorisation) -> None:
        self.factors = factors
        self._endmembers: list[Matrix] = []
        self._counts: list[int] = []

    def update_abundances(self) -> None:
        """As `Factorisation.update_abundances`, recorded."""
        self.factors.update_abundances()
        if self._endmembers and self._endmembers[-1] is self.factors.endmembers:
            self._counts[-1] += 1
        else:
            self._endmembers.append(self.factors.endmembers)
            self._counts.append(1)

    def update_both(self) -> None:
        """The endmembers first, then the abundances."""
        self.factors.update_endmembers()
        self.update_abundances()

    @property
    def trajectory(self) -> Trajectory:
        """What was recorded so far."""
        return Trajectory(np.stack(self._endmembers), np.array(self._counts, np.int64))


def descend(
    updates: Callable[[], None], objective: Callable[[], float], limit: int, tolerance: float
) -> Iterator[float]:
    """Repeat updates until the objective falls by less than a share of itself, or `limit` times.

    Yields
    ------
    float
        The objective after each repetition.
    """
    last = objective()
    for _ in range(limit):
        updates()
        value = objective()
        yield value
        if last - value <= tolerance * value:
            return
        last = value


def blocks(pixels: int) -> Iterator[slice]:
    """Slices of at most `BLOCK` pixels."""
    return (slice(start, min(start + BLOCK, pixels)) for start in range(0, pixels, BLOCK))


def _multiply(abundances: Matrix, endmembers: Matrix, data: Matrix, weight: float, count: int = 1) -> None:
    """Update abundances in place `count` times; the appended row adds a constant to both products."""
    wanted = endmembers.T @ data + weight**2
    gram = endmembers.T @ endmembers + weight**2
    for _ in range(count):
        found = gram @ abundances
        np.maximum(found, TINY, out=found)
        np.divide(wanted, found, out=found)
        abundances *= found
