"""An observation simulated from a reference: blur and decimation, spectral response, noise.

Follows the usual Wald protocol of HSI-MSI fusion. The reference may be on disk: it is read twice, in windows.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.arrays import real_array
from pipeline.core.sensing.noise import noise_floor, noise_sigma, power_of, standard_normal
from pipeline.core.sensing.observation import (
    Image,
    Observation,
    Progress,
    check_axes,
    check_rank,
    check_response_type,
    check_spectral_response,
    no_progress,
)
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError

Cube = np.ndarray[tuple[int, int, int], np.dtype[np.float64]]
IMAGES = ("lr_hsi", "hr_msi")  # also the purposes of their noise
CELL = 128  # HR pixels: side of the squares that are computed at once, in float64


class Sensors:
    """Two noiseless sensors and the reference that they measure.

    Parameters
    ----------
    reference : (C, H, W)
        HR-HSI; no-data is NaN and spreads no further than the responses reach.
    spectral_response : (c, C)
        R.
    spatial_response : SpatialResponse
        H; its ratio must divide H and W.
    """

    def __init__(
        self, reference: Image, spectral_response: NDArray[np.float64], spatial_response: SpatialResponse
    ) -> None:
        check_response_type(spatial_response)
        check_rank("reference", reference)
        if spectral_response.ndim == 2:
            check_axes("reference", reference, spectral_response.shape[1])
        check_spectral_response(spectral_response, len(np.atleast_1d(spectral_response)), reference.shape[0])
        self.reference = reference
        self.spectral_response, self.spatial_response = spectral_response, spatial_response
        self.hr_shape = reference.shape[1], reference.shape[2]
        self.lr_shape = spatial_response.lr_size(self.hr_shape[0]), spatial_response.lr_size(self.hr_shape[1])

    def lr_window(self, window: Window) -> Window:
        """Return the LR pixels that a window of whole LR pixels covers."""
        return window.coarsened(self.spatial_response.ratio)

    def images(self, window: Window) -> tuple[Cube, Cube]:
        """Return LR-HSI ``(C, h, w)`` and HR-MSI ``(c, height, width)`` of a window of whole LR pixels."""
        lr = self.lr_window(window)
        _, support = self.spatial_response.window_operator(self.hr_shape, lr)
        read = support.union(window)
        block = np.asarray(self.reference[:, *read.slices])
        if np.isinf(block).any():
            raise InputError("reference: holds infinite values; mark no-data as NaN")
        lr_hsi = np.empty((len(block), *lr.shape))
        for cell in lr.split(max(1, int(CELL / self.spatial_response.ratio))):
            operator, support = self.spatial_response.window_operator(self.hr_shape, cell)
            part = block[:, *support.relative_to(read).slices].astype(np.float64)
            lr_hsi[:, *cell.relative_to(lr).slices] = operator.forward_with_nodata(part)
        hr_msi = np.empty((len(self.spectral_response), *window.shape))
        for cell in window.split(CELL):
            part = block[:, *cell.relative_to(read).slices].astype(np.float64)
            hr_msi[:, *cell.relative_to(window).slices] = self._msi(part)
        return lr_hsi, hr_msi

    def _msi(self, cube: NDArray[np.float64]) -> NDArray[np.float64]:
        """Apply R to a cube; no-data of a band spreads to the rows with a response to that band."""
        missing = np.isnan(cube)
        if not missing.any():
            return np.tensordot(self.spectral_response, cube, axes=1)
        image = np.tensordot(self.spectral_response, np.where(missing, 0, cube), axes=1)
        responds = (self.spectral_response != 0).astype(np.float32)
        image[np.tensordot(responds, missing.astype(np.float32), axes=1) > 0] = np.nan
        return image


class Simulation:
    """The noisy images of a reference of any size, window by window.

    A first pass over the reference sums the power of the noiseless images, from which the noise levels
    follow.

    Parameters
    ----------
    sensors : Sensors
        Sensors and reference.
    windows : iterable of Window
        Windows of whole LR pixels that cover the reference; their order determines the order of the sums.
    snr_db : float
        ``10 log10(mean signal power / noise variance)`` of either image, above -20.
    per_band : bool
        Whether each band has the SNR `snr_db`; else the noise level is that of the image.
    seed : int
        Seed of the noise, which also depends on the position in the reference.
    progress : callable
        Receives the number of windows that were read.

    Attributes
    ----------
    sigma_hsi : (C,) float64
        Noise level of the LR-HSI; never zero, since methods divide by it.
    sigma_msi : (c,) float64
        Noise level of the HR-MSI.
    """

    def __init__(
        self,
        sensors: Sensors,
        windows: Iterable[Window],
        *,
        snr_db: float,
        per_band: bool,
        seed: int,
        progress: Progress = no_progress,
    ) -> None:
        if not snr_db > -20:
            raise InputError(f"snr_db: {snr_db} dB leaves nothing of the signal; use a value above -20")
        self.sensors, self.seed = sensors, seed
        windows = list(windows)
        powers = []
        for done, window in enumerate(windows, start=1):
            powers.append([power_of(image) for image in sensors.images(window)])
            progress("signal power", done, len(windows))
        totals = [reduce(add, of_image) for of_image in zip(*powers, strict=True)]
        for name, total in zip(IMAGES, totals, strict=True):
            if not total.counts.any():
                raise InputError(f"reference: holds no valid value from which the {name} could be simulated")
        self._added = [noise_sigma(total, snr_db, per_band) for total in totals]
        self.sigma_hsi, self.sigma_msi = (
            np.fmax(sigma, noise_floor(total)) for sigma, total in zip(self._added, totals, strict=True)
        )

    def observe(self, window: Window) -> Observation:
        """Return the observation of a window of whole LR pixels."""
        lr = self.sensors.lr_window(window)
        images = []
        for name, clean, sigma, place in zip(
            IMAGES, self.sensors.images(window), self._added, (lr, window), strict=True
        ):
            noise = standard_normal(self.seed, name, clean.shape, (place.y0, place.x0))
            images.append((clean + sigma[:, None, None] * noise).astype(np.float32))
        return Observation(
            images[0],
            images[1],
            self.sensors.spectral_response,
            self.sensors.spatial_response,
            self.sigma_hsi,
            self.sigma_msi,
            (window.y0, window.x0),
        )


def simulate(
    reference: NDArray[Any],
    *,
    spectral_response: NDArray[Any],
    spatial_response: SpatialResponse,
    snr_db: float = 35.0,
    per_band: bool = False,
    seed: int = 0,
) -> Observation:
    """Simulate the two noisy images that sensors take of a reference.

    Parameters
    ----------
    reference : (C, H, W)
        HR-HSI; no-data is NaN and spreads no further than the responses reach.
    spectral_response : (c, C)
        R.
    spatial_response : SpatialResponse
        H; its ratio must divide H and W.
    snr_db : float
        ``10 log10(mean signal power / noise variance)`` of either image, above -20.
    per_band : bool
        Whether each band has the SNR `snr_db`; else the noise level is that of the image.
    seed : int
        Seed of the noise, which also depends on the position in the reference.

    Returns
    -------
    Observation
        LR-HSI and HR-MSI, with the responses and the noise levels.
    """
    reference = real_array("reference", reference)
    response = real_array("spectral_response", spectral_response).astype(np.float64)
    sensors = Sensors(reference, response, spatial_response)
    whole = Window(0, reference.shape[1], 0, reference.shape[2])
    return Simulation(sensors, [whole], snr_db=snr_db, per_band=per_band, seed=seed).observe(whole)
