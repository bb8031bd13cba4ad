"""Gaussian noise as a function of the seed and the absolute position.

A value depends on (seed, purpose, channel, y, x) alone: drawn in aligned blocks by the
counter-based Philox generator (Salmon et al. 2011), a window's noise does not depend on how the
scene was cut, on the worker, or on the order of the jobs.

>>> whole = standard_normal(0, "lr_hsi", (3, 200, 200))
>>> part = standard_normal(0, "lr_hsi", (3, 50, 60), origin=(100, 130))
>>> bool((whole[:, 100:150, 130:190] == part).all())
True
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

BLOCK = 64
NOISE_FLOOR = 1e-6


def standard_normal(
    seed: int, purpose: str, shape: tuple[int, int, int], origin: tuple[int, int] = (0, 0)
) -> NDArray[np.float32]:
    """Independent N(0, 1) values for a window of an unbounded grid.

    Parameters
    ----------
    seed : int
    purpose : str
        Keeps the draws of different purposes independent.
    shape : (channels, height, width)
    origin : (y, x)
        Absolute position of the window's first pixel, not negative.

    Returns
    -------
    (channels, height, width) float32
    """
    channels, height, width = shape
    y0, x0 = origin
    out = np.empty(shape, np.float32)
    key = philox_key(seed, purpose)
    for by in range(y0 // BLOCK, -(-(y0 + height) // BLOCK)):
        for bx in range(x0 // BLOCK, -(-(x0 + width) // BLOCK)):
            top, left = by * BLOCK, bx * BLOCK
            rows = slice(max(top, y0), min(top + BLOCK, y0 + height))
            cols = slice(max(left, x0), min(left + BLOCK, x0 + width))
            source = (slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left))
            target = (slice(rows.start - y0, rows.stop - y0), slice(cols.start - x0, cols.stop - x0))
            for channel in range(channels):
                generator = np.random.Generator(np.random.Philox(counter=[0, channel, by, bx], key=key))
                out[channel, *target] = generator.standard_normal((BLOCK, BLOCK), np.float32)[source]
    return out


def philox_key(seed: int, purpose: str) -> int:
    """The 128-bit generator key of a seed and a purpose."""
    return int.from_bytes(blake2b(f"{seed}:{purpose}".encode(), digest_size=16).digest(), "little")


def derived_seed(seed: int, purpose: str) -> int:
    """A 63-bit seed for generators that take one number (PyTorch)."""
    return philox_key(seed, purpose) >> 65


def noise_floor(image: NDArray[np.floating]) -> float:
    """Smallest noise level that an image is credited with: 1e-6 of its root mean square."""
    power = float(np.nanmean(np.square(image, dtype=np.float64)))
    return max(NOISE_FLOOR * np.sqrt(power), np.finfo(np.float32).tiny)


def noise_sigma(clean: NDArray[np.floating], snr_db: float, per_band: bool) -> NDArray[np.float64]:
    """Noise level of each band at a signal-to-noise ratio of mean power over variance.

    Parameters
    ----------
    clean : (band, y, x)
        NaN pixels do not count; a band that is NaN throughout has the level NaN.
    snr_db : float
        ``10 log10(mean(clean^2) / sigma^2)``
    per_band : bool
        The mean is taken over each band, else over the image.

    Returns
    -------
    (band,) float64
    """
    squares = np.square(clean, dtype=np.float64)
    power: NDArray[np.float64] = np.full(len(clean), np.nan)
    filled = ~np.isnan(squares).all(axis=(1, 2))
    power[filled] = np.nanmean(squares[filled], axis=(1, 2) if per_band else None)
    return np.sqrt(power / 10 ** (snr_db / 10))
