"""Non-negative matrix factorisation ``V = W H`` of one image: spectra of endmembers times abundances.

Lee and Seung's multiplicative updates (2001, NIPS 13, 556-562), with an appended row that makes the
abundances sum to one (Heinz and Chang 2001).
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

    The objective is ``||V - W H||^2 + weight^2 ||1 - 1^T H||^2``, the squared error after a row of constant
    `weight` has been appended to both V and W. No update raises it.

    Attributes
    ----------
    data : (C, N)
        V, non-negative; one column per pixel.
    endmembers : (C, M)
        W, non-negative; a zero stays zero.
    abundances : (M, N)
        H, non-negative; a zero stays zero.
    weight : float
        Value of the appended row, in the units of V.
    """

    data: Matrix
    endmembers: Matrix
    abundances: Matrix
    weight: float

    def objective(self) -> float:
        """Return the objective."""
        return sum(self._residual(block) + self._excess(block) for block in self._blocks())

    def error(self) -> float:
        """Return the root mean square of ``V - W H``."""
        return float(np.sqrt(sum(self._residual(block) for block in self._blocks()) / self.data.size))

    def update_abundances(self) -> None:
        """Set ``H <- H * (W^T V) / (W^T W H)``, where V and W include the appended row."""
        for block in self._blocks():
            abundances = self.abundances[:, block]
            _multiply(abundances, self.endmembers, self.data[:, block], self.weight)

    def update_endmembers(self) -> None:
        """Set ``W <- W * (V H^T) / (W H H^T)``; the appended row is not updated."""
        numerator, denominator = np.zeros_like(self.endmembers), np.zeros_like(self.endmembers)
        for block in self._blocks():
            abundances = self.abundances[:, block]
            numerator += self.data[:, block] @ abundances.T
            denominator += (self.endmembers @ abundances) @ abundances.T
        self.endmembers = self.endmembers * numerator / np.maximum(denominator, TINY)

    def update_both(self) -> None:
        """Update the endmembers, then the abundances."""
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
    """The sequence of endmember matrices W with which the abundances were updated.

    Given this sequence, the abundances of a pixel depend on that pixel alone. `replay` therefore gives the
    same abundances in any window as the factorisation of the whole image.

    Attributes
    ----------
    endmembers : (steps, C, M)
        Distinct matrices W, in order of use.
    counts : (steps,) int64
        Number of consecutive updates with each matrix.
    """

    endmembers: Matrix
    counts: NDArray[np.int64]

    def replay(self, data: Matrix, abundances: Matrix, weight: float) -> None:
        """Repeat the updates of abundances in place.

        Parameters
        ----------
        data : (C, N)
            Pixels of the image.
        abundances : (M, N)
            Their abundances before the first update.
        weight : float
            Value of the appended row, in the units of the pixels.
        """
        for block in blocks(data.shape[1]):
            own = abundances[:, block].copy()
            for endmembers, count in zip(self.endmembers, self.counts, strict=True):
                _multiply(own, endmembers, data[:, block], weight, int(count))
            abundances[:, block] = own


class Recorder:
    """A factorisation whose updates of the abundances are recorded.

    Parameters
    ----------
    factors : Factorisation
        The factors, updated in place.
    """

    def __init__(self, factors: Factorisation) -> None:
        self.factors = factors
        self._endmembers: list[Matrix] = []
        self._counts: list[int] = []

    def update_abundances(self) -> None:
        """Update the abundances, and record the endmembers used."""
        self.factors.update_abundances()
        if self._endmembers and self._endmembers[-1] is self.factors.endmembers:
            self._counts[-1] += 1
        else:
            self._endmembers.append(self.factors.endmembers)
            self._counts.append(1)

    def update_both(self) -> None:
        """Update the endmembers, then the abundances."""
        self.factors.update_endmembers()
        self.update_abundances()

    @property
    def trajectory(self) -> Trajectory:
        """Endmembers of all updates of the abundances so far."""
        return Trajectory(np.stack(self._endmembers), np.array(self._counts, np.int64))


def descend(
    updates: Callable[[], None], objective: Callable[[], float], limit: int, tolerance: float
) -> Iterator[float]:
    """Repeat updates until the relative fall of the objective is below a tolerance.

    Parameters
    ----------
    updates : callable
        Updates the factors.
    objective : callable
        Returns the objective.
    limit : int
        Largest number of repetitions.
    tolerance : float
        Relative fall of the objective at which the repetition ends.

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
    """Divide a number of pixels into slices of at most `BLOCK` pixels."""
    return (slice(start, min(start + BLOCK, pixels)) for start in range(0, pixels, BLOCK))


def _multiply(abundances: Matrix, endmembers: Matrix, data: Matrix, weight: float, count: int = 1) -> None:
    """Update abundances in place `count` times; the appended row adds a constant to both products."""
    numerator = endmembers.T @ data + weight**2
    gram = endmembers.T @ endmembers + weight**2
    for _ in range(count):
        factor = gram @ abundances  # the denominator, divided in place: the loop is bound by memory
        np.maximum(factor, TINY, out=factor)
        np.divide(numerator, factor, out=factor)
        abundances *= factor
