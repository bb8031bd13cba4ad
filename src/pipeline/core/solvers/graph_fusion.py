"""Fusion with a heavy-tailed prior on the graph of the image's pixels, and how sure it is.

Minimises, over A,

    1/2 ||X - H(A) E||^2 + 1/2 ||Y - (A E) R^T||^2 + sum_e l_e d / 2 log(eps^2 + delta_e^T W_e delta_e / d)

with the data terms weighted by the noise, ``delta_e`` the difference of A along edge e of the pixels'
graph and ``W_e`` the precision of the edge's class. Each round replaces the last term by the quadratic
that touches it from above, with weights ``w_e = l_e / (eps^2 + delta_e^T W_e delta_e / d)`` (iteratively
reweighted least squares: the objective never rises), and takes some steps of conjugate gradients towards
its minimum, preconditioned by the exact solution for a prior that does not tie pixels (module
`gaussian`). The number of steps is fixed: a stopping rule would look at the whole window.

At the last weights the posterior is Gaussian. Its draws are solutions for perturbed data (perturb and
MAP, Papandreou and Yuille 2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pipeline.core.sensing.noise import standard_normal
from pipeline.core.sensing.observation import Observation, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse, upsample
from pipeline.core.solvers.gaussian import DataTerms, GaussianFusion, data_terms
from pipeline.core.solvers.graph_prior import GraphPrior
from pipeline.core.solvers.pixel_graph import pixel_graph, quieted

Array = NDArray[np.float64]

SOFTENING = 0.2  # eps: root mean square of a coefficient's difference, below which differences are alike
NEIGHBOUR_STRENGTH = 0.1  # l_e of neighbours; well below 1, since each pixel has many edges
SIMILAR_STRENGTH = 0.05
STEPS = 8  # of conjugate gradients in each round
DRAW_STEPS = 15


class GraphFusion:
    """The fusion of one observation.

    Parameters
    ----------
    observation : Observation
        Without no-data.
    prior : GraphPrior
    similar : int
        Pixels to which each is tied for its likeness.
    rounds : int
        Times that the edges are weighed.
    """

    def __init__(
        self, observation: Observation, prior: GraphPrior, similar: int = 4, rounds: int = 6
    ) -> None:
        self.observation, self.prior, self.rounds = observation, prior, rounds
        self.terms = misfit_terms(observation, prior)
        features = prior.features(quieted(observation.hr_msi, observation.sigma_msi))
        self.graph = pixel_graph(features, similar)
        spectra = features.reshape(len(features), -1)
        self.classes = prior.classes((spectra[:, self.graph.first] + spectra[:, self.graph.second]) / 2)
        neighbours = self.graph.slots[1].stop
        self.strengths = np.full(len(self.classes), SIMILAR_STRENGTH)
        self.strengths[:neighbours] = NEIGHBOUR_STRENGTH

    def solve(self, progress: Progress = no_progress) -> Solution:
        """A after the fixed number of steps, and the posterior at the weights that led there."""
        shift = self.observation.spatial_response.shift
        coefficients = upsample(self.terms.coefficients, self.observation.hr_shape, shift)
        coefficients = GaussianFusion(self.terms, np.eye(len(coefficients))).solve(coefficients)
        for done in range(1, self.rounds + 1):
            quadratic = Quadratic(self, self.weights(coefficients))
            coefficients = quadratic.minimise(self.rhs, coefficients, STEPS)
            progress("rounds", done, self.rounds)
        return Solution(coefficients, quadratic)

    @cached_property
    def rhs(self) -> Array:
        """What the data say, ``(d, H, W)``."""
        terms = self.terms
        measured = np.tensordot(terms.by_hsi, terms.coefficients, axes=1)
        return terms.operator.adjoint(measured) + np.tensordot(terms.by_msi, terms.hr_msi, axes=1)

    def weights(self, coefficients: Array) -> Array:
        """``w_e`` ``(m,)`` at given coefficients ``(d, H, W)``."""
        pixels = coefficients.reshape(len(coefficients), -1).T
        size = np.empty(len(self.classes))
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
    weights : (m,)
        ``w_e``.
    """

    def __init__(self, fusion: GraphFusion, weights: Array) -> None:
        self.fusion, self.terms, self.edge_weights = fusion, fusion.terms, weights
        self.by_msi = self.terms.by_msi @ self.terms.seen.T
        precisions = fusion.prior.precisions
        self.parts: list[tuple[csr_array, Array]] = [
            (fusion.graph.laplacian(weights, fusion.classes == number), precision)
            for number, precision in enumerate(precisions)
        ]
        self.preconditioner = self._untied()

    def _untied(self) -> GaussianFusion:
        """The exact solution for pixels that are not tied, and H's first separable term.

        Each pixel is held by half of what holds it in the mean: smooth images are held by less.
        """
        held = sum(part.diagonal().mean() / 2 * precision for part, precision in self.parts)
        operator = self.terms.operator
        first = SpatialOperator(operator.rows[:1], operator.cols[:1])
        return GaussianFusion(replace(self.terms, operator=first), np.asarray(held))

    def apply(self, image: Array) -> Array:
        """The posterior's precision times an image ``(d, H, W)``."""
        operator = self.terms.operator
        pixels = np.ascontiguousarray(image.reshape(len(image), -1).T)  # as the sparse products want them
        tied = sum((part @ pixels) @ precision for part, precision in self.parts)
        measured = operator.adjoint(np.tensordot(self.terms.by_hsi, operator.forward(image), axes=1))
        seen = np.tensordot(self.by_msi, image, axes=1)
        return measured + seen + np.asarray(tied).T.reshape(image.shape)

    def minimise(self, rhs: Array, start: Array, steps: int) -> Array:
        """So many steps of preconditioned conjugate gradients towards ``apply(A) = rhs``."""
        solution = start
        residual = rhs - self.apply(start)
        direction = preconditioned = self.preconditioner.invert(residual)
        power = np.vdot(residual, preconditioned)
        for _ in range(steps):
            image = self.apply(direction)
            step = power / max(np.vdot(direction, image), np.finfo(np.float64).tiny)
            solution = solution + step * direction
            residual = residual - step * image
            preconditioned = self.preconditioner.invert(residual)
            power, previous = np.vdot(residual, preconditioned), power
            direction = preconditioned + power / max(previous, np.finfo(np.float64).tiny) * direction
        return solution

    def draws(self, count: int, seed: int, steps: int = DRAW_STEPS) -> Iterator[Array]:
        """Draws ``(d, H, W)`` from the posterior around its mean.

        A function of the seed and of the absolute position, up to the steps not taken.
        """
        terms, observation = self.terms, self.fusion.observation
        origin = observation.origin
        lr_corner = lr_origin(origin, observation.spatial_response)
        of_hsi, by_noise = np.linalg.cholesky(terms.by_hsi), terms.by_msi * observation.sigma_msi
        of_edges = [np.asarray(np.linalg.cholesky(precision)) for _, precision in self.parts]
        for number in range(count):
            purpose = f"draw {number}"
            coarse = standard_normal(seed, f"{purpose}/lr", terms.coefficients.shape, lr_corner)
            fine = standard_normal(seed, f"{purpose}/hr", terms.hr_msi.shape, origin)
            noise = terms.operator.adjoint(np.tensordot(of_hsi, coarse, axes=1))
            noise += np.tensordot(by_noise, fine, axes=1)
            noise += self._noise_of_edges(of_edges, seed, purpose)
            yield self.minimise(noise, np.zeros_like(noise), steps)

    def _noise_of_edges(self, roots: list[NDArray[np.floating]], seed: int, purpose: str) -> Array:
        """``(d, H, W)`` with the covariance of the prior's precision, one slot of edges after another.

        `roots` are those of the classes' precisions.
        """
        graph, classes, origin = self.fusion.graph, self.fusion.classes, self.fusion.observation.origin
        shape = len(roots[0]), *graph.shape
        total = np.zeros((graph.shape[0] * graph.shape[1], shape[0]))
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
    """Absolute row and column of the upper left LR pixel, of an image whose corner lies on LR pixels."""
    return int(origin[0] / response.ratio), int(origin[1] / response.ratio)


@dataclass(frozen=True)
class Solution:
    """Coefficients ``(d, H, W)`` and the Gaussian posterior at their weights."""

    coefficients: Array
    posterior: Quadratic


def misfit_terms(observation: Observation, prior: GraphPrior) -> DataTerms:
    """The data terms, the model's errors counted as noise of the LR-HSI."""
    terms = data_terms(observation, prior.basis)
    noise = np.linalg.inv(terms.by_hsi) + prior.misfit * np.eye(len(prior.basis))
    return replace(terms, by_hsi=np.asarray(np.linalg.inv(noise)))
