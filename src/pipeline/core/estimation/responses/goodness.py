"""What an HSI sees of an MSI band's SRF, what noise explains, and a line for each band that fits badly.

The limits are those at which a fusion starts to suffer visibly, not tests of significance.
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
FINEST = 0.5  # nm, or a tenth of the table's distances, between the points of an SRF's area
# second differences in both directions, which leave noise of six times its deviation (Immerkaer 1996)
LAPLACIAN = np.outer([1, -2, 1], [1, -2, 1])
SMOOTH_SHARE = 25  # per cent of the LR pixels, the smoothest, whose HR pixels show the noise


def srf_coverage(nm: Array, srf: Array, wavelength: Array, fwhm: Array | None = None) -> Array:
    """Share of each SRF's area at wavelengths that an HSI band sees.

    An HSI band sees half its FWHM, or half the distance to the nearer neighbour where that is more,
    on either side of its centre; so the gap of a removed band counts as unseen.

    Parameters
    ----------
    nm : (n,)
        The table's wavelengths, increasing.
    srf : (c, n)
        Relative responses of the MSI bands, linear between the entries.
    wavelength, fwhm : (C,)
        HSI bands in nm.

    Returns
    -------
    (c,) float64, between 0 and 1
    """
    spacing = band_spacing(wavelength)
    half = (spacing if fwhm is None else np.maximum(fwhm, spacing)) / 2
    step = min(FINEST, float(np.diff(nm).min()) / 10)
    fine = np.arange(nm[0] + step / 2, nm[-1], step)
    seen = (np.abs(fine[:, None] - wavelength) <= half).any(axis=1)
    rows = np.array([np.interp(fine, nm, row) for row in np.atleast_2d(srf)])
    return np.asarray(rows[:, seen].sum(axis=1) / rows.sum(axis=1))


def hr_noise(sample: PairSample) -> Array:
    """Noise level of each MSI band (c,) from its second differences where the scene is smooth.

    A rough figure, too high for scenes with texture everywhere; it needs no response.
    """
    squares = []
    for part in sample.parts:
        box = SpatialResponse.box(ratio=sample.ratio).operator(*part.msi.shape[1:])
        rough = convolve(part.msi.astype(np.float64), LAPLACIAN[None] / 6.0, mode="nearest")
        squares.append(box.forward(rough**2)[:, part.used])
    return np.sqrt(np.percentile(np.concatenate(squares, axis=1), SMOOTH_SHARE, axis=1))


def warnings_of(
    names: Sequence[str], correlation: Array, excess: Array, coverage: Array | None
) -> Iterator[str]:
    """One line for each band whose fit on held-out pixels, or whose coverage, is low."""
    for i, name in enumerate(names):
        faults = []
        if coverage is not None and coverage[i] < LOWEST_COVERAGE:
            faults.append(f"the HSI sees {coverage[i]:.0%} of its SRF")
        if not correlation[i] >= LOWEST_CORRELATION:
            faults.append(f"correlation {correlation[i]:.2f} with the HSI's bands that match it")
        if not excess[i] <= HIGHEST_EXCESS:
            faults.append(f"residual {excess[i]:.1f} times what noise explains")
        if faults:
            yield f"MSI band {name}: {', '.join(faults)}"
