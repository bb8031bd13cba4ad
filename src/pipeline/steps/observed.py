"""What a method sees: the observed images with what `estimate` settled on response and noise.

Shared by `train` and `fuse`; the reference is in neither store.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.observation import ObservedScene
from pipeline.data.schema import observed_scene, variable_of
from pipeline.data.store import read_store


def read_scene(observation: Path, estimate: Path) -> ObservedScene:
    """What a method sees: the images of one store, left where they are, with what the other tells."""
    told = read_store(estimate)
    response, sigma_hsi, sigma_msi = (
        np.asarray(variable_of(told, name)) for name in ("spectral_response", "sigma_hsi", "sigma_msi")
    )
    return replace(
        observed_scene(read_store(observation)),
        spectral_response=response,
        sigma_hsi=sigma_hsi,
        sigma_msi=sigma_msi,
    )
