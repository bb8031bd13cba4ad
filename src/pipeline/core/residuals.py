"""Does a fused cube explain the observation? Residuals of both images over their noise levels.

Needs no reference. A value of 1 means that the images are met exactly to their noise; far below 1
they are overfitted, far above 1 the cube contradicts them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.observation import Observation
from pipeline.errors import InputError

STRIP_VALUES = 2**23  # values held at a time: 64 MiB of float64


def residuals(cube: Any, observation: Observation) -> dict[str, float | None]:
    """RMS of ``X - H(Z)`` and ``Y - R Z``, each divided by the RMS noise level of its image.

    Values that are NaN in the image or in the predicted image do not count; a cube's NaN reaches
    no further than the responses do. None where nothing is left.

    Parameters
    ----------
    cube : (C, H, W)
        Z: a NumPy array, or anything with a shape whose slices NumPy can read.
    observation : Observation

    Returns
    -------
    dict
        residual_hsi, residual_msi
    """
    expected = (observation.bands, *observation.hr_shape)
    if tuple(cube.shape) != expected:
        raise InputError(f"cube: shape {tuple(cube.shape)} does not match the observation's {expected}")
    hsi, msi = _Residual(observation.sigma_hsi), _Residual(observation.sigma_msi)
    _, height, width = expected
    at_once = max(1, STRIP_VALUES // (height * width))
    for band in range(0, observation.bands, at_once):
        bands = slice(band, band + at_once)
        part = np.asarray(cube[bands, :, :], dtype=np.float64)
        hsi.add(observation.lr_hsi[bands] - observation.operator.forward_with_nodata(part), bands)
    at_once = max(1, STRIP_VALUES // (observation.bands * width))
    for top in range(0, height, at_once):
        part = np.asarray(cube[:, top : top + at_once, :], dtype=np.float64)
        for band, response in enumerate(observation.spectral_response):
            seen = response != 0
            predicted = np.tensordot(response[seen], part[seen], axes=1)
            image = observation.hr_msi[band, top : top + at_once]
            msi.add((image - predicted)[None], slice(band, band + 1))
    return {"residual_hsi": hsi.relative, "residual_msi": msi.relative}


class _Residual:
    """Power of a residual and of the noise, over the same values."""

    def __init__(self, sigma: NDArray[np.float64]) -> None:
        self.variance = np.square(sigma)
        self.power = self.noise = 0.0

    def add(self, residual: NDArray[Any], bands: slice) -> None:
        """`residual` is ``(bands, y, x)``."""
        count = np.count_nonzero(~np.isnan(residual), axis=(1, 2))
        self.power += float(np.nansum(np.square(residual)))
        self.noise += float(np.sum((count * self.variance[bands])[count > 0]))

    @property
    def relative(self) -> float | None:
        return float(np.sqrt(self.power / self.noise)) if self.noise > 0 else None
