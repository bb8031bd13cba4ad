"""The input of a fusion method: two images, their responses and their noise levels; never a reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.gaps import Gaps
from pipeline.core.sensing.spatial import SpatialOperator, SpatialResponse
from pipeline.core.window import Window
from pipeline.errors import InputError


class Progress(Protocol):
    """Callback of long computations."""

    def __call__(self, phase: str, done: int, total: int, loss: float | None = None, /) -> None:
        """Report finished steps.

        Parameters
        ----------
        phase : str
            Name of the phase.
        done, total : int
            Number of finished steps, and of all steps of the phase.
        loss : float, optional
            Current loss of a training or sampling.
        """


BLOCK = 512
"""Side in HR pixels of the windows in which whole scenes are read."""


def no_progress(phase: str, done: int, total: int, loss: float | None = None) -> None:
    """Report nothing: the `Progress` of computations that nobody watches."""


class Image(Protocol):
    """Image with a shape, whose slices NumPy can read: an array, or a Zarr array on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes (band, y, x)."""

    def __getitem__(self, key: Any) -> Any:
        """Read the values of a window, given by three slices."""


@dataclass(frozen=True)
class ObservedScene:
    """An LR-HSI and an HR-MSI of the same place, with the responses and noise levels of their sensors.

    The scene may have any size; `crop` reads its images in windows.

    Attributes
    ----------
    lr_hsi : (C, h, w) float32
        Values divided by `scale`; no-data is NaN.
    hr_msi : (c, H, W) float32
        Values divided by the same number; no-data is NaN.
    spectral_response : (c, C) float64
        R: each row takes a spectrum to one MSI band.
    spatial_response : SpatialResponse
        H: from the HR grid to the LR grid.
    sigma_hsi : (C,) float64
        Standard deviation of the LR-HSI's noise, per band.
    sigma_msi : (c,) float64
        Standard deviation of the HR-MSI's noise, per band.
    origin : (int, int)
        Absolute row and column of the upper left HR pixel; random draws depend on it.
    gaps : Gaps, optional
        Missing values and their estimates, for a scene that has some (`pipeline.core.subspace.completion`).
        In the images, bands that a pixel lacks are filled then, and only pixels without any measured value
        are NaN.
    """

    lr_hsi: Image
    hr_msi: Image
    spectral_response: NDArray[np.float64]
    spatial_response: SpatialResponse
    sigma_hsi: NDArray[np.float64]
    sigma_msi: NDArray[np.float64]
    origin: tuple[int, int] = (0, 0)
    gaps: Gaps | None = None

    def __post_init__(self) -> None:
        check_shapes(self.lr_hsi, self.hr_msi, self.spectral_response, self.spatial_response)
        for name, image in (("sigma_hsi", self.lr_hsi), ("sigma_msi", self.hr_msi)):
            sigma = getattr(self, name)
            if sigma.shape != image.shape[:1] or not (np.isfinite(sigma) & (sigma > 0)).all():
                raise InputError(f"{name}: expected {image.shape[0]} positive numbers, one per band")

    @property
    def bands(self) -> int:
        """C, the number of HSI bands."""
        return self.lr_hsi.shape[0]

    @property
    def hr_shape(self) -> tuple[int, int]:
        """Height and width of the HR grid."""
        return self.hr_msi.shape[1], self.hr_msi.shape[2]

    @property
    def lr_shape(self) -> tuple[int, int]:
        """Height and width of the LR grid."""
        return self.lr_hsi.shape[1], self.lr_hsi.shape[2]

    @property
    def filled(self) -> tuple[Image, Image]:
        """LR-HSI and HR-MSI, their missing values estimated where there are estimates."""
        if self.gaps is None:
            return self.lr_hsi, self.hr_msi
        return self.gaps.filled_hsi, self.gaps.filled_msi

    @property
    def whole(self) -> Window:
        """Window of the whole image."""
        return Window(0, self.hr_shape[0], 0, self.hr_shape[1])

    def blocks(self) -> Iterator[Window]:
        """Return windows of about `BLOCK` HR pixels, aligned with LR pixels, that cover the image row by row.

        They depend on the image's size and ratio alone, so that sums over them are reproducible.
        """
        step = self.spatial_response.ratio.numerator
        side = max(1, BLOCK // step) * step
        return self.whole.split(side)

    def padded_window(self, window: Window, halo_lr: int) -> Window:
        """Grow a window by a halo and outwards to whole LR pixels, within the image.

        Parameters
        ----------
        window : Window
            HR pixels.
        halo_lr : int
            Halo in LR pixels.
        """
        self._check_inside(window)
        ratio = self.spatial_response.ratio
        return window.grown(ceil(halo_lr * ratio), self.whole).aligned(ratio.numerator, self.whole)

    def lr_window(self, window: Window) -> Window:
        """Return the LR pixels that a window of whole LR pixels covers."""
        ratio = self.spatial_response.ratio
        if any(bound % ratio.numerator for bound in (window.y0, window.y1, window.x0, window.x1)):
            raise InputError(f"{window} is not aligned with LR pixels at ratio {ratio}")
        return window.coarsened(ratio)

    def window_of(self, part: Observation) -> Window:
        """Return the window of a part of the scene."""
        y, x = (own - of_scene for own, of_scene in zip(part.origin, self.origin, strict=True))
        height, width = part.hr_shape
        return Window(y, y + height, x, x + width)

    def crop(self, window: Window) -> Observation:
        """Read the observation of a window that is aligned with whole LR pixels."""
        self._check_inside(window)
        lr = self.lr_window(window)
        gaps = None if self.gaps is None else self.gaps.crop(lr, window)
        lr_hsi, hr_msi = (
            (self.lr_hsi[:, *lr.slices], self.hr_msi[:, *window.slices]) if gaps is None else gaps.measured()
        )
        return Observation(
            np.asarray(lr_hsi, np.float32),
            np.asarray(hr_msi, np.float32),
            self.spectral_response,
            self.spatial_response.in_window(window, self.hr_shape),
            self.sigma_hsi,
            self.sigma_msi,
            (self.origin[0] + window.y0, self.origin[1] + window.x0),
            gaps,
        )

    def _check_inside(self, window: Window) -> None:
        height, width = self.hr_shape
        if not (0 <= window.y0 < window.y1 <= height and 0 <= window.x0 < window.x1 <= width):
            raise InputError(f"{window} does not lie inside the image of {height}x{width} pixels")


@dataclass(frozen=True)
class Observation(ObservedScene):
    """A scene, or a window of a scene, with its images in memory.

    Attributes
    ----------
    lr_hsi : (C, h, w) float32
        The LR-HSI; no-data is NaN.
    hr_msi : (c, H, W) float32
        The HR-MSI; no-data is NaN.
    """

    lr_hsi: NDArray[np.float32]
    hr_msi: NDArray[np.float32]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, image in (("lr_hsi", self.lr_hsi), ("hr_msi", self.hr_msi)):
            if np.isinf(image).any():
                raise InputError(f"{name}: holds infinite values; mark no-data as NaN")

    @cached_property
    def operator(self) -> SpatialOperator:
        """H as an operator for this image's size."""
        return self.spatial_response.operator(*self.hr_shape)


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
    """Refuse images and responses that do not fit together, or bands without valid pixels.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        The LR-HSI.
    hr_msi : (c, H, W)
        The HR-MSI.
    spectral_response : (c, C)
        R.
    spatial_response : SpatialResponse
        H.

    Raises
    ------
    InputError
        One line that names the argument, what it is and what was expected.
    """
    for name, image in (("lr_hsi", lr_hsi), ("hr_msi", hr_msi)):
        check_rank(name, image)
        if np.isinf(image).any():
            raise InputError(f"{name}: holds infinite values; mark no-data as NaN")
        check_valued(name, ~np.isnan(image).all(axis=(1, 2)))
    check_shapes(lr_hsi, hr_msi, spectral_response, spatial_response)


def check_valued(name: str, valued: NDArray[np.bool_]) -> None:
    """Refuse an image with bands that hold no valid value.

    Parameters
    ----------
    name : str
        Name of the image in the error.
    valued : (bands,) bool
        Whether each band holds a valid value.
    """
    empty = np.flatnonzero(~valued)
    if empty.size:
        shown = ", ".join(map(str, empty[:5])) + (", ..." if empty.size > 5 else "")
        raise InputError(
            f"{name}: {empty.size} of {valued.size} bands hold no valid value (counted from 0: {shown}); "
            "leave bands without data out"
        )


def check_shapes(
    lr_hsi: Image, hr_msi: Image, spectral_response: NDArray[Any], spatial_response: SpatialResponse
) -> None:
    """Refuse images and responses whose sizes do not fit together.

    Parameters
    ----------
    lr_hsi : (C, h, w)
        The LR-HSI.
    hr_msi : (c, H, W)
        The HR-MSI.
    spectral_response : (c, C)
        R.
    spatial_response : SpatialResponse
        H.
    """
    check_rank("lr_hsi", lr_hsi)
    check_rank("hr_msi", hr_msi)
    if spectral_response.ndim == 2:
        check_axes("lr_hsi", lr_hsi, spectral_response.shape[1])
        check_axes("hr_msi", hr_msi, spectral_response.shape[0])
    check_spectral_response(spectral_response, hr_msi.shape[0], lr_hsi.shape[0])
    expected = tuple(spatial_response.lr_size(n) for n in hr_msi.shape[1:])
    if tuple(lr_hsi.shape[1:]) != expected:
        raise InputError(
            f"lr_hsi: {lr_hsi.shape[1]}x{lr_hsi.shape[2]} pixels do not match hr_msi's "
            f"{hr_msi.shape[1]}x{hr_msi.shape[2]} at ratio {spatial_response.ratio}, "
            f"which needs {expected[0]}x{expected[1]}"
        )


def check_rank(name: str, image: Image) -> None:
    """Refuse an image without the three axes of a cube."""
    if len(image.shape) != 3:
        raise InputError(f"{name}: expected three axes (band, y, x), got shape {tuple(image.shape)}")


def check_axes(name: str, image: Image, bands: int) -> None:
    """Refuse a cube with its bands on the last axis.

    Parameters
    ----------
    name : str
        Name of the argument in the error.
    image : Image
        The cube.
    bands : int
        Number of bands.
    """
    if image.shape[0] != bands == image.shape[2]:
        raise InputError(
            f"{name}: shape {image.shape} has its {bands} bands on the last axis, expected (band, y, x); "
            f"use numpy.moveaxis({name}, 2, 0)"
        )


def check_spectral_response(response: NDArray[Any], msi_bands: int, hsi_bands: int) -> None:
    """Refuse a spectral response of the wrong shape, with a non-finite value or an all-zero row.

    Parameters
    ----------
    response : array
        R.
    msi_bands, hsi_bands : int
        c and C.
    """
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
