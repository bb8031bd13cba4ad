"""Fusion with a heavy-tailed prior on the graph of the image's pixels, and the posterior around it.

Minimises, over the coefficients A,

    1/2 ||X - H(A) E||^2 + 1/2 ||Y - (A E) R^T||^2 + sum_e l_e d / 2 log(eps^2 + delta_e^T W_e delta_e / d)
    + 1/2 a <A - V, (A - V) W>

where the noise weights the data terms, ``delta_e`` is the difference of A along edge e of the pixels' graph,
``W_e`` the precision of the edge's class and ``l_e`` the edge's strength. Beyond the largest difference of
neighbouring LR pixels, the logarithm is continued by its tangent in ``delta_e^T W_e delta_e``: no edge is so
free that coefficients which the data do not determine could swing. The last term is the prior of
`gaussian_subspace`, about the interpolated LR-HSI V with the precision W of the detail and a small weight a.
Without it, nothing would hold the level of a region that edges cut off and a wide PSF does not resolve.

Each round replaces the logarithms by the quadratic that touches them from above, with weights
``w_e = l_e / (eps^2 + delta_e^T W_e delta_e / d)`` (iteratively reweighted least squares: the objective never
rises), and minimises that quadratic by conjugate gradients. The preconditioner is the exact solution for a
prior without ties between pixels (module `gaussian`).

How many steps the minimisation needs depends on the scene: few where weights are alike, hundreds where dark
water lies beside bright sand. `GraphFusion.settle` finds out on parts of a scene: after so many steps the
coefficients are nearer to the minimum, in the mean square, than `CONVERGED` of the posterior's variance.
Windows of the scene then take equally many steps, so that a pixel's value does not depend on the window.

At the last weights the posterior is Gaussian. Its draws are solutions for perturbed data (perturb and MAP,
Papandreou and Yuille 2010).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.class_sums import ClassSums
from pipeline.core.solvers.conjugate_gradients import Settled, conjugate_gradients, settle
from pipeline.core.solvers.engine import DOUBLE, Engine, interpolated, mixed, symmetric_root
from pipeline.core.solvers.gaussian import DataTerms, GaussianFusion, data_terms
from pipeline.core.solvers.graph_prior import GraphPrior
from pipeline.core.solvers.pixel_graph import pixel_graph, quieted
from pipeline.core.solvers.signs import SignField
from pipeline.core.solvers.weighted import informed_mean, weighted_terms
from pipeline.core.subspace.basis import coefficient_precision

Array = NDArray[np.float64]

log = logging.getLogger(__name__)

SOFTENING = 0.2  # eps: root mean square of a coefficient's difference, below which differences cost alike
NEIGHBOUR_STRENGTH = 0.1  # l_e of neighbours; well below 1, since each pixel has many edges
SIMILAR_STRENGTH = 0.05  # l_e of similar pixels
DETAIL_STRENGTH = 0.1  # a: that of an edge to a neighbour
CONVERGED = 1e-3  # mean squared distance from a round's minimum, in units of the posterior's variance
DRAW_CONVERGED = 3e-2  # the same for draws: their variance is too small by as much
MOST_STEPS = 1000  # of conjugate gradients in a round
EDGES_AT_ONCE = 2**17  # whose differences are in memory
MOST_ROUNDING = 0.1  # in units of a typical difference, in the direction in which it is largest


@dataclass(frozen=True)
class Steps:
    """Numbers of steps of conjugate gradients.

    Attributes
    ----------
    rounds : tuple of int
        Steps in each round.
    draw : int
        Steps for a draw from the posterior.
    """

    rounds: tuple[int, ...]
    draw: int

    @classmethod
    def largest(cls, several: Sequence[Steps]) -> Steps:
        """Return the steps that suffice for each of several windows."""
        rounds = zip(*(steps.rounds for steps in several), strict=True)
        return cls(tuple(map(max, rounds)), max(steps.draw for steps in several))


class GraphFusion:
    """The fusion of one observation.

    Parameters
    ----------
    observation : Observation
        The images, without no-data.
    prior : GraphPrior
        Basis, classes of spectra and the shape of their differences.
    engine : Engine
        Device and type of the computation.
    similar : int
        Largest number of similar pixels to which each pixel is tied.
    """

    def __init__(self, observation: Observation, prior: GraphPrior, engine: Engine, similar: int = 4) -> None:
        self.observation, self.prior, self.engine = observation, prior, engine
        terms = misfit_terms(observation, prior, engine)
        self.terms = weighted_terms(terms, observation, prior.basis, prior.misfit)
        features = quieted(observation.hr_msi, observation.sigma_msi, engine) / prior.scale
        self.graph = pixel_graph(features, similar)
        spectra = features.flatten(1)
        self.classes = prior.classes((spectra[:, self.graph.first] + spectra[:, self.graph.second]) / 2)
        self.sums = ClassSums(self.graph, self.classes, len(prior.precisions))
        neighbours = self.graph.slots[1].stop
        strengths = np.full(len(self.classes), SIMILAR_STRENGTH)
        strengths[:neighbours] = NEIGHBOUR_STRENGTH
        self.strengths = engine.tensor(strengths)
        self.detail = DETAIL_STRENGTH * prior.detail
        self.of_detail = engine.tensor(self.detail)

    def solve(self, steps: Steps, progress: Progress = no_progress) -> Solution:
        """Return A after the last round, with the posterior at the weights of that round.

        Parameters
        ----------
        steps : Steps
            Numbers of steps, from `settle`.
        progress : callable
            Receives the number of finished rounds.
        """
        coefficients = self.start()
        for done, count in enumerate(steps.rounds, start=1):
            quadratic = Quadratic(self, self.weights(coefficients))
            coefficients = quadratic.minimise(self.rhs, coefficients, count)
            progress("rounds", done, len(steps.rounds))
        return Solution(coefficients, quadratic, steps)

    def settle(self, rounds: int, seed: int) -> Solution:
        """Return what `solve` returns, with as many steps as the observation needs.

        Parameters
        ----------
        rounds : int
            Number of rounds, each with new weights.
        seed : int
            Seed of the draw on which the steps of draws are found.
        """
        coefficients, counts, reached = self.start(), [], True
        for _ in range(rounds):
            quadratic = Quadratic(self, self.weights(coefficients))
            settled = quadratic.settle(self.rhs, coefficients, CONVERGED)
            # not the settled solution, which took further steps: the next round starts as in `solve`
            coefficients = quadratic.minimise(self.rhs, coefficients, settled.steps)
            counts.append(settled.steps)
            reached = reached and settled.reached
        noise = quadratic.noise("draw 0", seed)
        draw = quadratic.settle(noise, torch.zeros_like(noise), DRAW_CONVERGED)
        if not (reached and draw.reached):
            log.warning(
                "graph_subspace: the solver does not converge in %d steps; noise levels that are too small "
                "for the images are the usual cause",
                MOST_STEPS,
            )
        return Solution(coefficients, quadratic, Steps(tuple(counts), draw.steps))

    def start(self) -> Tensor:
        """Return the closed form for a prior without ties between pixels."""
        return self._untied.solve(self.mean)

    @cached_property
    def _untied(self) -> GaussianFusion:
        return GaussianFusion(self.terms, np.eye(len(self.detail)))

    @cached_property
    def mean(self) -> Tensor:
        """V ``(d, H, W)``, from Y where only Y shows a pixel."""
        shift = self.observation.spatial_response.shift
        mean = interpolated(self.terms.coefficients, self.observation.hr_shape, shift)
        return informed_mean(self._untied, mean)

    @cached_property
    def rhs(self) -> Tensor:
        """Right-hand side ``(d, H, W)`` of the normal equations at any weights."""
        return self.terms.rhs + mixed(self.of_detail, self.mean)

    def weights(self, coefficients: Tensor) -> Tensor:
        """Return the edges' weights ``w_e`` ``(m,)`` at coefficients ``(d, H, W)``."""
        pixels = coefficients.flatten(1).T.contiguous()
        size = torch.empty_like(self.strengths)
        for number, precision in enumerate(self.prior.precisions):
            matrix = self.engine.tensor(precision) / len(precision)
            for edges in torch.nonzero(self.classes == number).squeeze(1).split(EDGES_AT_ONCE):
                own = pixels.index_select(0, self.graph.first[edges])
                own -= pixels.index_select(0, self.graph.second[edges])
                size[edges] = (own @ matrix * own).sum(dim=1)
        return self.strengths / (SOFTENING**2 + size.clamp(max=self.prior.largest))


class Quadratic:
    """The fusion with fixed weights of the edges: a Gaussian posterior.

    Parameters
    ----------
    fusion : GraphFusion
        Data terms, graph and classes of the edges.
    weights : (m,) tensor
        ``w_e``.
    """

    def __init__(self, fusion: GraphFusion, weights: Tensor) -> None:
        self.fusion, self.terms, self.engine = fusion, fusion.terms, fusion.engine
        self.precisions = [self.engine.tensor(precision) for precision in fusion.prior.precisions]
        self.weights = fusion.sums.at_ends(weights)
        self.degrees = fusion.sums.degrees(self.weights)
        self.preconditioner = self._untied()

    def _untied(self) -> GaussianFusion:
        """Solve exactly with a prior that acts on each pixel by itself."""
        # half the mean diagonal of the Laplacians: of smooth images, which cost most steps, the graph's
        # precision is well below its diagonal
        totals = [self.degrees[own].sum(dtype=torch.float64).item() for own in self.fusion.sums.slices]
        precisions, (height, width) = self.fusion.prior.precisions, self.fusion.graph.shape
        held = np.tensordot(totals, precisions, axes=1) / (2 * height * width)
        return GaussianFusion(self.terms.separable, np.asarray(held) + self.fusion.detail)

    def apply(self, image: Tensor) -> Tensor:
        """Multiply the posterior's precision with an image ``(d, H, W)``."""
        sums = self.fusion.sums
        pixels = image.flatten(1).T.contiguous()
        tied = sums.over_classes(sums.tied(pixels, self.weights, self.degrees), self.precisions)
        return self.terms.apply(image) + mixed(self.fusion.of_detail, image) + tied.T.reshape(image.shape)

    def minimise(self, rhs: Tensor, start: Tensor, steps: int) -> Tensor:
        """Take steps of preconditioned conjugate gradients towards ``apply(A) = rhs``.

        Parameters
        ----------
        rhs : (d, H, W) tensor
            Right-hand side.
        start : (d, H, W) tensor
            First estimate of A.
        steps : int
            Number of steps; the iteration does not stop earlier.
        """
        return conjugate_gradients(self.apply, self.preconditioner.invert, rhs, start, steps)

    def settle(self, rhs: Tensor, start: Tensor, converged: float) -> Settled:
        """Find how many steps of conjugate gradients ``apply(A) = rhs`` needs.

        Parameters
        ----------
        rhs : (d, H, W) tensor
            Right-hand side.
        start : (d, H, W) tensor
            First estimate of A.
        converged : float
            Mean squared distance from the solution to reach, in units of the posterior's variance.
        """
        # the squared distance of a posterior draw from the mean is, on average, the number of unknowns
        distance = converged * start.numel()
        return settle(self.apply, self.preconditioner.invert, rhs, start, distance, MOST_STEPS)

    def draws(self, count: int, seed: int, steps: int) -> Iterator[Tensor]:
        """Yield draws ``(d, H, W)`` from the posterior, about a mean of zero.

        The right-hand side of each is noise whose covariance is the posterior's precision. Random numbers
        depend on the seed and on the absolute position, so that tiles draw as the whole image does.

        Parameters
        ----------
        count : int
            Number of draws.
        seed : int
            Seed of the random numbers.
        steps : int
            Steps of conjugate gradients for each draw.
        """
        for number in range(count):
            noise = self.noise(f"draw {number}", seed)
            yield self.minimise(noise, torch.zeros_like(noise), steps)

    def noise(self, purpose: str, seed: int) -> Tensor:
        """Draw noise ``(d, H, W)`` whose covariance is the posterior's precision.

        Parameters
        ----------
        purpose : str
            Name of the draw.
        seed : int
            Seed of the random numbers.
        """
        terms, observation, graph = self.terms, self.fusion.observation, self.fusion.graph
        d, bands = len(self.precisions[0]), len(terms.hr_msi)
        lr_corner = lr_origin(observation.origin, observation.spatial_response)
        coarse = SignField(seed, f"{purpose}/lr", (d, *observation.lr_shape), lr_corner, self.engine)
        shape = bands + d * (len(graph.slots) + 1), *graph.shape
        fine = SignField(seed, f"{purpose}/hr", shape, observation.origin, self.engine)
        noise = terms.noise(coarse.read(), fine.read(0, bands), observation.sigma_msi)
        # an edge's noise is drawn at the pixel that owns it: that pixel owns one edge of each slot
        of_edges = [
            fine.read(bands + place * d, bands + (place + 1) * d).flatten(1).T[graph.first[slot]]
            for place, slot in enumerate(graph.slots)
        ]
        root = symmetric_root(torch.from_numpy(self.fusion.detail)).to(noise)
        noise += mixed(root, fine.read(bands + len(graph.slots) * d))
        return noise + self._noise_of_edges(torch.cat(of_edges)).T.reshape(noise.shape)

    def _noise_of_edges(self, noise: Tensor) -> Tensor:
        """Turn white noise of the edges ``(m, d)`` into noise ``(n, d)`` with the prior's precision."""
        sums = self.fusion.sums
        roots = [torch.linalg.cholesky(precision.double()).to(noise.dtype).T for precision in self.precisions]
        return sums.over_classes(sums.spread(noise, self.weights.sqrt()), roots)


def lr_origin(origin: tuple[int, int], response: SpatialResponse) -> tuple[int, int]:
    """Return the absolute row and column of an image's upper left LR pixel.

    Parameters
    ----------
    origin : (int, int)
        Absolute HR row and column of the image's corner, which is the corner of an LR pixel.
    response : SpatialResponse
        H, whose ratio counts.
    """
    return int(origin[0] / response.ratio), int(origin[1] / response.ratio)


@dataclass(frozen=True)
class Solution:
    """Result of a fusion.

    Attributes
    ----------
    coefficients : (d, H, W) tensor
        A.
    posterior : Quadratic
        The Gaussian posterior at the weights of the last round.
    steps : Steps
        Numbers of steps that were taken; for a draw, that should be taken.
    """

    coefficients: Tensor
    posterior: Quadratic
    steps: Steps

    def draws(self, count: int, seed: int) -> Iterator[Tensor]:
        """Yield draws ``(d, H, W)`` from the posterior, about a mean of zero (`Quadratic.draws`)."""
        return self.posterior.draws(count, seed, self.steps.draw)


def sufficient_type(prior: GraphPrior, scene: ObservedScene) -> torch.dtype:
    """Return the floating-point type whose rounding hardly changes the solution: the same in all windows.

    Rounding of the objective's gradient is amplified in directions that the data do not determine, where the
    prior's precision is of order 1.

    Parameters
    ----------
    prior : GraphPrior
        Basis and level of the coefficients.
    scene : ObservedScene
        The scene or a part of it, of which only responses and noise levels count.
    """
    basis_msi = prior.basis @ scene.spectral_response.T / scene.sigma_msi
    # an HR pixel has about 1 / ratio^2 of the weight of an LR pixel
    overlap = float(scene.spatial_response.ratio) ** 2
    by_hsi = coefficient_precision(prior.basis, scene.sigma_hsi) / overlap
    of_data = max(np.linalg.norm(by_hsi, 2), np.linalg.norm(basis_msi, 2) ** 2)
    of_edges = max(np.linalg.norm(precision, 2) for precision in prior.precisions)
    of_detail = DETAIL_STRENGTH * np.linalg.norm(prior.detail, 2)
    steepest = max(of_data, of_edges * NEIGHBOUR_STRENGTH / SOFTENING**2, of_detail)
    rounding = torch.finfo(torch.float32).eps * steepest * prior.level
    return torch.float32 if rounding <= MOST_ROUNDING else DOUBLE


def misfit_terms(observation: Observation, prior: GraphPrior, engine: Engine) -> DataTerms:
    """Form the data terms, with the model's errors counted as noise of the LR-HSI.

    Parameters
    ----------
    observation : Observation
        The images, without no-data.
    prior : GraphPrior
        Basis, and the variance of the model's errors in it.
    engine : Engine
        Device and type of the images.
    """
    terms = data_terms(observation, prior.basis, engine)
    noise = np.linalg.inv(terms.by_hsi) + prior.misfit * np.eye(len(prior.basis))
    return replace(terms, by_hsi=np.asarray(np.linalg.inv(noise)))
