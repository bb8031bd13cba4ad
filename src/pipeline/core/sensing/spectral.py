"""The spectral response R: from the spectral response functions of an MSI to a matrix over HSI bands.

``r_ib`` is the integral of MSI band i's SRF times HSI band b's, a Gaussian of unit area; each row
then sums to one. Both integrals are closed forms. R holds no radiometric calibration.

>>> import numpy as np
>>> hsi = np.arange(400.0, 701.0, 10.0)
>>> gaussian_response(np.array([450.0, 600.0]), np.array([60.0, 60.0]), hsi).shape
(2, 31)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pipeline.core.sensing.spatial import FWHM_PER_SIGMA
from pipeline.errors import InputError

Vector = NDArray[np.float64]

# an MSI band is out of the HSI's reach when no HSI band sees this share of its SRF's peak
COVERED = 1e-3
# responses below this share of the row's largest are the Gaussian's far tail
NEGLIGIBLE = 1e-9


def table_response(
    nm: Vector, srf: Vector, wavelength: Vector, fwhm: Vector | None = None, names: Sequence[str] = ()
) -> Vector:
    """Return R from tabulated SRFs, linear between the table's entries and zero outside.

    Parameters
    ----------
    nm : (n,)
        The table's wavelengths, increasing.
    srf : (c, n)
        Relative responses of the MSI bands.
    wavelength, fwhm : (C,)
        HSI bands in nm; without `fwhm`, `band_spacing`.
    names : sequence of str
        MSI bands' names for the error message.

    Returns
    -------
    (c, C) float64, rows summing to one
    """
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
    """Return R of Gaussian MSI bands with given centres and FWHM in nm; see `table_response`."""
    sigma = np.asarray(widths, np.float64)[:, None] / FWHM_PER_SIGMA
    variance = sigma**2 + (_widths(wavelength, fwhm) / FWHM_PER_SIGMA) ** 2
    distance = np.asarray(centres, np.float64)[:, None] - wavelength
    response = sigma / np.sqrt(variance) * np.exp(-0.5 * distance**2 / variance)
    return normalised_rows(response, np.ones(len(response)), names)


def normalised_rows(response: Vector, peak: Vector, names: Sequence[str] = ()) -> Vector:
    """Return rows divided by their sums; `peak` (c,) is the largest possible sum of a row.

    Raises
    ------
    InputError
        An MSI band that the HSI does not cover.
    """
    largest = response.max(axis=1)
    for i in np.flatnonzero(~(largest > COVERED * peak)).tolist():
        raise InputError(
            f"spectral response: MSI band {names[i] if names else i} lies outside the HSI's bands; "
            "leave it out or use a scene that covers it"
        )
    response = np.where(response > NEGLIGIBLE * largest[:, None], response, 0.0)
    return np.asarray(response / response.sum(axis=1, keepdims=True))


def band_spacing(wavelength: Vector) -> Vector:
    """Return each band's distance to its nearer neighbour, a substitute for an unknown FWHM.

    Neighbours are taken in the given order, so that neither the gaps of removed bands nor the
    overlap of two detectors count.
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
