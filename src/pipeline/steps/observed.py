"""What a method sees: the observed images with what `estimate` settled on response and noise.

Shared by `train` and `fuse`; the reference is in neither store.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.observation import Observation
from pipeline.data.schema import observation_from, variable_of
from pipeline.data.store import read_store


def read_observation(observation: Path, estimate: Path) -> Observation:
    """What a method sees: the images of one store with the response and noise of the other."""
    told = read_store(estimate)
    response, sigma_hsi, sigma_msi = (
        np.asarray(variable_of(told, name)) for name in ("spectral_response", "sigma_hsi", "sigma_msi")
    )
    return replace(
        observation_from(read_store(observation)),
        spectral_response=response,
        sigma_hsi=sigma_hsi,
        sigma_msi=sigma_msi,
    )
