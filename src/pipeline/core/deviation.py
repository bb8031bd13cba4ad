"""How far the fused cube may be from the truth: a standard deviation for each pixel and band.

Its base is the spread of draws from the posterior. A posterior is as good as its model, so it is put to
the test one level down, where the truth is known without a reference: both images are degraded once more,
fused with a prior that is learned there, and compared with the LR-HSI. A factor per band then makes the
intervals there cover what they should. What the LR-HSI holds outside of the subspace, noise aside, is
added as if it were white on the fine grid: H averages away most of what is. So is what is white there
within the subspace (`pipeline.core.nugget`), of which one level down shows too little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipeline.core.gaussian import coefficients_of
from pipeline.core.graph_fusion import GraphFusion, Solution
from pipeline.core.graph_prior import GraphPrior
from pipeline.core.level_below import one_level_down, prior_below
from pipeline.core.nodata import coupled_pixels, filled_observation, missing_pixels
from pipeline.core.nugget import nugget
from pipeline.core.observation import Observation
from pipeline.core.subspace import coefficient_noise
from pipeline.core.window import Window

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
    white : (C,)
        Standard deviation of what is white on the HR grid, outside of the subspace and within.
    """

    factor: Array
    white: Array

    def deviation(self, solution: Solution, basis: Array, draws: int, seed: int, inner: Window) -> Array:
        """Standard deviation ``(C, height, width)`` around a window of a solution, from so many draws."""
        variance = posterior_variance(solution, basis, draws, seed, inner)
        variance *= self.factor[:, None, None] ** 2
        variance += self.white[:, None, None] ** 2
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
    """
    below, basis = partial(fusion, prior_below(parts, prior, classes, seed)), prior.basis
    found = np.concatenate([tested(part, below, basis, draws, seed) for part in parts], axis=1)
    factor = np.ones(basis.shape[1])
    if found.shape[1] >= FEWEST:
        factor = np.quantile(found, COVERAGE, axis=1) / HALF_WIDTH
    sigma = parts[0].sigma_hsi
    gain = parts[0].spatial_response.noise_gain(*parts[0].hr_shape)
    residuals = np.concatenate([outside(part, basis) for part in parts], axis=1)
    noise = noise_in_subspace(basis, sigma)
    left_out = excess_power(residuals, sigma**2 - noise) / gain
    of_model = prior.misfit * np.square(basis).sum(axis=0)
    return Spread(factor, np.sqrt(left_out + nugget(parts, basis, noise + of_model)))


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


def outside(part: Observation, basis: Array) -> Array:
    """What the basis leaves of the LR-HSI's spectra ``(C, n)``, where it has data."""
    present = ~missing_pixels(part.lr_hsi)
    explained = np.tensordot(basis.T, coefficients_of(part, basis), axes=1)
    return np.asarray((part.lr_hsi - explained)[:, present])


def excess_power(residuals: Array, noise: Array) -> Array:
    """Mean square ``(C,)`` of residuals ``(C, n)`` beyond noise of given variances.

    A single band's is known to its sampling error alone, which may be many times the excess: what bands
    differ by is drawn towards their mean as far as that error explains it (James and Stein 1961), and none is
    credited with less than the mean.
    """
    power = np.square(residuals).mean(axis=1)
    excess = power - noise
    error = 2 * noise**2 / max(residuals.shape[1], 1)  # of a band that holds noise alone
    mean = max(0.0, float(excess.mean()))
    own = max(0.0, float(excess.var() - error.mean()))
    share = own / np.maximum(own + error, np.finfo(np.float64).tiny)
    return mean + np.maximum(share * (excess - mean), 0)


def noise_in_subspace(basis: Array, sigma: Array) -> Array:
    """Variance ``(C,)`` of the LR-HSI's noise after projection onto the subspace."""
    return np.einsum("db,de,eb->b", basis, coefficient_noise(basis, sigma), basis)
