"""What a fusion method may see: the two images, their responses and their noise levels.

The reference is not here and nothing here depends on it. No file is read in this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.spatial import SpatialOperator, SpatialResponse
from pipeline.errors import InputError

Progress = Callable[[str, int, int, float], None]
"""Called as ``progress(phase, done, total, loss)`` by long computations."""


def no_progress(phase: str, done: int, total: int, loss: float) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Window:
    """A rectangle of HR pixels: rows ``y0:y1``, columns ``x0:x1``."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def relative_to(self, other: Window) -> Window:
        """The window in the coordinates of `other`'s upper left corner."""
        return Window(self.y0 - other.y0, self.y1 - other.y0, self.x0 - other.x0, self.x1 - other.x0)


@dataclass(frozen=True)
class Observation:
    """An LR-HSI and an HR-MSI of the same place, with what is known about their sensors.

    Attributes
    ----------
    lr_hsi : (C, h, w) float32
        Values divided by `scale`; no-data is NaN.
    hr_msi : (c, H, W) float32
    spectral_response : (c, C) float64
        R: each row takes a spectrum to one MSI band.
    spatial_response : SpatialResponse
        H: from the HR grid to the LR grid.
    sigma_hsi : (C,) float64
        Standard deviation of the LR-HSI's noise, per band.
    sigma_msi : (c,) float64
        Standard deviation of the HR-MSI's noise, per band.
    origin : (int, int)
        Absolute row and column of the upper left HR pixel, to which random draws refer.
    """

    lr_hsi: NDArray[np.float32]
    hr_msi: NDArray[np.float32]
    spectral_response: NDArray[np.float64]
    spatial_response: SpatialResponse
    sigma_hsi: NDArray[np.float64]
    sigma_msi: NDArray[np.float64]
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        check_pair(self.lr_hsi, self.hr_msi, self.spectral_response, self.spatial_response)
        for name, image in (("sigma_hsi", self.lr_hsi), ("sigma_msi", self.hr_msi)):
            sigma = getattr(self, name)
            if sigma.shape != (len(image),) or not (np.isfinite(sigma) & (sigma > 0)).all():
                raise InputError(f"{name}: expected {len(image)} positive numbers, one per band")

    @property
    def bands(self) -> int:
        """C, the number of HSI bands."""
        return len(self.lr_hsi)

    @property
    def hr_shape(self) -> tuple[int, int]:
        """Height and width of the HR grid."""
        return self.hr_msi.shape[1], self.hr_msi.shape[2]

    @property
    def lr_shape(self) -> tuple[int, int]:
        """Height and width of the LR grid."""
        return self.lr_hsi.shape[1], self.lr_hsi.shape[2]

    @cached_property
    def operator(self) -> SpatialOperator:
        """H for this image's size."""
        return self.spatial_response.operator(*self.hr_shape)

    @property
    def whole(self) -> Window:
        """The window that covers the image."""
        return Window(0, self.hr_shape[0], 0, self.hr_shape[1])

    def padded_window(self, window: Window, halo_lr: int) -> Window:
        """`window` grown by `halo_lr` LR pixels and outwards to whole LR pixels, inside the image."""
        step = self.spatial_response.ratio.numerator
        halo = ceil(halo_lr * self.spatial_response.ratio)

        self._check_inside(window)

        def grow(low: int, high: int, size: int) -> tuple[int, int]:
            return max(0, (low - halo) // step * step), min(size, -((-high - halo) // step) * step)

        return Window(
            *grow(window.y0, window.y1, self.hr_shape[0]), *grow(window.x0, window.x1, self.hr_shape[1])
        )

    def crop(self, window: Window) -> Observation:
        """The observation of a window that is aligned with whole LR pixels."""
        self._check_inside(window)
        ratio = self.spatial_response.ratio
        lr = [bound / ratio for bound in (window.y0, window.y1, window.x0, window.x1)]
        if any(bound.denominator != 1 for bound in lr):
            raise InputError(f"{window} is not aligned with LR pixels at ratio {ratio}")
        lr_window = Window(*map(int, lr))
        return replace(
            self,
            lr_hsi=self.lr_hsi[:, *lr_window.slices],
            hr_msi=self.hr_msi[:, *window.slices],
            origin=(self.origin[0] + window.y0, self.origin[1] + window.x0),
        )

    def _check_inside(self, window: Window) -> None:
        height, width = self.hr_shape
        if not (0 <= window.y0 < window.y1 <= height and 0 <= window.x0 < window.x1 <= width):
            raise InputError(f"{window} does not lie inside the image of {height}x{width} pixels")


def numeric_array(name: str, values: Any) -> NDArray[Any]:
    """An argument as an array of real numbers."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of unequal length
        raise InputError(f"{name}: expected an array of numbers, got rows of unequal length") from None
    if array.dtype.kind not in "buif":
        raise InputError(f"{name}: expected numbers, got an array of type {array.dtype}")
    return array


def check_response_type(response: Any) -> None:
    """Refuse a spatial response that is not a `SpatialResponse`."""
    if not isinstance(response, SpatialResponse):
        raise InputError(
            f"spatial_response: expected a SpatialResponse, got {type(response).__name__}; "
            "make one with SpatialResponse.bicubic, gaussian, box or from_psf"
        )


def check_pair(
    lr_hsi: NDArray[Any],
    hr_msi: NDArray[Any],
    spectral_response: NDArray[Any],
    spatial_response: SpatialResponse,
) -> None:
    """Refuse images and responses that do not fit together.

    Raises
    ------
    InputError
        One line naming the argument, what it is and what it should be.
    """
    for name, image in (("lr_hsi", lr_hsi), ("hr_msi", hr_msi)):
        if image.ndim != 3:
            raise InputError(f"{name}: expected three axes (band, y, x), got shape {image.shape}")
        if np.isinf(image).any():
            raise InputError(f"{name}: holds infinite values; mark no-data as NaN")
        if np.isnan(image).any(axis=0).all():
            raise InputError(f"{name}: no pixel is valid in all bands; leave bands without data out")
    if spectral_response.ndim == 2:
        check_axes("lr_hsi", lr_hsi, spectral_response.shape[1])
        check_axes("hr_msi", hr_msi, spectral_response.shape[0])
    check_spectral_response(spectral_response, hr_msi.shape[0], lr_hsi.shape[0])
    expected = tuple(spatial_response.lr_size(n) for n in hr_msi.shape[1:])
    if lr_hsi.shape[1:] != expected:
        raise InputError(
            f"lr_hsi: {lr_hsi.shape[1]}x{lr_hsi.shape[2]} pixels do not match hr_msi's "
            f"{hr_msi.shape[1]}x{hr_msi.shape[2]} at ratio {spatial_response.ratio}, "
            f"which needs {expected[0]}x{expected[1]}"
        )


def check_axes(name: str, image: NDArray[Any], bands: int) -> None:
    """Refuse a cube whose bands are not where they belong but on its last axis."""
    if image.shape[0] != bands == image.shape[2]:
        raise InputError(
            f"{name}: shape {image.shape} has its {bands} bands on the last axis, expected (band, y, x); "
            f"use numpy.moveaxis({name}, 2, 0)"
        )


def check_spectral_response(response: NDArray[Any], msi_bands: int, hsi_bands: int) -> None:
    """Refuse a spectral response of the wrong shape, with a non-finite value or an all-zero row."""
    if response.shape != (msi_bands, hsi_bands):
        raise InputError(
            f"spectral_response: expected shape ({msi_bands}, {hsi_bands}) = (MSI bands, HSI bands), "
            f"got {response.shape}"
        )
    if not np.isfinite(response).all():
        raise InputError("spectral_response: holds NaN or infinite values")
    empty = np.flatnonzero(~(response != 0).any(axis=1))
    if empty.size:
        raise InputError(
            f"spectral_response: row {empty[0]} is all zero; MSI band {empty[0]} sees none of the HSI "
            "bands, leave it out"
        )
