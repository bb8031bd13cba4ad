"""The seeds over which methods are compared: the seeds with which all of them ran.

A method that trains for minutes may run with fewer seeds than the others. Its own seeds could happen to be
easy, so methods are never ranked over unequal sets of seeds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

Values = Mapping[str, Mapping[int, float]]
"""A number by label and seed, NaN left out."""


def shared_seeds(seeds: Iterable[Iterable[int]]) -> list[int]:
    """Return the seeds that all methods have; a method without any does not count.

    Parameters
    ----------
    seeds : iterable of iterable of int
        Seeds of each method.

    >>> shared_seeds([[0, 1, 2], [2, 0], []])
    [0, 2]
    """
    known = [own for own in map(set, seeds) if own]
    return sorted(set.intersection(*known)) if known else []


def comparable_means(values: Values) -> dict[str, float]:
    """Average each method over the seeds that all share, or over its own if they share none.

    Parameters
    ----------
    values : dict of dict of float
        A number by label and seed.

    >>> comparable_means({"a": {0: 1.0, 1: 5.0}, "b": {0: 2.0}})
    {'a': 1.0, 'b': 2.0}
    """
    shared = shared_seeds(values.values())
    return {label: mean([own[seed] for seed in shared or own]) for label, own in values.items() if own}


def mean(values: Collection[float]) -> float:
    """Average values; infinite if any of them is.

    Parameters
    ----------
    values : collection of float
        At least one.
    """
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else max(values)


def basis_in_words(seeds: Iterable[Iterable[int]]) -> str:
    """Name the seeds of `comparable_means`, as part of a sentence.

    Parameters
    ----------
    seeds : iterable of iterable of int
        Seeds of each method.
    """
    shared = shared_seeds(seeds)
    if not shared:
        return "over each method's own seeds, since no seed is common to all"
    return f"over the seeds that all methods share ({', '.join(map(str, shared))})"
