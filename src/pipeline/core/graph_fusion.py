"""Fusion with a heavy-tailed prior on the graph of the image's pixels, and how sure it is.

Minimises, over A,

    1/2 ||X - H(A) E||^2 + 1/2 ||Y - (A E) R^T||^2 + sum_e l_e d / 2 log(eps^2 + delta_e^T W_e delta_e / d)

with the data terms weighted by the noise, ``delta_e`` the difference of A along edge e of the pixels'
graph and ``W_e`` the precision of the edge's class. Each round replaces the last term by the quadratic
that touches it from above, with weights ``w_e = l_e / (eps^2 + delta_e^T W_e delta_e / d)`` (iteratively
reweighted least squares: the objective never rises), and takes some steps of conjugate gradients towards
its minimum, preconditioned by the exact solution for a prior that does not tie pixels
(`pipeline.core.gaussian`). The number of steps is fixed: a stopping rule would look at the whole window.

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

from pipeline.core.gaussian import DataTerms, GaussianFusion, data_terms
from pipeline.core.graph_prior import GraphPrior
from pipeline.core.noise import standard_normal
from pipeline.core.observation import Observation, Progress, no_progress
from pipeline.core.pixel_graph import pixel_graph
from pipeline.core.spatial import upsample

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
        features = prior.features(observation.hr_msi)
        self.graph = pixel_graph(features, similar)
        spectra = features.reshape(len(features), -1)
        self.classes = prior.classes((spectra[:, self.graph.first] + spectra[:, self.graph.second]) / 2)
        self.strengths = np.where(self.graph.slot < 2, NEIGHBOUR_STRENGTH, SIMILAR_STRENGTH)

    def solve(self, progress: Progress = no_progress) -> Solution:
        """The minimum A, to the fixed number of steps, and the weights there."""
        shift = self.observation.spatial_response.shift
        mean = upsample(self.terms.coefficients, self.observation.hr_shape, shift)
        coefficients = GaussianFusion(self.terms, np.eye(len(mean))).solve(mean)
        for done in range(1, self.rounds + 1):
            quadratic = Quadratic(self, self.weights(coefficients))
            coefficients = quadratic.minimise(quadratic.rhs, coefficients, STEPS)
            progress("rounds", done, self.rounds)
        return Solution(coefficients, quadratic)

    def weights(self, coefficients: Array) -> Array:
        """``w_e`` ``(m,)`` at given coefficients ``(d, H, W)``."""
        differences = self.graph.differences(coefficients.reshape(len(coefficients), -1).T)
        size = np.empty(len(differences))
        for number, precision in enumerate(self.prior.precisions):
            of_class = self.classes == number
            own = differences[of_class]
            size[of_class] = np.einsum("md,md->m", own @ precision, own) / len(precision)
        return self.strengths / (SOFTENING**2 + size)

    def objective(self, coefficients: Array) -> float:
        """What is minimised."""
        terms, d = self.terms, len(coefficients)
        hsi = terms.operator.forward(coefficients) - terms.coefficients
        explained = np.tensordot(terms.seen.T, coefficients, axes=1)
        msi = (terms.hr_msi - explained) / self.observation.sigma_msi[:, None, None]
        size = self.strengths / self.weights(coefficients)
        return float(
            np.einsum("dyx,de,eyx->", hsi, terms.by_hsi, hsi) / 2
            + np.square(msi).sum() / 2
            + d / 2 * (self.strengths * np.log(size)).sum()
        )


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
        untied = sum(part.diagonal().mean() / 2 * precision for part, precision in self.parts)
        self.preconditioner = GaussianFusion(self.terms, np.asarray(untied))

    @cached_property
    def rhs(self) -> Array:
        """What the data say, ``(d, H, W)``."""
        terms = self.terms
        measured = np.tensordot(terms.by_hsi, terms.coefficients, axes=1)
        return terms.operator.adjoint(measured) + np.tensordot(terms.by_msi, terms.hr_msi, axes=1)

    def apply(self, image: Array) -> Array:
        """The posterior's precision times an image ``(d, H, W)``."""
        operator = self.terms.operator
        pixels = image.reshape(len(image), -1).T
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
        fusion, terms = self.fusion, self.terms
        d, origin = len(terms.coefficients), fusion.observation.origin
        ratio = fusion.observation.spatial_response.ratio
        lr_origin = int(origin[0] / ratio), int(origin[1] / ratio)
        of_hsi, graph = np.linalg.cholesky(terms.by_hsi), fusion.graph
        of_edges = [np.linalg.cholesky(precision) for precision in fusion.prior.precisions]
        roots = np.sqrt(self.edge_weights)[:, None]
        slots = int(graph.slot.max(initial=1)) + 1
        for number in range(count):
            noise = f"draw{number}/"
            lr = standard_normal(seed, noise + "lr", (d, *terms.operator.lr_shape), lr_origin)
            hr = standard_normal(seed, noise + "hr", terms.hr_msi.shape, origin)
            on_edges = np.empty((len(graph.first), d))
            for slot in range(slots):
                field = standard_normal(seed, f"{noise}edge{slot}", (d, *graph.shape), origin)
                owned = graph.slot == slot
                on_edges[owned] = field.reshape(d, -1).T[graph.first[owned]]
            for part, root in enumerate(of_edges):
                of_class = fusion.classes == part
                on_edges[of_class] = on_edges[of_class] @ root.T
            tied = graph.differences_adjoint(on_edges * roots).T.reshape(d, *graph.shape)
            by_noise = terms.by_msi * fusion.observation.sigma_msi
            rhs = terms.operator.adjoint(np.tensordot(of_hsi, lr, axes=1)) + tied
            rhs += np.tensordot(by_noise, hr, axes=1)
            yield self.minimise(rhs, np.zeros_like(rhs), steps)


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
