"""How far a cube is from the truth, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def psnr(truth: NDArray[Any], cube: NDArray[Any]) -> float:
    """Mean over bands in dB, of the pixels that are finite in both."""
    known = np.isfinite(truth).all(axis=0) & np.isfinite(cube).all(axis=0)
    error = np.square(truth[:, known].astype(np.float64) - cube[:, known]).mean(axis=1)
    return float(np.mean(10 * np.log10(truth[:, known].max(axis=1) ** 2 / error)))
