"""Reliability of a fused cube's standard deviation: how well it predicts the cube's errors.

Intervals of a nominal coverage should hold that share of the reference's values, and they should widen
where the errors grow. The second is measured on squares of pixels: the error of a single value is one draw,
which says little about its spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.core.quality.blockwise import CubePair, Mapped, block_side, blocks, valid_pixels
from pipeline.core.rounding import varies
from pipeline.core.window import Window
from pipeline.errors import InputError

Array = NDArray[np.float64]

NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
LIMITS = [NormalDist().inv_cdf((1 + level) / 2) for level in NOMINAL]  # in standard deviations
HEADLINE = NOMINAL.index(0.9)
SQUARE = 8  # side of the squares in pixels
LARGEST_SQUARE = 64
SQUARES = 2**20  # squares of a scene beyond which they are made larger
GROUPS = 10  # groups of squares of similar standard deviation


class Tally(NamedTuple):
    """Counts and sums of one block.

    Attributes
    ----------
    values : int
        Valid values of each band.
    inside : (levels, C)
        Number of them inside the intervals.
    predicted, actual : (n,)
        Mean square of the deviation and of the error in each square that has a valid pixel.
    """

    values: int
    inside: NDArray[np.int64]
    predicted: Array
    actual: Array


@dataclass(frozen=True)
class UncertainCube:
    """A reference, a fused cube and its standard deviation.

    Attributes
    ----------
    pair : CubePair
        Reference and cube.
    deviation : (C, H, W)
        An array, or anything with a shape whose slices NumPy can read.
    """

    pair: CubePair
    deviation: Any

    def __post_init__(self) -> None:
        if tuple(self.deviation.shape) != tuple(self.pair.cube.shape):
            raise InputError(
                f"deviation: shape {tuple(self.deviation.shape)} does not match the cube's "
                f"{tuple(self.pair.cube.shape)}"
            )

    def read_tally(self, block: Window) -> Tally:
        """Count and sum up a block whose corner lies on a corner of squares."""
        return self.tally(*self.pair.read(block), block)

    def tally(self, reference: NDArray[Any], cube: NDArray[Any], block: Window) -> Tally:
        """Count and sum up a block of which reference and cube are read already.

        Parameters
        ----------
        reference, cube : (C, h, w)
            Their values in the block.
        block : Window
            Its corner lies on a corner of squares.
        """
        deviation = np.asarray(self.deviation[:, *block.slices])
        return block_tally(reference, cube, deviation, square_side(self.pair.size))


@dataclass(frozen=True)
class Reliability:
    """Coverage of the intervals, and how the deviation goes with the error.

    Attributes
    ----------
    band_coverage : (levels, C)
        Fraction of each band's values inside the intervals of each level in `NOMINAL`.
    rank_correlation : float or None
        Spearman's, of RMS deviation and RMS error of 8x8 squares over all bands (of larger ones in a scene
        of more than some 64 million pixels); None with fewer than three squares, or if either is constant.
    predicted, actual : list of float
        RMS deviation and RMS error of groups of squares, in ascending order of the deviation.
    """

    band_coverage: Array
    rank_correlation: float | None
    predicted: list[float]
    actual: list[float]

    @property
    def coverage_90(self) -> float:
        """Fraction of the values inside the 90 % interval, over all bands."""
        return float(self.band_coverage[HEADLINE].mean())

    @property
    def band_coverage_90(self) -> list[float | None]:
        """Fraction of each band's values inside the 90 % interval."""
        return list(self.band_coverage[HEADLINE].tolist())

    def curves(self) -> dict[str, list[float]]:
        """Return the curves of the coverage and spread charts, as stored in `metrics.json`."""
        return {
            "nominal": list(NOMINAL),
            "coverage": self.band_coverage.mean(axis=1).tolist(),
            "predicted": self.predicted,
            "found": self.actual,
        }


def reliability(reference: Any, cube: Any, deviation: Any, mapped: Mapped = map) -> Reliability:
    """Compare a cube's standard deviation with its errors.

    Pixels that are NaN in any band of any of the three do not count.

    Parameters
    ----------
    reference, cube, deviation : (C, H, W)
        NumPy arrays, or anything with a shape whose slices NumPy can read.
    mapped : callable
        Like `map`, which is the default; computes the blocks anywhere and yields them in order.

    Raises
    ------
    InputError
        The shapes differ, or no pixel is valid in all three.
    """
    pair = CubePair(reference, cube)
    windows = blocks(pair.size, block_side(pair.bands), SQUARE)
    return reliability_of(list(mapped(UncertainCube(pair, deviation).read_tally, windows)))


def reliability_of(tallies: Sequence[Tally]) -> Reliability:
    """Gather the tallies of blocks that cover a scene.

    Parameters
    ----------
    tallies : sequence of Tally
        In the order of the blocks.

    Raises
    ------
    InputError
        No pixel is valid in all three cubes.
    """
    values = sum(tally.values for tally in tallies)
    if not values:
        raise InputError("deviation: no pixel is valid in all bands of reference, cube and deviation")
    shares = np.sum([tally.inside for tally in tallies], axis=0) / values
    predicted = np.concatenate([tally.predicted for tally in tallies])
    actual = np.concatenate([tally.actual for tally in tallies])
    return Reliability(shares, rank_correlation(predicted, actual), *grouped(predicted, actual))


def square_side(shape: tuple[int, int]) -> int:
    """Return the side of a scene's squares: a power of two that divides the blocks' sides.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the scene.
    """
    side = SQUARE
    while side < LARGEST_SQUARE and shape[0] * shape[1] > SQUARES * side**2:
        side *= 2
    return side


def block_tally(reference: NDArray[Any], cube: NDArray[Any], deviation: NDArray[Any], side: int) -> Tally:
    """Count and sum up a block.

    Parameters
    ----------
    reference, cube, deviation : (C, h, w)
        A block whose corner lies on a corner of squares.
    side : int
        Of the squares, in pixels.
    """
    valid = valid_pixels(reference, cube) & np.isfinite(deviation).all(axis=0)
    pixels, complete = int(valid.sum()), valid.all()
    inside = np.zeros((len(LIMITS), len(cube)), np.int64)
    predicted, actual = (np.zeros(valid.shape) for _ in range(2))
    for band in range(len(cube)):
        error, spread = np.abs(cube[band] - reference[band]), deviation[band]
        if not complete:
            error, spread = (np.where(valid, values, 0) for values in (error, spread))
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = error / spread  # 0 / 0 lies in no interval's outside
        inside[:, band] = [pixels - np.count_nonzero(relative > limit) for limit in LIMITS]
        predicted += np.square(spread, dtype=np.float64)
        actual += np.square(error, dtype=np.float64)
    counts = _in_squares(valid.astype(np.float64), side)
    some = counts > 0
    squares = [_in_squares(total, side)[some] / counts[some] / len(cube) for total in (predicted, actual)]
    return Tally(pixels, inside, *squares)


def _in_squares(image: Array, side: int) -> Array:
    """Sum up an image over squares, which are smaller at the far borders."""
    rows, columns = (np.arange(0, size, side) for size in image.shape)
    return np.asarray(np.add.reduceat(np.add.reduceat(image, rows, axis=0), columns, axis=1))


def rank_correlation(predicted: Array, actual: Array) -> float | None:
    """Compute Spearman's rank correlation.

    Parameters
    ----------
    predicted, actual : (n,)
        Two quantities of the same squares.

    Returns
    -------
    float or None
        None for fewer than three values, or if either is constant up to rounding.
    """
    from scipy.stats import rankdata  # here: few cubes have a deviation, and scipy.stats is slow to load

    both = (predicted, actual)
    if len(predicted) < 3 or not all(varies(np.ptp(values), np.abs(values).max()) for values in both):
        return None
    return float(np.corrcoef(rankdata(predicted), rankdata(actual))[0, 1])


def grouped(predicted: Array, actual: Array) -> tuple[list[float], list[float]]:
    """Average mean squares in groups of equal size, in ascending order of the prediction.

    Parameters
    ----------
    predicted, actual : (n,)
        Mean square deviation and mean square error of squares.

    Returns
    -------
    predicted, actual : list of float
        Root mean squares of each group.
    """
    order = np.argsort(predicted, kind="stable")
    groups: Sequence[NDArray[np.intp]] = np.array_split(order, min(GROUPS, len(order)))
    means = [[float(np.sqrt(values[group].mean())) for group in groups] for values in (predicted, actual)]
    return means[0], means[1]
