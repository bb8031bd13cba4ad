"""The prior of a scene's differences, and the subspace in which it holds, from the pair itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.sensing.noise import philox_key
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.solvers.graph_prior import GraphPrior, Sample, joined, learn_prior, sample_of
from pipeline.core.subspace.basis import Subspace, fit_subspace, resolve_dimension, signal_dimension
from pipeline.methods.pool import seeing_only

MOST_DIMENSIONS = 30


def prior_of(
    scene: ObservedScene, pool: Sequence[Observation], d: int | None, classes: int, seed: int
) -> GraphPrior:
    """Learn the prior.

    Parameters
    ----------
    scene : ObservedScene
    pool : sequence of Observation
        Parts of the scene on whose LR pixels it is learned.
    d : int or None
        Subspace dimension; by default as many directions as the LR-HSI has above its noise, at most
        `MOST_DIMENSIONS`.
    classes : int
        Classes of spectra with shapes of their own, at most.
    seed : int
    """
    subspace = fit_subspace(scene.lr_hsi, scene.sigma_hsi, dimension(scene, d))
    return learn_prior(
        joined([_sample(scene, part, subspace) for part in pool]),
        subspace.basis,
        scene.spectral_response,
        scene.sigma_hsi,
        scene.spatial_response.noise_gain(*scene.hr_shape) * scene.sigma_msi**2,
        classes,
        np.random.Generator(np.random.Philox(key=philox_key(seed, "graph_subspace/classes"))),
    )


def _sample(scene: ObservedScene, part: Observation, subspace: Subspace) -> Sample:
    """What a part tells; LR pixels that see beyond it do not tell how far both images agree."""
    own = scene.window_of(part)
    return sample_of(part, subspace, seeing_only(scene, own).relative_to(scene.lr_window(own)))


def dimension(scene: ObservedScene, d: int | None) -> int:
    """The subspace dimension asked for, or the LR-HSI's directions above its noise."""
    height, width = scene.lr_shape
    if d is not None:
        return resolve_dimension(d, scene)
    return min(MOST_DIMENSIONS, signal_dimension(scene.lr_hsi, scene.sigma_hsi), height * width)
