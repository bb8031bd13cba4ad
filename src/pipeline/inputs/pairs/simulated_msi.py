"""The image that an MSI would take of a hyperspectral scene, computed as its windows are read.

R is applied to each pixel; nothing is blurred, and no noise is added.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.config.responses import SpectralConfig
from pipeline.core.scene import OpenScene
from pipeline.core.window import Window
from pipeline.inputs.responses import read_response


class BandsScene(OpenScene):
    """Bands that an MSI has of a scene.

    Parameters
    ----------
    scene : OpenScene
        A hyperspectral scene, with wavelengths unless R is a matrix.
    spectral : SpectralConfig
        R.

    Attributes
    ----------
    name, assumed
        Name and assumptions of the scene.
    shape : (int, int, int)
        Bands of the MSI, height and width of the scene.
    metadata : Metadata
        Place, scale and units of the scene.
    """

    def __init__(self, scene: OpenScene, spectral: SpectralConfig) -> None:
        self._scene = scene
        self.name, self.assumed = scene.name, scene.assumed
        self._response = read_response(spectral, scene.metadata.wavelength, scene.metadata.fwhm)
        self.shape = (len(self._response), *scene.shape[1:])
        self.metadata = replace(scene.metadata, wavelength=None, fwhm=None, detector=None)

    def read(self, window: Window) -> NDArray[np.float32]:
        """Return values of a window; NaN where any of the bands that R uses is."""
        cube = self._scene.read(window)
        return np.stack([np.tensordot(row[used], cube[used], 1) for row, used in self._rows()]).astype(
            np.float32
        )

    def _rows(self) -> list[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
        return [(row, row != 0) for row in self._response]
