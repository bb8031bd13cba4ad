"""What a method sees: the observed images with what `estimate` settled on responses and noise.

Shared by `train` and `fuse`; the reference is in neither store.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.sensing.calibration import CalibratedImage
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.store.schema import observed_scene, variable_of
from pipeline.store.store import read_store


def read_scene(observation: Path, estimate: Path) -> ObservedScene:
    """What a method sees: the images of one store, left where they are, with what the other tells.

    An HR-MSI whose gain was estimated is converted to the LR-HSI's units as it is read.
    """
    told = read_store(estimate)
    response, sigma_hsi, sigma_msi = (
        np.asarray(variable_of(told, name)) for name in ("spectral_response", "sigma_hsi", "sigma_msi")
    )
    scene = observed_scene(read_store(observation))
    if "gain" in told:
        scene = replace(
            scene,
            hr_msi=CalibratedImage(scene.hr_msi, np.asarray(told["gain"]), np.asarray(told["offset"])),
        )
    return replace(
        scene,
        spectral_response=response,
        spatial_response=SpatialResponse.from_dict(told.attrs["spatial_response"]),
        sigma_hsi=sigma_hsi,
        sigma_msi=sigma_msi,
    )
