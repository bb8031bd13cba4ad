"""Shift between two images, of any size, to a fraction of a pixel by phase correlation.

Kuglin and Hines 1975: the normalised cross-power spectrum of two shifted images is a plane wave, and its
transform a peak. High frequencies, where noise dominates, are damped. `refinement` makes the shift precise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from pipeline.core.rounding import SUMS, TIED, varies

Plane = NDArray[np.float64]

REACH = 4  # the shift is sought up to this fraction of the image's size
DAMPING = 0.6  # standard deviation in pixels of the Gaussian with which the peak is smoothed
PEAKS = 4


def phase_correlation(first: Plane, second: Plane, peaks: int = PEAKS) -> list[tuple[float, float]]:
    """Return shifts with ``first[i] = second[i + shift]``, the most likely first.

    Parameters
    ----------
    first, second : (n, h, w)
        Pairs of images that are equal up to gain, offset and shift; no-data is NaN. Their cross spectra are
        added.
    peaks : int
        Largest number of local maxima to return.
    """
    height, width = first.shape[1:]
    taper = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    cross = np.zeros((height, width), complex)
    for pair in zip(first, second, strict=True):
        known = np.isfinite(pair[0]) & np.isfinite(pair[1])
        if all(_varies(image[known]) for image in pair):
            spectra = [_spectrum(image, known, taper) for image in pair]
            product = np.conj(spectra[0]) * spectra[1]
            power = np.abs(product)
            has_phase = power > SUMS**2 * power.max()  # a periodic image has few frequencies
            cross += np.where(has_phase, product / np.maximum(power, np.finfo(float).tiny), 0.0)
    damping = np.exp(-2 * (np.pi * DAMPING) ** 2 * _squared_frequency(height, width))
    surface = np.fft.ifft2(cross * damping).real
    rows, cols = (np.abs(_signed(np.arange(n), n)) <= max(1, n // REACH) for n in (height, width))
    is_peak = (surface == maximum_filter(surface, size=3, mode="wrap")) & np.outer(rows, cols)
    places = np.argwhere(is_peak)
    # peaks of a periodic image are equally high: then the order of their places counts, not rounding
    height_of = np.rint(surface[is_peak] / max(TIED * np.abs(surface).max(), np.finfo(float).tiny))
    order = np.argsort(-height_of, kind="stable")[:peaks]
    return [_refined(surface, int(y), int(x)) for y, x in places[order]]


def _varies(values: Plane) -> bool:
    """Return whether values differ by more than rounding, so that their spectrum has a phase."""
    return values.size > 0 and bool(varies(values.std(), np.sqrt(np.square(values).mean())))


def _spectrum(image: Plane, known: NDArray[np.bool_], taper: Plane) -> NDArray[np.complex128]:
    mean = np.average(image[known], weights=taper[known])
    return np.asarray(np.fft.fft2(taper * np.where(known, image - mean, 0.0)))


def _squared_frequency(height: int, width: int) -> Plane:
    """Return squared frequencies in cycles per pixel."""
    return np.add.outer(np.fft.fftfreq(height) ** 2, np.fft.fftfreq(width) ** 2)


def _signed(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Map indices of a periodic axis to indices about zero."""
    return (index + size // 2) % size - size // 2


def _refined(surface: Plane, y: int, x: int) -> tuple[float, float]:
    """Refine the position of a maximum by parabolas through its neighbours along both axes."""
    height, width = surface.shape
    down = surface[[(y - 1) % height, y, (y + 1) % height], x]
    right = surface[y, [(x - 1) % width, x, (x + 1) % width]]
    place = np.array([y, x])
    dy, dx = (
        float(_signed(place[axis : axis + 1], size)[0]) + _vertex(values)
        for axis, size, values in ((0, height, down), (1, width, right))
    )
    return dy, dx


def _vertex(values: Plane) -> float:
    """Return the vertex of the parabola through values at -1, 0 and 1, of which the middle is the largest."""
    curvature = values[0] - 2 * values[1] + values[2]
    return float(0.5 * (values[0] - values[2]) / curvature) if curvature < 0 else 0.0
