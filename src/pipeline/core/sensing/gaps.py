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
class MissingShares:
    """How much of the two images of a scene is missing, as fractions.

    Attributes
    ----------
    hsi_values, msi_values : float
        Fraction of the values of the LR-HSI, and of the HR-MSI.
    lr_pixels, hr_pixels : float
        Fraction of the pixels of either image that have no value in any band.
    neither : float
        Fraction of the HR pixels of which neither image has a value.
    """

    hsi_values: float
    msi_values: float
    lr_pixels: float
    hr_pixels: float
    neither: float

    def sentence(self) -> str:
        """Say how much is missing and what becomes of it.

        >>> MissingShares(0.1, 0.0, 0.0, 0.0, 0.0).sentence()[:54]
        'missing: 10 % of the values of the LR-HSI. They carry '
        """
        parts = [
            f"{100 * values:.2g} % of the values of the {name}"
            + (f" ({100 * pixels:.2g} % of its pixels in all bands)" if pixels else "")
            for name, values, pixels in (
                ("LR-HSI", self.hsi_values, self.lr_pixels),
                ("HR-MSI", self.msi_values, self.hr_pixels),
            )
            if values
        ]
        left = (
            f"the {100 * self.neither:.2g} % of the pixels that neither image shows are no-data"
            if self.neither
            else "no pixel of the product is no-data"
        )
        return (
            f"missing: {' and '.join(parts)}. They carry no weight: a pixel follows from its other bands and "
            f"from the other image, and {left}"
        )


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
    missing : MissingShares, optional
        How much of the scene is missing.
    """

    known_hsi: Image
    known_msi: Image
    filled_hsi: Image
    filled_msi: Image
    missing: MissingShares | None = None

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
            self.missing,
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
