"""Fusion with a heavy-tailed prior on the graph of the HR-MSI's pixels, in a spectral subspace.

What the HR-MSI shows says which pixels belong together; the LR-HSI says how spectra change where they do
change. Both are learned on the pair itself in seconds (`core.solvers.graph_prior`), nothing is trained by
gradient descent. `core.solvers.graph_fusion` solves, `deviation` says how sure the result is.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from math import ceil, prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.graph_fusion import GraphFusion, Solution
from pipeline.core.solvers.graph_prior import GraphPrior
from pipeline.core.solvers.pixel_graph import QUIETED_REACH, REACH
from pipeline.core.window import Window
from pipeline.methods.base import FittedMethod, Fused, State
from pipeline.methods.graph_subspace.deviation import Spread, learn_spread
from pipeline.methods.graph_subspace.settings import GraphSubspaceSettings
from pipeline.methods.pair_prior import prior_of
from pipeline.methods.pool import drawn_windows, training_pool

log = logging.getLogger(__name__)

TESTED_SIDE = 256  # HR pixels, side of the windows on which the standard deviation is put to the test
TESTED_WINDOWS = 4


class GraphSubspace:
    """See `pipeline.methods.base.Method`."""

    def __init__(self, settings: GraphSubspaceSettings) -> None:
        self.settings = settings

    def halo_lr(self, response: SpatialResponse) -> int:
        """Where the solution's dependence on the images has died away.

        As far as with a total variation prior (see `pipeline.methods.hysure`), and as far again as pixels
        are tied for their likeness and quieted.
        """
        return 2 * response.support_lr + 6 + ceil((REACH + QUIETED_REACH) / response.ratio)

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedGraphSubspace:
        """Learn the prior from neighbouring LR pixels, and how far to trust the posterior."""
        settings = self.settings
        pool = training_pool(scene, seed, "graph_subspace", scene.spatial_response.ratio.numerator)
        prior = prior_of(scene, pool, settings.d, settings.classes, seed)
        if not settings.misfit:
            prior = replace(prior, misfit=0.0)
        spread = None
        if settings.draws:
            ratio = scene.spatial_response.ratio
            side = max(TESTED_SIDE, ratio.numerator * ceil(ratio))  # a whole LR pixel of the level below
            tested = drawn_windows(pool, seed, "graph_subspace/tested", side, TESTED_WINDOWS)
            parts = tested or pool[:1]
            share = sum(prod(part.hr_shape) for part in parts) / prod(scene.hr_shape)
            spread = learn_spread(parts, self.fusion, prior, settings.classes, settings.draws, seed, share)
            if (spread.factor == 1).all():
                log.warning(
                    "graph_subspace: the images are too small to test the standard deviation one level down; "
                    "it is mostly too small"
                )
        return FittedGraphSubspace(scene, self, prior, spread, seed)

    def fusion(self, prior: GraphPrior, observation: Observation) -> GraphFusion:
        """The problem of an observation without no-data."""
        return GraphFusion(observation, prior, self.settings.similar, self.settings.rounds)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedGraphSubspace:
        """Take prior and spread from a stored state."""
        spread = Spread(state["factor"], state["added"]) if "factor" in state else None
        return FittedGraphSubspace(scene, self, GraphPrior.of(state), spread, seed)


class FittedGraphSubspace(FittedMethod):
    """A scene's prior, and what turns the spread of draws into a standard deviation, if that is wanted."""

    def __init__(
        self, scene: ObservedScene, method: GraphSubspace, prior: GraphPrior, spread: Spread | None, seed: int
    ) -> None:
        super().__init__(scene, method.halo_lr(scene.spatial_response))
        self.method, self.prior, self.spread, self.seed = method, prior, spread, seed

    def state(self) -> State:
        """All arrays of prior and spread."""
        return self.prior.state() | ({} if self.spread is None else asdict(self.spread))

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Solve for the coefficients and multiply by the basis."""
        return self._cube(self._solution(observation, progress), observation, observation.whole)

    def fuse_part_with_deviation(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> Fused:
        """Solve, and draw from the posterior."""
        solution = self._solution(part, progress)
        inner = window.relative_to(self.scene.window_of(part))
        cube = self._cube(solution, part, inner)
        if self.spread is None:
            return Fused(cube)
        draws = self.method.settings.draws
        deviation = self.spread.deviation(solution, self.prior.basis, draws, self.seed, inner)
        return Fused(cube, np.where(np.isnan(cube), np.float32("nan"), deviation.astype(np.float32)))

    def _solution(self, observation: Observation, progress: Progress) -> Solution:
        return self.method.fusion(self.prior, filled_observation(observation)).solve(progress)

    def _cube(self, solution: Solution, observation: Observation, inner: Window) -> NDArray[np.float32]:
        planes = mark_nodata(solution.coefficients.astype(np.float32), observation)[:, *inner.slices]
        return np.tensordot(self.prior.basis.T.astype(np.float32), planes, axes=1)
