"""The spectral response R: from the spectral response functions of an MSI to a matrix over HSI bands.

``r_ib`` is the integral of the SRF of MSI band i times that of HSI band b, a Gaussian of unit area. Rows are
then scaled to a sum of 1, so that R contains no radiometric calibration. The integrals are closed forms.

>>> import numpy as np
>>> hsi = np.arange(400.0, 701.0, 10.0)
>>> gaussian_response(np.array([450.0, 600.0]), np.array([60.0, 60.0]), hsi).shape
(2, 31)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.spatial import FWHM_PER_SIGMA
from pipeline.errors import InputError

Vector = NDArray[np.float64]

# response, relative to an SRF's peak, that some HSI band must reach for the HSI to cover the MSI band
COVERED = 1e-3
# response, relative to the row's largest, below which it is the far tail of a Gaussian
NEGLIGIBLE = 1e-9


class BandsOutsideError(InputError):
    """MSI bands outside the range of the HSI's bands.

    Parameters
    ----------
    bands : sequence of int
        0-based numbers of the MSI bands.
    names : sequence of str
        Names of all MSI bands.

    Attributes
    ----------
    bands : tuple of int
        0-based numbers of the MSI bands.
    """

    def __init__(self, bands: Sequence[int], names: Sequence[str]) -> None:
        self.bands = tuple(bands)
        listing = ", ".join(names[i] if names else str(i) for i in bands)
        several = "s" * (len(bands) > 1)
        super().__init__(
            f"spectral response: MSI band{several} {listing} lie{'s' * (not several)} outside the HSI's "
            "bands; "
            f"leave {'them' if several else 'it'} out or use a scene that covers "
            f"{'them' if several else 'it'}"
        )


def table_response(
    nm: Vector, srf: Vector, wavelength: Vector, fwhm: Vector | None = None, names: Sequence[str] = ()
) -> Vector:
    """Return R for tabulated SRFs, linear between the table's entries and zero outside.

    Parameters
    ----------
    nm : (n,)
        The table's wavelengths, increasing.
    srf : (c, n)
        Relative responses of the MSI bands.
    wavelength, fwhm : (C,)
        Centres and widths of the HSI bands in nm; default of `fwhm`: `band_spacing`.
    names : sequence of str
        Names of the MSI bands in errors.

    Returns
    -------
    (c, C) float64, rows with a sum of 1
    """
    from scipy.special import ndtr  # here: slow to load, and few steps build a response

    srf = np.atleast_2d(srf)
    if nm.size < 2 or srf.shape[1] != nm.size or (np.diff(nm) <= 0).any():
        raise InputError("spectral response: a table needs two or more increasing wavelengths")
    sigma = _widths(wavelength, fwhm) / FWHM_PER_SIGMA
    u = (nm - wavelength[:, None]) / sigma[:, None]
    mass = np.diff(ndtr(u), axis=1)  # (C, n - 1): share of each HSI band between two entries
    density = np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi)
    moment = -np.diff(density, axis=1) * sigma[:, None]

    # integral over a segment of (f0 + slope (t - t0)) N(t; centre, sigma) dt
    slope = np.diff(srf, axis=1) / np.diff(nm)
    rise = (wavelength[:, None] - nm[:-1]) * mass + moment
    return normalised_rows(srf[:, :-1] @ mass.T + slope @ rise.T, srf.max(axis=1), names)


def gaussian_response(
    centres: Vector, widths: Vector, wavelength: Vector, fwhm: Vector | None = None, names: Sequence[str] = ()
) -> Vector:
    """Return R for Gaussian SRFs.

    Parameters
    ----------
    centres, widths : (c,)
        Centres and full widths at half maximum of the MSI bands in nm.
    wavelength, fwhm : (C,)
        Centres and widths of the HSI bands in nm; default of `fwhm`: `band_spacing`.
    names : sequence of str
        Names of the MSI bands in errors.
    """
    sigma = np.asarray(widths, np.float64)[:, None] / FWHM_PER_SIGMA
    variance = sigma**2 + (_widths(wavelength, fwhm) / FWHM_PER_SIGMA) ** 2
    distance = np.asarray(centres, np.float64)[:, None] - wavelength
    response = sigma / np.sqrt(variance) * np.exp(-0.5 * distance**2 / variance)
    return normalised_rows(response, np.ones(len(response)), names)


def normalised_rows(response: Vector, peak: Vector, names: Sequence[str] = ()) -> Vector:
    """Divide rows by their sums.

    Parameters
    ----------
    response : (c, C)
        Integrals of the SRFs.
    peak : (c,)
        Largest value that each row can have.
    names : sequence of str
        Names of the MSI bands in errors.

    Raises
    ------
    BandsOutsideError
        The HSI does not cover an MSI band.
    """
    largest = response.max(axis=1)
    outside = np.flatnonzero(~(largest > COVERED * peak)).tolist()
    if outside:
        raise BandsOutsideError(outside, names)
    response = np.where(response > NEGLIGIBLE * largest[:, None], response, 0.0)
    return np.asarray(response / response.sum(axis=1, keepdims=True))


def band_spacing(wavelength: Vector) -> Vector:
    """Return each band's distance to the nearer of its neighbours, in place of an unknown FWHM.

    Neighbours are those in the given order. Gaps of removed bands count only for bands with gaps on both
    sides, and the overlap of two detectors does not count.

    Parameters
    ----------
    wavelength : (C,)
        Band centres in nm.

    Raises
    ------
    InputError
        There is a single band, or bands have equal wavelengths.
    """
    if wavelength.size < 2:
        raise InputError("fwhm: a single band has no spacing to guess its width from; give fwhm")
    steps = np.abs(np.diff(wavelength))
    steps[steps == 0] = np.inf
    spacing: Vector = np.minimum(np.append(steps, np.inf), np.insert(steps, 0, np.inf))
    if not np.isfinite(spacing).all():
        raise InputError("fwhm: bands of equal wavelength have no spacing to guess a width from; give fwhm")
    return spacing


def _widths(wavelength: Vector, fwhm: Vector | None) -> Vector:
    widths = band_spacing(wavelength) if fwhm is None else fwhm
    if widths.shape != wavelength.shape or not (widths > 0).all():
        raise InputError(f"fwhm: expected {wavelength.size} positive widths in nm, one per HSI band")
    return widths
