"""Coverage of SRFs by an HSI, noise of an HR-MSI, and warnings about bands that fit poorly.

The limits are those at which a fusion starts to suffer visibly; they are no tests of significance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from pipeline.core.estimation.responses.sample import PairSample
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import band_spacing

Array = NDArray[np.float64]

LOWEST_CORRELATION = 0.9
LOWEST_COVERAGE = 0.95
HIGHEST_EXCESS = 2.0
FINEST = 0.5  # nm, or a tenth of the table's spacing: step of the integration over an SRF
# second differences along both axes: they multiply the deviation of white noise by six (Immerkaer 1996)
LAPLACIAN = np.outer([1, -2, 1], [1, -2, 1])
SMOOTHEST = 25  # per cent of the LR pixels, in whose HR pixels the noise dominates


def srf_coverage(nm: Array, srf: Array, wavelength: Array, fwhm: Array | None = None) -> Array:
    """Return the fraction of each SRF's area that HSI bands cover.

    An HSI band covers half its FWHM, or half the distance to its nearer neighbour if that is larger, on
    either side of its centre. The gap of a removed band is therefore not covered.

    Parameters
    ----------
    nm : (n,)
        The table's wavelengths, increasing.
    srf : (c, n)
        Relative responses of the MSI bands, linear between the entries.
    wavelength, fwhm : (C,)
        Centres and widths of the HSI bands in nm.

    Returns
    -------
    (c,) float64, between 0 and 1
    """
    spacing = band_spacing(wavelength)
    half = (spacing if fwhm is None else np.maximum(fwhm, spacing)) / 2
    step = min(FINEST, float(np.diff(nm).min()) / 10)
    fine = np.arange(nm[0] + step / 2, nm[-1], step)
    covered = (np.abs(fine[:, None] - wavelength) <= half).any(axis=1)
    rows = np.array([np.interp(fine, nm, row) for row in np.atleast_2d(srf)])
    return np.asarray(rows[:, covered].sum(axis=1) / rows.sum(axis=1))


def hr_noise(sample: PairSample) -> Array:
    """Estimate the noise level ``(c,)`` of each MSI band from second differences where the scene is smooth.

    The estimate is rough, and too high for scenes with texture everywhere; it needs no response.
    """
    squares = []
    for part in sample.parts:
        box = SpatialResponse.box(ratio=sample.ratio).operator(*part.msi.shape[1:])
        rough = convolve(part.msi.astype(np.float64), LAPLACIAN[None] / 6.0, mode="nearest")
        squares.append(box.forward(rough**2)[:, part.used])
    return np.sqrt(np.percentile(np.concatenate(squares, axis=1), SMOOTHEST, axis=1))


def warnings_of(
    names: Sequence[str], correlation: Array, excess: Array, coverage: Array | None
) -> Iterator[str]:
    """Yield a warning for each band with a poor fit on held-out pixels or a low coverage.

    Parameters
    ----------
    names : sequence of str
        Names of the MSI bands.
    correlation, excess : (c,)
        Goodness of fit, as in `Responses`.
    coverage : (c,) or None
        Fraction of each SRF covered by the HSI.
    """
    for i, name in enumerate(names):
        faults = []
        if coverage is not None and coverage[i] < LOWEST_COVERAGE:
            faults.append(f"the HSI sees {coverage[i]:.0%} of its SRF")
        if not correlation[i] >= LOWEST_CORRELATION:
            faults.append(f"correlation {correlation[i]:.2f} with the HSI's bands that match it")
        if not excess[i] <= HIGHEST_EXCESS:
            faults.append(f"residual {excess[i]:.1f} times what noise explains")
        if faults:
            label = name if name.lower().startswith("band") else f"band {name}"
            yield f"MSI {label}: {', '.join(faults)}"
