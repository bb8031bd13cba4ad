"""Whether a fused cube's standard deviation says how wrong it is.

Two questions: do intervals of a nominal coverage hold that share of the reference's values, and do they
widen where the errors grow? The second is asked of squares of pixels, since the error of a single value
is one draw, which tells little of its own spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.core.quality.blockwise import CubePair, Mapped, block_side, blocks
from pipeline.core.window import Window
from pipeline.errors import InputError

Array = NDArray[np.float64]

NOMINAL = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
HEADLINE = NOMINAL.index(0.9)
SQUARE = 8  # pixels, side of the squares
LARGEST_SQUARE = 64
SQUARES = 2**20  # of a scene, about, from which on they are larger
GROUPS = 10  # of squares of about equal standard deviation


class Tally(NamedTuple):
    """What a block adds.

    Attributes
    ----------
    values : int
        Valid values of each band.
    inside : (levels, C)
        How many lie in the intervals.
    predicted, found : (n,)
        Mean square of deviation and of error, of each square that has a valid pixel.
    """

    values: int
    inside: NDArray[np.int64]
    predicted: Array
    found: Array


@dataclass(frozen=True)
class Uncertain:
    """Reference, cube and standard deviation ``(C, H, W)``, read by window."""

    pair: CubePair
    deviation: Any

    def __post_init__(self) -> None:
        if tuple(self.deviation.shape) != tuple(self.pair.cube.shape):
            raise InputError(
                f"deviation: shape {tuple(self.deviation.shape)} does not match the cube's "
                f"{tuple(self.pair.cube.shape)}"
            )


def reliability(reference: Any, cube: Any, deviation: Any, mapped: Mapped = map) -> dict[str, Any]:
    """How far a standard deviation can be trusted.

    Pixels that are NaN in any band of any of the three do not count.

    Parameters
    ----------
    reference, cube, deviation : (C, H, W)
        NumPy arrays, or anything with a shape whose slices NumPy can read.
    mapped : callable
        Like `map` (see `pipeline.core.quality.metrics.evaluate`).

    Returns
    -------
    dict
        coverage_90 : share of the values in the 90 % interval, over all bands;
        rank_correlation : Spearman's, of the RMS deviation and the RMS error of 8x8 squares over all
        bands (of larger ones in a scene of more than some 64 million pixels), None if there are fewer than
        three squares or one of the two is constant;
        nominal, coverage : lists, shares wanted and found;
        predicted, found : lists, RMS deviation and RMS error of groups of squares, ascending;
        per_band : list coverage_90.
    """
    pair = CubePair(reference, cube)
    three = Uncertain(pair, deviation)
    windows = blocks(pair.size, block_side(pair.bands), SQUARE)
    tallies = list(mapped(partial(block_tally, three, square_side(pair.size)), windows))
    values = sum(tally.values for tally in tallies)
    if not values:
        raise InputError("deviation: no pixel is valid in all bands of reference, cube and deviation")
    shares = np.sum([tally.inside for tally in tallies], axis=0) / values
    squares = [np.concatenate([getattr(tally, name) for tally in tallies]) for name in ("predicted", "found")]
    predicted, found = grouped(*squares)
    return {
        "coverage_90": float(shares[HEADLINE].mean()),
        "rank_correlation": rank_correlation(*squares),
        "nominal": list(NOMINAL),
        "coverage": shares.mean(axis=1).tolist(),
        "predicted": predicted,
        "found": found,
        "per_band": {"coverage_90": shares[HEADLINE].tolist()},
    }


def square_side(shape: tuple[int, int]) -> int:
    """Side of the squares of a scene: a power of two that divides the blocks' sides."""
    side = SQUARE
    while side < LARGEST_SQUARE and shape[0] * shape[1] > SQUARES * side**2:
        side *= 2
    return side


def block_tally(three: Uncertain, side: int, block: Window) -> Tally:
    """The tally of a block whose corner lies on a corner of squares."""
    reference, cube, valid = three.pair.read(block)
    deviation = np.asarray(three.deviation[:, *block.slices])
    valid &= np.isfinite(deviation).all(axis=0)
    limits = [NormalDist().inv_cdf((1 + level) / 2) for level in NOMINAL]
    inside = np.zeros((len(limits), len(cube)), np.int64)
    predicted, found = (np.zeros(valid.shape) for _ in range(2))
    for band in range(len(cube)):
        error, spread = (
            np.where(valid, values, 0).astype(np.float64)
            for values in (np.abs(cube[band] - reference[band]), deviation[band])
        )
        inside[:, band] = [np.count_nonzero(valid & (error <= limit * spread)) for limit in limits]
        predicted += spread**2
        found += error**2
    counts = _in_squares(valid.astype(np.float64), side)
    some = counts > 0
    squares = [_in_squares(total, side)[some] / counts[some] / len(cube) for total in (predicted, found)]
    return Tally(int(valid.sum()), inside, *squares)


def _in_squares(image: Array, side: int) -> Array:
    """Sums over squares, those at the far borders smaller."""
    rows, columns = (np.arange(0, size, side) for size in image.shape)
    return np.asarray(np.add.reduceat(np.add.reduceat(image, rows, axis=0), columns, axis=1))


def rank_correlation(one: Array, other: Array) -> float | None:
    """Spearman's rank correlation."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def grouped(predicted: Array, found: Array) -> tuple[list[float], list[float]]:
    """RMS of both, of mean squares, in groups of equal size and ascending prediction."""
    order = np.argsort(predicted, kind="stable")
    groups: Sequence[NDArray[np.intp]] = np.array_split(order, min(GROUPS, len(order)))
    means = [[float(np.sqrt(values[group].mean())) for group in groups] for values in (predicted, found)]
    return means[0], means[1]
