"""Standard deviation of the truth about the fused cube, for each pixel and band.

It starts from the spread of draws from the posterior. Since a posterior is only as good as its model, the
spread is calibrated one level down, where the LR-HSI is the truth and no reference is needed: both images are
degraded once more and fused with a prior that is learned there, and a factor for each band makes the
intervals have their nominal coverage. Two parts that H averages away, so that one level down underestimates
them, are added: the power outside the subspace (`left_out`), and white detail of the fine grid within it
(`nugget`). The bands of the HR-MSI show how much H averages away (`contrasts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.nodata import coupled_pixels, filled_observation, missing_pixels
from pipeline.core.sensing.observation import Observation
from pipeline.core.solvers.engine import Engine, array, mixed
from pipeline.core.solvers.gaussian import coefficients_of
from pipeline.core.solvers.graph_fusion import Solution
from pipeline.core.solvers.graph_prior import GraphPrior
from pipeline.core.window import Window
from pipeline.methods.graph_subspace.contrasts import fine_power, white_share
from pipeline.methods.graph_subspace.left_out import left_out, noise_in_subspace
from pipeline.methods.graph_subspace.level_below import prior_below
from pipeline.methods.graph_subspace.nugget import nugget
from pipeline.methods.level_below import one_level_down

Array = NDArray[np.float64]

COVERAGE = 0.9
HALF_WIDTH = NormalDist().inv_cdf((1 + COVERAGE) / 2)
"""Half width, in standard deviations, of the interval that holds 90 % of a normal distribution."""
FEWEST = 16  # LR pixels: of fewer errors the 90 % quantile is hardly better known than not at all


@dataclass(frozen=True)
class Calibration:
    """Parts of a scene on which its standard deviation is calibrated.

    Attributes
    ----------
    parts : sequence of Observation
        The parts.
    fraction : float
        Fraction of the scene's pixels covered by `parts`.
    classes : int
        Largest number of classes of spectra in the prior that is learned one level down.
    draws : int
        Number of draws from the posterior.
    seed : int
        Seed of the draws, of the classes and of the noise added one level down.
    """

    parts: Sequence[Observation]
    fraction: float
    classes: int
    draws: int
    seed: int


@dataclass(frozen=True)
class Spread:
    """Numbers that turn the spread of the draws into a standard deviation.

    Attributes
    ----------
    factor : (C,)
        Factor on the draws' standard deviation.
    added : (C,)
        Standard deviation of the parts that the draws do not contain: outside of the subspace, and white
        within it.
    """

    factor: Array
    added: Array

    def deviation(
        self, solution: Solution, basis: Array, draws: int, seed: int, inner: Window
    ) -> NDArray[np.float32]:
        """Return the standard deviation ``(C, height, width)`` in a window of a solution.

        Parameters
        ----------
        solution : Solution
            Solution with its posterior.
        basis : (d, C)
            E.
        draws : int
            Number of draws.
        seed : int
            Seed of the draws.
        inner : Window
            The window, relative to the solution.
        """
        variance = posterior_variance(solution, basis, draws, seed, inner)
        tensor = Engine.of(variance).tensor
        variance *= tensor(self.factor**2)[:, None, None]
        variance += tensor(self.added**2)[:, None, None]
        return array(variance.sqrt_().float())


def posterior_variance(solution: Solution, basis: Array, draws: int, seed: int, inner: Window) -> Tensor:
    """Return the variance ``(C, height, width)`` of the posterior's spectra in a window, from draws.

    Parameters
    ----------
    solution : Solution
        Solution with its posterior.
    basis : (d, C)
        E.
    draws : int
        Number of draws.
    seed : int
        Seed of the draws.
    inner : Window
        The window, relative to the solution.
    """
    spectra = solution.posterior.engine.tensor(basis.T)
    total = torch.zeros((len(spectra), *inner.shape), dtype=spectra.dtype, device=spectra.device)
    for draw in solution.draws(draws, seed):
        total += mixed(spectra, draw[:, *inner.slices]).square_()
    return total / draws


def learn_spread(
    calibration: Calibration, solve: Callable[[GraphPrior, Observation], Solution], prior: GraphPrior
) -> Spread:
    """Calibrate the standard deviation of a scene.

    Parameters
    ----------
    calibration : Calibration
        Parts of the scene. Those without a whole LR pixel one level down are left out of the test.
    solve : callable
        From a prior and an observation without no-data to the solution.
    prior : GraphPrior
        Prior of the scene.
    """
    parts, basis = calibration.parts, prior.basis
    images = [(part.hr_msi.astype(np.float64), ~missing_pixels(part.hr_msi)) for part in parts]
    white = white_share(images, parts[0].sigma_msi)
    # the model's errors count as noise of the LR-HSI: the fusion does not follow either
    noise = noise_in_subspace(basis, parts[0].sigma_hsi) + prior.misfit * np.square(basis).sum(axis=0)
    outside = left_out(parts, basis, calibration.fraction) * fine_power(parts, white)
    return Spread(
        calibrated_factor(calibration, solve, prior),
        np.sqrt(outside + nugget(parts, basis, noise, white)),
    )


def calibrated_factor(
    calibration: Calibration, solve: Callable[[GraphPrior, Observation], Solution], prior: GraphPrior
) -> Array:
    """Return the factor ``(C,)`` that makes 90 % intervals cover 90 % of the LR pixels one level down.

    It is 1 if fewer than `FEWEST` LR pixels can be tested.

    Parameters
    ----------
    calibration : Calibration
        Parts of the scene.
    solve : callable
        From a prior and an observation without no-data to the solution.
    prior : GraphPrior
        Prior of the scene.
    """
    below = prior_below(calibration.parts, prior, calibration.classes, calibration.seed)

    def solve_below(observation: Observation) -> Solution:
        return solve(below, observation)

    errors = [
        standardised_errors(part, solve_below, prior.basis, calibration.draws, calibration.seed)
        for part in calibration.parts
    ]
    size = np.concatenate(errors, axis=1)
    if size.shape[1] < FEWEST:
        return np.ones(prior.basis.shape[1])
    return np.asarray(np.quantile(size, COVERAGE, axis=1) / HALF_WIDTH)


def standardised_errors(
    part: Observation, solve: Callable[[Observation], Solution], basis: Array, draws: int, seed: int
) -> Array:
    """Return the absolute errors ``(C, n)`` one level down over the posterior's standard deviation.

    The truth is the LR-HSI's projection onto the basis. Its own noise is added to the posterior's variance,
    since the error contains it.

    Parameters
    ----------
    part : Observation
        Part of a scene; n is the number of its LR pixels with data that lie in the level below.
    solve : callable
        From an observation without no-data to the solution.
    basis : (d, C)
        E.
    draws : int
        Number of draws from the posterior.
    seed : int
        Seed of the draws and of the noise added one level down.
    """
    filled = filled_observation(part)
    below = one_level_down(filled, seed)
    if below is None:
        return np.empty((basis.shape[1], 0))
    window, observation = below
    solution = solve(observation)
    own_basis = solution.posterior.fusion.prior.basis
    truth = np.tensordot(basis.T, coefficients_of(filled, basis)[:, *window.slices], axes=1)
    error = np.tensordot(own_basis.T, array(solution.coefficients), axes=1) - truth
    variance = array(posterior_variance(solution, own_basis, draws, seed, observation.whole))
    variance = variance + noise_in_subspace(basis, part.sigma_hsi)[:, None, None]
    # a band that the basis leaves out has no variance, and no error either
    tiny = np.finfo(np.float64).tiny
    return np.asarray((np.abs(error) / np.sqrt(variance + tiny))[:, coupled_pixels(part)[window.slices]])
