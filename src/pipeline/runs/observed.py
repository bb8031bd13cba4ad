"""What a method sees: the observed images with what `estimate` settled on responses and noise.

Shared by `train` and `fuse`; the reference is in neither store.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.core.scene import Metadata, coarsened
from pipeline.core.sensing.calibration import CalibratedImage
from pipeline.core.sensing.observation import ObservedScene
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.errors import InputError
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


def shape_level_down(scene: ObservedScene) -> tuple[int, int]:
    """Height and width of the LR-HSI, cut to whole pixels of the next level."""
    step = scene.spatial_response.ratio.numerator
    rows, columns = (side // step * step for side in scene.lr_shape)
    if not rows or not columns:
        raise InputError(
            f"wald: the LR-HSI of {scene.lr_shape[0]}x{scene.lr_shape[1]} pixels is too small for another "
            f"level of ratio {scene.spatial_response.ratio}; at least {step}x{step} are needed"
        )
    return rows, columns


def metadata_level_down(like: Metadata, scene: ObservedScene) -> Metadata:
    """The bands and place of the LR grid."""
    place = like.transform and coarsened(like.transform, float(scene.spatial_response.ratio))
    return replace(like, transform=place)
