"""Fusion with a heavy-tailed prior on the graph of the image's pixels, and the posterior around it.

Minimises, over the coefficients A,

    1/2 ||X - H(A) E||^2 + 1/2 ||Y - (A E) R^T||^2 + sum_e l_e d / 2 log(eps^2 + delta_e^T W_e delta_e / d)

where the noise weights the data terms, ``delta_e`` is the difference of A along edge e of the pixels' graph,
``W_e`` the precision of the edge's class and ``l_e`` the edge's strength. Each round replaces the last term
by the quadratic that touches it from above, with weights ``w_e = l_e / (eps^2 + delta_e^T W_e delta_e / d)``
(iteratively reweighted least squares: the objective never rises). It then takes a fixed number of steps of
conjugate gradients towards the minimum of that quadratic. The preconditioner is the exact solution for a
prior without ties between pixels (module `gaussian`).

At the last weights the posterior is Gaussian. Its draws are solutions for perturbed data (perturb and MAP,
Papandreou and Yuille 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.core.sensing.noise import standard_normal
from pipeline.core.sensing.observation import Observation, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse, upsample
from pipeline.core.solvers.conjugate_gradients import conjugate_gradients
from pipeline.core.solvers.gaussian import DataTerms, GaussianFusion, data_terms
from pipeline.core.solvers.graph_prior import GraphPrior
from pipeline.core.solvers.pixel_graph import pixel_graph, quieted
from pipeline.core.solvers.weighted import informed_mean, weighted_terms

Array = NDArray[np.float64]

SOFTENING = 0.2  # eps: root mean square of a coefficient's difference, below which differences cost alike
NEIGHBOUR_STRENGTH = 0.1  # l_e of neighbours; well below 1, since each pixel has many edges
SIMILAR_STRENGTH = 0.05  # l_e of similar pixels
STEPS = 8  # of conjugate gradients in each round; the next round changes the weights anyway
DRAW_STEPS = 15  # more than in a round: a draw starts from zero


class GraphFusion:
    """The fusion of one observation.

    Parameters
    ----------
    observation : Observation
        The images, without no-data.
    prior : GraphPrior
        Basis, classes of spectra and the shape of their differences.
    similar : int
        Largest number of similar pixels to which each pixel is tied.
    rounds : int
        Number of rounds, each with new weights.
    """

    def __init__(
        self, observation: Observation, prior: GraphPrior, similar: int = 4, rounds: int = 6
    ) -> None:
        self.observation, self.prior, self.rounds = observation, prior, rounds
        terms = misfit_terms(observation, prior)
        self.terms = weighted_terms(terms, observation, prior.basis, prior.misfit)
        features = prior.features(quieted(observation.hr_msi, observation.sigma_msi))
        self.graph = pixel_graph(features, similar)
        spectra = features.reshape(len(features), -1)
        self.classes = prior.classes((spectra[:, self.graph.first] + spectra[:, self.graph.second]) / 2)
        neighbours = self.graph.slots[1].stop
        self.strengths = np.full(len(self.classes), SIMILAR_STRENGTH)
        self.strengths[:neighbours] = NEIGHBOUR_STRENGTH

    def solve(self, progress: Progress = no_progress) -> Solution:
        """Return A after the last round, with the posterior at the weights of that round.

        Parameters
        ----------
        progress : callable
            Receives the number of finished rounds.
        """
        shift = self.observation.spatial_response.shift
        coefficients = upsample(self.terms.coefficients, self.observation.hr_shape, shift)
        start = GaussianFusion(self.terms, np.eye(len(coefficients)))
        coefficients = start.solve(informed_mean(start, coefficients))
        for done in range(1, self.rounds + 1):
            quadratic = Quadratic(self, self.weights(coefficients))
            coefficients = quadratic.minimise(self.terms.rhs, coefficients, STEPS)
            progress("rounds", done, self.rounds)
        return Solution(coefficients, quadratic)

    def weights(self, coefficients: Array) -> Array:
        """Return the edges' weights ``w_e`` ``(m,)`` at coefficients ``(d, H, W)``."""
        pixels = coefficients.reshape(len(coefficients), -1).T
        size = np.empty(len(self.classes))
        # slot by slot and class by class, so that the differences of all edges never exist at once
        for slot in self.graph.slots:
            for number, precision in enumerate(self.prior.precisions):
                edges = slot.start + np.flatnonzero(self.classes[slot] == number)
                own = pixels[self.graph.first[edges]] - pixels[self.graph.second[edges]]
                size[edges] = np.einsum("md,md->m", own @ precision, own) / len(precision)
        return self.strengths / (SOFTENING**2 + size)


class Quadratic:
    """The fusion with fixed weights of the edges: a Gaussian posterior.

    Parameters
    ----------
    fusion : GraphFusion
        Data terms, graph and classes of the edges.
    weights : (m,)
        ``w_e``.
    """

    def __init__(self, fusion: GraphFusion, weights: Array) -> None:
        self.fusion, self.terms, self.edge_weights = fusion, fusion.terms, weights
        precisions = fusion.prior.precisions
        self.parts: list[tuple[csr_array, Array]] = [
            (fusion.graph.laplacian(weights, fusion.classes == number), precision)
            for number, precision in enumerate(precisions)
        ]
        self.preconditioner = self._untied()

    def _untied(self) -> GaussianFusion:
        """Solve exactly, with H's first separable term and a prior that acts on each pixel by itself."""
        # half the mean diagonal of the Laplacians: of smooth images, which cost most steps, the graph's
        # precision is well below its diagonal
        held = sum(part.diagonal().mean() / 2 * precision for part, precision in self.parts)
        operator = self.terms.operator
        first = SpatialOperator(operator.rows[:1], operator.cols[:1])
        return GaussianFusion(replace(self.terms, operator=first), np.asarray(held))

    def apply(self, image: Array) -> Array:
        """Multiply the posterior's precision with an image ``(d, H, W)``."""
        pixels = np.ascontiguousarray(image.reshape(len(image), -1).T)  # as the sparse products want them
        tied = sum((part @ pixels) @ precision for part, precision in self.parts)
        return self.terms.apply(image) + np.asarray(tied).T.reshape(image.shape)

    def minimise(self, rhs: Array, start: Array, steps: int) -> Array:
        """Take steps of preconditioned conjugate gradients towards ``apply(A) = rhs``.

        Parameters
        ----------
        rhs : (d, H, W)
            Right-hand side.
        start : (d, H, W)
            First estimate of A.
        steps : int
            Number of steps; the iteration does not stop earlier.
        """
        return conjugate_gradients(self.apply, self.preconditioner.invert, rhs, start, steps)

    def draws(self, count: int, seed: int, steps: int = DRAW_STEPS) -> Iterator[Array]:
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
        terms, observation = self.terms, self.fusion.observation
        origin = observation.origin
        lr_corner = lr_origin(origin, observation.spatial_response)
        of_edges = [np.asarray(np.linalg.cholesky(precision)) for _, precision in self.parts]
        for number in range(count):
            purpose = f"draw {number}"
            coarse = standard_normal(seed, f"{purpose}/lr", terms.coefficients.shape, lr_corner)
            fine = standard_normal(seed, f"{purpose}/hr", terms.hr_msi.shape, origin)
            noise = terms.noise(coarse, fine, observation.sigma_msi)
            noise += self._noise_of_edges(of_edges, seed, purpose)
            yield self.minimise(noise, np.zeros_like(noise), steps)

    def _noise_of_edges(self, roots: list[NDArray[np.floating]], seed: int, purpose: str) -> Array:
        """Draw noise ``(d, H, W)`` whose covariance is the prior's precision.

        Parameters
        ----------
        roots : list of (d, d)
            Cholesky factors of the classes' precisions.
        seed : int
            Seed of the random numbers.
        purpose : str
            Name of the draw.
        """
        graph, classes, origin = self.fusion.graph, self.fusion.classes, self.fusion.observation.origin
        shape = len(roots[0]), *graph.shape
        total = np.zeros((graph.shape[0] * graph.shape[1], shape[0]))
        # an edge's noise is drawn at the pixel that owns it: that pixel owns one edge of each slot
        for name, slot in enumerate(graph.slots):
            field = standard_normal(seed, f"{purpose}/edges {name}", shape, origin)
            noise = field.reshape(len(field), -1).T[graph.first[slot]].astype(np.float64)
            noise *= np.sqrt(self.edge_weights[slot])[:, None]
            for number, root in enumerate(roots):
                own = classes[slot] == number
                noise[own] = noise[own] @ root.T
            total += graph.incidence[:, slot] @ noise
        return total.T.reshape(shape)


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
    coefficients : (d, H, W)
        A.
    posterior : Quadratic
        The Gaussian posterior at the weights of the last round.
    """

    coefficients: Array
    posterior: Quadratic


def misfit_terms(observation: Observation, prior: GraphPrior) -> DataTerms:
    """Form the data terms, with the model's errors counted as noise of the LR-HSI.

    Parameters
    ----------
    observation : Observation
        The images, without no-data.
    prior : GraphPrior
        Basis, and the variance of the model's errors in it.
    """
    terms = data_terms(observation, prior.basis)
    noise = np.linalg.inv(terms.by_hsi) + prior.misfit * np.eye(len(prior.basis))
    return replace(terms, by_hsi=np.asarray(np.linalg.inv(noise)))
