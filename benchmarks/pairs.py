"""Synthetic pairs for the benchmarks, and the settings of their methods."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import SyntheticSource
from pipeline.core.sensing.observation import Observation
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.core.window import Window
from pipeline.inputs.synthetic.scene import SyntheticScene
from pipeline.methods import settings_of
from pipeline.methods.settings import MethodSettings

CENTRES, WIDTHS = np.array([480.0, 551, 665, 805]), np.array([71.0, 89, 66, 95])  # nm, as of IKONOS
RANGES = {103: (430.0, 860.0), 128: (363.0, 1018.0)}
"""Wavelengths in nm of Pavia University's and Chikusei's bands."""


@cache
def pair(height: int, width: int, bands: int) -> tuple[NDArray[np.float32], Observation]:
    """Return a reference ``(C, H, W)`` and its observation: ratio 4, four MSI bands, 35 dB.

    Parameters
    ----------
    height, width : int
        Size in HR pixels.
    bands : int
        Number of HSI bands.
    """
    low, high = RANGES.get(bands, RANGES[103])
    source = SyntheticSource(
        kind="synthetic", height=height, width=width, bands=bands, wavelength_range=(low, high)
    )
    reference = SyntheticScene(source).read(Window(0, height, 0, width))
    response = gaussian_response(CENTRES, WIDTHS, np.linspace(low, high, bands))
    blur = SpatialResponse.bicubic(ratio=4)
    return reference, simulate(reference, spectral_response=response, spatial_response=blur, snr_db=35)


def mirrored(observation: Observation) -> Observation:
    """Return an observation of four times the pixels: its images and their mirror images."""

    def four(image: NDArray[Any]) -> NDArray[Any]:
        two = np.concatenate([image, image[:, ::-1]], axis=1)
        return np.concatenate([two, two[:, :, ::-1]], axis=2)

    return replace(observation, lr_hsi=four(observation.lr_hsi), hr_msi=four(observation.hr_msi))


def settings(method: str, **fields: Any) -> MethodSettings:
    """Return the settings of a method, without the fields that it, or an earlier version of it, lacks.

    Parameters
    ----------
    method : str
        Name of the method.
    **fields
        Settings.
    """
    model = settings_of(method)
    return model(method=method, **{key: value for key, value in fields.items() if key in model.model_fields})
