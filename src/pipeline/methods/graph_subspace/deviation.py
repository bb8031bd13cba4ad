"""How far the fused cube may be from the truth: a standard deviation for each pixel and band.

Its base is the spread of draws from the posterior. A posterior is as good as its model, so it is put to
the test one level down, where the truth is known without a reference: both images are degraded once more,
fused with a prior that is learned there, and compared with the LR-HSI. A factor per band then makes the
intervals there cover what they should. Two parts are added of which one level down shows too little: what
the subspace leaves out (`left_out`), and what is white on the fine grid within it
(`nugget`). How much H averages away of both is seen in the HR-MSI (`contrasts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import coupled_pixels, filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation
from pipeline.core.solvers.gaussian import coefficients_of
from pipeline.core.solvers.graph_fusion import GraphFusion, Solution
from pipeline.core.solvers.graph_prior import GraphPrior
from pipeline.core.window import Window
from pipeline.methods.graph_subspace.contrasts import fine_power, white_share
from pipeline.methods.graph_subspace.left_out import left_out, noise_in_subspace
from pipeline.methods.graph_subspace.level_below import one_level_down, prior_below
from pipeline.methods.graph_subspace.nugget import nugget

Array = NDArray[np.float64]

COVERAGE = 0.9
HALF_WIDTH = NormalDist().inv_cdf((1 + COVERAGE) / 2)
"""Of the interval that holds 90 % of a normal distribution, in standard deviations."""
FEWEST = 16  # LR pixels below which nothing is said of a band


@dataclass(frozen=True)
class Spread:
    """What turns the spread of the draws into a standard deviation.

    Attributes
    ----------
    factor : (C,)
    added : (C,)
        Standard deviation of what the draws do not spread: outside of the subspace, and white within.
    """

    factor: Array
    added: Array

    def deviation(self, solution: Solution, basis: Array, draws: int, seed: int, inner: Window) -> Array:
        """Standard deviation ``(C, height, width)`` around a window of a solution, from so many draws."""
        variance = posterior_variance(solution, basis, draws, seed, inner)
        variance *= self.factor[:, None, None] ** 2
        variance += self.added[:, None, None] ** 2
        return np.sqrt(variance)


def posterior_variance(solution: Solution, basis: Array, draws: int, seed: int, inner: Window) -> Array:
    """Mean square ``(C, height, width)`` of the draws' spectra about the solution's, in a window."""
    total = np.zeros((basis.shape[1], *inner.shape))
    for draw in solution.posterior.draws(draws, seed):
        total += np.square(np.tensordot(basis.T, draw[:, *inner.slices], axes=1))
    return total / draws


def learn_spread(
    parts: Sequence[Observation],
    fusion: Callable[[GraphPrior, Observation], GraphFusion],
    prior: GraphPrior,
    classes: int,
    draws: int,
    seed: int,
    share: float,
) -> Spread:
    """The spread of a scene, from some of its parts.

    Parts without a whole LR pixel of the level below are passed over; with fewer than `FEWEST` LR pixels
    tested in all, the factors are 1.

    Parameters
    ----------
    parts : sequence of Observation
    fusion : callable
        The problem of a prior and an observation without no-data.
    prior : GraphPrior
        Of the scene.
    classes : int
        At most, of the prior that is learned one level down.
    draws, seed : int
    share : float
        Of the scene's pixels, that the parts have.
    """
    below, basis = partial(fusion, prior_below(parts, prior, classes, seed)), prior.basis
    found = np.concatenate([tested(part, below, basis, draws, seed) for part in parts], axis=1)
    factor = np.ones(basis.shape[1])
    if found.shape[1] >= FEWEST:
        factor = np.quantile(found, COVERAGE, axis=1) / HALF_WIDTH
    images = [(part.hr_msi.astype(np.float64), ~missing_pixels(part.hr_msi)) for part in parts]
    white = white_share(images, parts[0].sigma_msi)
    noise = noise_in_subspace(basis, parts[0].sigma_hsi) + prior.misfit * np.square(basis).sum(axis=0)
    added = left_out(parts, basis, share) * fine_power(parts, white) + nugget(parts, basis, noise, white)
    return Spread(factor, np.sqrt(added))


def tested(
    part: Observation, fusion: Callable[[Observation], GraphFusion], basis: Array, draws: int, seed: int
) -> Array:
    """Errors one level down in units of the posterior's standard deviation ``(C, n)``, of n LR pixels."""
    filled = filled_observation(part)
    below = one_level_down(filled, seed)
    if below is None:
        return np.empty((basis.shape[1], 0))
    window, observation = below
    problem = fusion(observation)
    solution = problem.solve()
    truth = np.tensordot(basis.T, coefficients_of(filled, basis)[:, *window.slices], axes=1)
    error = np.tensordot(problem.prior.basis.T, solution.coefficients, axes=1) - truth
    variance = posterior_variance(solution, problem.prior.basis, draws, seed, observation.whole)
    variance += noise_in_subspace(basis, part.sigma_hsi)[:, None, None]
    tiny = np.finfo(np.float64).tiny  # of a band that the basis leaves out
    return np.asarray((np.abs(error) / np.sqrt(variance + tiny))[:, coupled_pixels(part)[window.slices]])
