"""Spectral subspace of a scene and the prior on differences in it, learned from the pair itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.core.sensing.noise import philox_key
from pipeline.core.sensing.observation import Observation, ObservedScene
from pipeline.core.solvers.graph_prior import (
    Comparison,
    GraphPrior,
    Sample,
    joined,
    learn_prior,
    sample_of,
)
from pipeline.core.subspace.basis import (
    Subspace,
    fit_subspace,
    resolve_dimension,
    signal_dimension,
)
from pipeline.methods.pool import lr_inside

MOST_DIMENSIONS = 30  # the cost grows with the square of the dimension


def prior_of(
    scene: ObservedScene, pool: Sequence[Observation], d: int | None, classes: int, seed: int
) -> GraphPrior:
    """Learn the prior of a scene.

    Parameters
    ----------
    scene : ObservedScene
        The scene, whose LR-HSI determines the subspace.
    pool : sequence of Observation
        Parts of the scene from whose LR pixels the prior is learned.
    d : int or None
        Subspace dimension; by default the number of directions of the LR-HSI above its noise, at most
        `MOST_DIMENSIONS`.
    classes : int
        Largest number of classes of spectra.
    seed : int
        Seed of the classes.
    """
    subspace = fit_subspace(scene.lr_hsi, scene.sigma_hsi, dimension(scene, d))
    return learn_prior(
        joined([_sample(scene, part, subspace) for part in pool]),
        subspace.basis,
        Comparison(
            scene.spectral_response,
            scene.sigma_hsi,
            scene.spatial_response.noise_gain(*scene.hr_shape) * scene.sigma_msi**2,
        ),
        classes,
        np.random.Generator(np.random.Philox(key=philox_key(seed, "graph_subspace/classes"))),
    )


def _sample(scene: ObservedScene, part: Observation, subspace: Subspace) -> Sample:
    """Return the LR pixels of a part; pixels that depend on others beyond it are not compared with Y."""
    own = scene.window_of(part)
    return sample_of(part, subspace, lr_inside(scene, own).relative_to(scene.lr_window(own)))


def dimension(scene: ObservedScene, d: int | None) -> int:
    """Return the subspace dimension of a scene.

    Parameters
    ----------
    scene : ObservedScene
        The scene.
    d : int or None
        Dimension asked for; by default the LR-HSI's directions above its noise.
    """
    height, width = scene.lr_shape
    if d is not None:
        return resolve_dimension(d, scene)
    return min(MOST_DIMENSIONS, signal_dimension(scene.lr_hsi, scene.sigma_hsi), height * width)
