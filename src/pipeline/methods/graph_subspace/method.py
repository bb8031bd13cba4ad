"""Fusion with a heavy-tailed prior on a graph of similar HR-MSI pixels, in a spectral subspace.

Pixels with similar HR-MSI spectra are assumed to hold the same materials. The LR-HSI shows how spectra change
from one material to the next. Both are learned from the pair itself in seconds (`core.solvers.graph_prior`),
without gradient descent. `core.solvers.graph_fusion` solves for the cube; `deviation` computes its standard
deviation.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from math import ceil, prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.nodata import filled_observation, mark_nodata
from pipeline.core.sensing.observation import Observation, ObservedScene, Progress, no_progress
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.solvers.engine import Engine, array
from pipeline.core.solvers.graph_fusion import GraphFusion, Solution, Steps, sufficient_type
from pipeline.core.solvers.graph_prior import GraphPrior, with_detail
from pipeline.core.solvers.pixel_graph import QUIETED_REACH, REACH
from pipeline.core.window import Window
from pipeline.methods.base import FittedMethod, Fused, State
from pipeline.methods.device import (
    device_name,
    precision_name,
    reproducible,
    resolve_device,
    solver_engine,
)
from pipeline.methods.graph_subspace.deviation import Calibration, Spread, learn_spread
from pipeline.methods.graph_subspace.settings import GraphSubspaceSettings
from pipeline.methods.pair_prior import prior_of
from pipeline.methods.pool import drawn_windows, training_pool

log = logging.getLogger(__name__)

TESTED_SIDE = 256  # HR pixels: side of the windows on which the standard deviation is calibrated
TESTED_WINDOWS = 4  # a fusion one level down costs little, its draws a lot


class GraphSubspace:
    """The method `graph_subspace`, as described by `pipeline.methods.base.Method`."""

    def __init__(self, settings: GraphSubspaceSettings) -> None:
        self.settings, self.device = settings, resolve_device(settings.device)

    def halo_lr(self, response: SpatialResponse) -> int:
        """Return the distance in LR pixels beyond which the images hardly influence the solution.

        It is that of a total variation prior (see `pipeline.methods.hysure`), plus the distance over which
        similar pixels are tied and the HR-MSI is denoised.

        Parameters
        ----------
        response : SpatialResponse
            H.
        """
        return 2 * response.support_lr + 6 + ceil((REACH + QUIETED_REACH) / response.ratio)

    def fit(
        self,
        scene: ObservedScene,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress = no_progress,
    ) -> FittedGraphSubspace:
        """Learn the prior, find the solver's steps, and calibrate the standard deviation."""
        settings = self.settings
        pool = training_pool(scene, seed, "graph_subspace", scene.spatial_response.ratio.numerator)
        prior = prior_of(scene, pool, settings.d, settings.classes, seed)
        if not settings.misfit:
            prior = replace(prior, misfit=0.0)
        prior = with_detail(prior, [scene.lr_hsi], scene.sigma_hsi, scene.spatial_response)
        ratio = scene.spatial_response.ratio
        side = max(TESTED_SIDE, ratio.numerator * ceil(ratio))  # a whole LR pixel of the level below
        drawn = drawn_windows(pool, seed, "graph_subspace/tested", side, TESTED_WINDOWS)
        parts = drawn or pool[:1]
        with reproducible(self.device, settings.threads):
            each = [self.settled(prior, filled_observation(part), seed).steps for part in parts]
            steps = Steps.largest(each)
            spread = self._spread(scene, parts, prior, seed) if settings.draws else None
        return FittedGraphSubspace(scene, self, prior, steps, spread, seed)

    def _spread(self, scene: ObservedScene, parts: list[Observation], prior: GraphPrior, seed: int) -> Spread:
        """Calibrate the standard deviation on parts of the scene."""
        fraction = sum(prod(part.hr_shape) for part in parts) / prod(scene.hr_shape)
        classes, draws = self.settings.classes, self.settings.draws

        def solve(prior: GraphPrior, observation: Observation) -> Solution:
            return self.settled(prior, observation, seed)

        spread = learn_spread(Calibration(parts, fraction, classes, draws, seed), solve, prior)
        if (spread.factor == 1).all():
            log.warning(
                "graph_subspace: the images are too small to test the standard deviation one level down; "
                "it is mostly too small"
            )
        return spread

    def engine(self, prior: GraphPrior, scene: ObservedScene) -> Engine:
        """Return the device and the floating-point type of the fusion of a scene, or of a part of it."""
        return solver_engine(self.settings, sufficient_type(prior, scene))

    def fusion(self, prior: GraphPrior, observation: Observation) -> GraphFusion:
        """Set up the fusion problem of an observation.

        Parameters
        ----------
        prior : GraphPrior
            Basis and prior.
        observation : Observation
            The images, without no-data.
        """
        return GraphFusion(observation, prior, self.engine(prior, observation), self.settings.similar)

    def settled(self, prior: GraphPrior, observation: Observation, seed: int) -> Solution:
        """Solve the fusion problem of an observation in as many steps as it needs (`GraphFusion.settle`)."""
        return self.fusion(prior, observation).settle(self.settings.rounds, seed)

    def restore(self, scene: ObservedScene, state: State, seed: int = 0) -> FittedGraphSubspace:
        """Take the prior and the calibration from a stored state."""
        spread = Spread(state["factor"], state["added"]) if "factor" in state else None
        steps = Steps(tuple(state["steps"].tolist()), int(state["draw_steps"]))
        return FittedGraphSubspace(scene, self, GraphPrior.of(state), steps, spread, seed)


class FittedGraphSubspace(FittedMethod):
    """A scene's prior, the solver's steps, and the calibration of the standard deviation.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    method : GraphSubspace
        The method with its settings.
    prior : GraphPrior
        Prior of the scene.
    steps : Steps
        Steps of the solver, which bring it to convergence in parts of the scene.
    spread : Spread or None
        Calibration of the standard deviation; None if the settings leave it out.
    seed : int
        Seed of the draws.
    """

    def __init__(
        self,
        scene: ObservedScene,
        method: GraphSubspace,
        prior: GraphPrior,
        steps: Steps,
        spread: Spread | None,
        seed: int,
    ) -> None:
        super().__init__(scene, method.halo_lr(scene.spatial_response))
        self.method, self.prior, self.steps = method, prior, steps
        self.spread, self.seed = spread, seed
        self.device = device_name(method.device)
        self.precision = precision_name(method.engine(prior, scene).dtype)

    def state(self) -> State:
        """Return all arrays of the prior and of the calibration, and the numbers of steps."""
        steps = {"steps": np.array(self.steps.rounds), "draw_steps": np.array(self.steps.draw)}
        return self.prior.state() | steps | ({} if self.spread is None else asdict(self.spread))

    def fuse_observation(self, observation: Observation, progress: Progress) -> NDArray[np.float32]:
        """Solve for the coefficients and multiply by the basis."""
        with self._reproducible():
            return self._cube(self._solution(observation, progress), observation, observation.whole)

    def fuse_part_with_deviation(
        self, part: Observation, window: Window, progress: Progress = no_progress
    ) -> Fused:
        """Solve, and draw from the posterior."""
        inner = window.relative_to(self.scene.window_of(part))
        with self._reproducible():
            solution = self._solution(part, progress)
            cube = self._cube(solution, part, inner)
            if self.spread is None:
                return Fused(cube)
            draws = self.method.settings.draws
            deviation = self.spread.deviation(solution, self.prior.basis, draws, self.seed, inner)
        return Fused(cube, np.where(np.isnan(cube), np.float32("nan"), deviation))

    def _reproducible(self) -> AbstractContextManager[None]:
        return reproducible(self.method.device, self.method.settings.threads)

    def _solution(self, observation: Observation, progress: Progress) -> Solution:
        return self.method.fusion(self.prior, filled_observation(observation)).solve(self.steps, progress)

    def _cube(self, solution: Solution, observation: Observation, inner: Window) -> NDArray[np.float32]:
        planes = mark_nodata(array(solution.coefficients.float()), observation)[:, *inner.slices]
        return np.tensordot(self.prior.basis.T.astype(np.float32), planes, axes=1)
