"""Gaussian noise as a function of the seed and the absolute position.

A value depends on (seed, purpose, channel, y, x) alone. It is drawn in aligned blocks by the counter-based
Philox generator (Salmon et al. 2011), so that the noise of a window does not depend on how the scene is cut,
on the worker, or on the order of the jobs.

>>> whole = standard_normal(0, "lr_hsi", (3, 200, 200))
>>> part = standard_normal(0, "lr_hsi", (3, 50, 60), origin=(100, 130))
>>> bool((whole[:, 100:150, 130:190] == part).all())
True
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

BLOCK = 64  # side of the blocks; changing it changes all draws
NOISE_FLOOR = 1e-6  # of an image's root mean square


def standard_normal(
    seed: int, purpose: str, shape: tuple[int, int, int], origin: tuple[int, int] = (0, 0)
) -> NDArray[np.float32]:
    """Draw independent N(0, 1) values for a window of an unbounded grid.

    Parameters
    ----------
    seed : int
        Seed of the draw.
    purpose : str
        Name of the draw; draws of different purposes are independent.
    shape : (channels, height, width)
        Shape of the result.
    origin : (y, x)
        Absolute position of the window's first pixel, non-negative.

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
    """Return the 128-bit generator key of a seed and a purpose."""
    return int.from_bytes(blake2b(f"{seed}:{purpose}".encode(), digest_size=16).digest(), "little")


def derived_seed(seed: int, purpose: str) -> int:
    """Return a 63-bit seed of a seed and a purpose, for generators that take a single number (PyTorch)."""
    return philox_key(seed, purpose) >> 65


@dataclass(frozen=True)
class SignalPower:
    """Power of an image; the powers of its parts add up.

    Attributes
    ----------
    squares : (band,) float64
        Sum of the squares of the valid values.
    counts : (band,) int64
        Number of valid values.
    """

    squares: NDArray[np.float64]
    counts: NDArray[np.int64]

    def __add__(self, other: SignalPower) -> SignalPower:
        return SignalPower(self.squares + other.squares, self.counts + other.counts)

    @property
    def mean(self) -> float:
        """Mean square of the image; NaN without valid values."""
        return float(self.squares.sum() / self.counts.sum()) if self.counts.any() else np.nan

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean square of each band; NaN for a band without valid values."""
        filled = self.counts > 0
        return np.where(filled, self.squares / np.where(filled, self.counts, 1), np.nan)


def power_of(image: NDArray[np.floating]) -> SignalPower:
    """Return the power of an image ``(band, ...)``, leaving out NaN."""
    values = image.reshape(len(image), -1)
    squares = np.nansum(np.square(values, dtype=np.float64), axis=1)
    return SignalPower(squares, (~np.isnan(values)).sum(axis=1))


def noise_floor(power: SignalPower) -> float:
    """Return the smallest noise level that any image is taken to have: 1e-6 of its root mean square."""
    return max(NOISE_FLOOR * np.sqrt(power.mean), np.finfo(np.float32).tiny)


def noise_sigma(power: SignalPower, snr_db: float, per_band: bool) -> NDArray[np.float64]:
    """Return the noise level of each band at a signal-to-noise ratio.

    Parameters
    ----------
    power : SignalPower
        Power of the noiseless image.
    snr_db : float
        ``10 log10(mean(clean^2) / sigma^2)``.
    per_band : bool
        Whether the mean is taken over each band; else over the image.

    Returns
    -------
    (band,) float64
        NaN for a band without valid values.
    """
    signal = power.means if per_band else np.where(power.counts > 0, power.mean, np.nan)
    return np.sqrt(signal / 10 ** (snr_db / 10))
