"""The graph's prior one level down.

It is learned from its images alone. With the scene's own prior, which is learned from
the LR-HSI, the fusion one level down would know its truth, and the test would be easier than the task.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pipeline.core.sensing.nodata import SOME_GAPS, coupled_pixels, filled_observation, tolerated_share
from pipeline.core.sensing.noise import philox_key
from pipeline.core.sensing.observation import Observation
from pipeline.core.solvers.graph_prior import (
    Comparison,
    GraphPrior,
    joined,
    learn_prior,
    sample_of,
    with_detail,
)
from pipeline.core.subspace.basis import Subspace
from pipeline.methods.level_below import MOST_OFFSETS, grid_offsets, one_level_down

log = logging.getLogger(__name__)


def prior_below(parts: Sequence[Observation], prior: GraphPrior, classes: int, seed: int) -> GraphPrior:
    """Learn the prior one level down, in the subspace of the scene's prior.

    LR pixels of the level below are few, so they are taken at several offsets of their grid, those with
    no-data left out. If there are fewer differences than coefficients at one offset, the parts are too small
    and the scene's own prior is returned. The variance of the model's errors is the scene's in either case.

    Parameters
    ----------
    parts : sequence of Observation
        Parts of the scene.
    prior : GraphPrior
        Prior of the scene.
    classes : int
        Largest number of classes of spectra.
    seed : int
        Seed of the added noise and of the classes.
    """
    subspace = Subspace.of(prior.basis, parts[0].sigma_hsi)
    levels = [below for part in parts for below in _offset_levels(part, seed)]
    samples = [sample_of(below, subspace) for below in levels]
    differences = sum(sample.edges.shape[1] for sample in samples) / max(1, len(samples)) * len(parts)
    if differences < len(prior.basis):
        log.info("the level below is too small to learn a prior there; the scene's own is tested")
        return prior
    learned = learn_prior(
        joined(samples),
        prior.basis,
        Comparison(
            parts[0].spectral_response,
            parts[0].sigma_hsi,
            levels[0].spatial_response.noise_gain(*levels[0].hr_shape) * parts[0].sigma_msi ** 2,
        ),
        classes,
        np.random.Generator(np.random.Philox(key=philox_key(seed, "one level down/classes"))),
    )
    images = [below.lr_hsi for below in levels]
    learned = with_detail(learned, images, parts[0].sigma_hsi, levels[0].spatial_response)
    return replace(learned, misfit=prior.misfit)


def _offset_levels(part: Observation, seed: int) -> Iterator[Observation]:
    """Yield the levels below a part at evenly spaced offsets of their grid; no-data is NaN."""
    filled, missing = filled_observation(part), ~coupled_pixels(part, SOME_GAPS)
    step = part.spatial_response.ratio.numerator
    for offset in grid_offsets(step, MOST_OFFSETS):
        if level := one_level_down(filled, seed, offset):
            window, below = level
            share = below.operator.energy_share(missing[window.slices])
            incomplete = share > tolerated_share(share, SOME_GAPS)
            yield replace(below, lr_hsi=np.where(incomplete, np.float32("nan"), below.lr_hsi))
