"""The weight of each observed value, 1 where it was measured and 0 where it is missing; and its estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.core.sensing.observation import Image
    from pipeline.core.window import Window


@dataclass(frozen=True)
class Gaps:
    """Missing values of the two images of a scene.

    Attributes
    ----------
    known_hsi : (C, h, w) bool
        Values of the LR-HSI that were measured.
    known_msi : (c, H, W) bool
        Values of the HR-MSI that were measured.
    filled_hsi : (C, h, w) float32
        The LR-HSI, its missing values estimated; NaN in pixels of which neither image says anything.
    filled_msi : (c, H, W) float32
        The HR-MSI, likewise.
    """

    known_hsi: Image
    known_msi: Image
    filled_hsi: Image
    filled_msi: Image

    def crop(self, lr: Window, hr: Window) -> Gaps:
        """Read a window into memory.

        Parameters
        ----------
        lr, hr : Window
            The window in pixels of the LR-HSI, and in pixels of the HR-MSI.
        """
        return Gaps(
            np.asarray(self.known_hsi[:, *lr.slices], np.bool_),
            np.asarray(self.known_msi[:, *hr.slices], np.bool_),
            np.asarray(self.filled_hsi[:, *lr.slices], np.float32),
            np.asarray(self.filled_msi[:, *hr.slices], np.float32),
        )

    def measured(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return both images in memory, NaN in pixels without any measured value."""
        hsi, msi = (
            np.where(np.asarray(known).any(axis=0), np.asarray(filled), np.float32("nan"))
            for filled, known in ((self.filled_hsi, self.known_hsi), (self.filled_msi, self.known_msi))
        )
        return hsi, msi


@dataclass(frozen=True)
class Known:
    """The mask of the measured values of an image, computed when its windows are read.

    Attributes
    ----------
    image : Image
        The image; no-data is NaN.
    """

    image: Image

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes (band, y, x)."""
        return self.image.shape

    def __getitem__(self, key: Any) -> NDArray[np.bool_]:
        return ~np.isnan(np.asarray(self.image[key]))


@dataclass(frozen=True)
class MeasuredPixels:
    """An image whose gaps in single bands are filled; pixels without any measured value are NaN.

    Attributes
    ----------
    filled : Image
        The image, its missing values estimated.
    known : Image
        Mask of the measured values.
    """

    filled: Image
    known: Image

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes (band, y, x)."""
        return self.filled.shape

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        bands, *place = key
        known = np.asarray(self.known[:, *place]).any(axis=0)
        values = np.asarray(self.filled[:, *place], np.float32)
        return np.where(known, values, np.float32("nan"))[bands]
