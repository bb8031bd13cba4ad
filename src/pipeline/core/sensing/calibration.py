"""An image in the units of another image, band by band: ``(value - offset) / gain``.

Values are converted when their windows are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.observation import Image


@dataclass(frozen=True)
class CalibratedImage:
    """An image whose windows are converted to other units as they are read.

    Attributes
    ----------
    image : Image
        Image (c, H, W) in its own units.
    gain, offset : (c,) float64
        Values in `image` that correspond to a difference of 1, and to 0, in the converted units.
    """

    image: Image
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes (band, y, x)."""
        return self.image.shape

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        bands, *place = key
        values = np.asarray(self.image[:, *place], np.float64)
        converted = (values - self.offset[:, None, None]) / self.gain[:, None, None]
        return converted[bands].astype(np.float32)
