"""Published bands of known sensors: multispectral ones and imaging spectrometers.

The numbers lie in the JSON files beside this module, each sensor with its source and the
definition of its widths. A multispectral band is a flat top of its published width, unless its response is
given as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.sensing.spectral import BandsOutsideError, table_response
from pipeline.errors import InputError

Vector = NDArray[np.float64]

FLANK = 0.2
"""Share of a band's width over which each of its flanks rises. Of 0.02 to 0.5, and against Gaussians, it
meets measured responses of nine sensors best."""
PY6S_STEP = 2.5  # nm between the samples of Py6S's tables
NEAR, NEAR_SHARE = 10.0, 0.01  # nm and fraction of the wavelength: centres are often rounded, or nominal
AS_WELL = 1.0  # nm of mean distance
FEWEST_RECOGNISED = 3  # bands


@dataclass(frozen=True)
class SpectrometerBands:
    """All bands of an imaging spectrometer in the order of their numbers.

    Attributes
    ----------
    wavelength, fwhm : (C,) float64
        Centres and widths in nm.
    detector : (C,) str
        Name of each band's detector.
    """

    wavelength: Vector
    fwhm: Vector
    detector: NDArray[np.str_]


def spectrometer(name: str) -> SpectrometerBands | None:
    """Return the bands of an imaging spectrometer, or None where none is called `name`.

    >>> bands = spectrometer("hyperion")
    >>> bands.wavelength[[0, 69, 70, 241]].tolist(), bands.detector[[69, 70]].tolist()
    ([355.59, 1057.68, 851.92, 2577.08], ['VNIR', 'SWIR'])
    """
    sensor = _listed("hyperspectral").get(name)
    if sensor is None:
        return None
    detectors = sensor["detectors"]
    wavelength, fwhm = (
        np.concatenate([np.array(bands[key]) for bands in detectors.values()])
        for key in ("wavelength", "fwhm")
    )
    names = [name for name, bands in detectors.items() for _ in bands["wavelength"]]
    return SpectrometerBands(wavelength, fwhm, np.array(names))


def spectrometers() -> list[str]:
    """Return names of the imaging spectrometers."""
    return list(_listed("hyperspectral"))


def multispectral_sensors() -> dict[str, list[str]]:
    """Return names of the multispectral sensors, each with the names of its bands."""
    return {
        sensor: [band["name"] for band in entry["bands"]]
        for sensor, entry in _listed("multispectral").items()
    }


def multispectral_bands(sensor: str) -> dict[str, tuple[float, float]]:
    """Return centre and width in nm of each band of a multispectral sensor.

    >>> multispectral_bands("ali")["Pan"]
    (585.0, 210.0)
    """
    return {band["name"]: (band["centre"], band["width"]) for band in _chosen(sensor, None)}


def builtin_response(
    sensor: str, bands: Sequence[str] | None, wavelength: Vector, fwhm: Vector | None = None
) -> Vector:
    """Return R (c, C) from published bands; see `table_response`.

    Parameters
    ----------
    sensor : str
        One of `multispectral_sensors`.
    bands : sequence of str or None
        Names of the bands in the wanted order; None for all.
    wavelength : (C,)
        Centres of the HSI's bands in nm.
    fwhm : (C,), optional
        Their widths in nm.
    """
    names = [_full_name(sensor, band) for band in _chosen(sensor, bands)]
    curves = builtin_curves(sensor, bands)
    if "wavelength" in _listed("multispectral")[sensor]:  # all bands have the same samples
        return table_response(curves[0][0], np.stack([srf for _, srf in curves]), wavelength, fwhm, names)
    return _stacked(curves, names, wavelength, fwhm)


def builtin_curves(sensor: str, bands: Sequence[str] | None) -> list[tuple[Vector, Vector]]:
    """Return wavelengths in nm and relative responses of a sensor's bands.

    Parameters
    ----------
    sensor : str
        One of `multispectral_sensors`.
    bands : sequence of str or None
        Names of the bands in the wanted order; None for all.
    """
    listed = _listed("multispectral")[sensor].get("wavelength")
    return [
        (np.array(listed), np.array(band["response"]))
        if "response" in band
        else flat_top(band["centre"], band["width"])
        for band in _chosen(sensor, bands)
    ]


def flat_top(centre: float, width: float) -> tuple[Vector, Vector]:
    """Return wavelengths and responses of a trapezoid of the given width at half its height.

    Parameters
    ----------
    centre, width : float
        In nm.
    """
    inner, outer = (1 - FLANK) / 2 * width, (1 + FLANK) / 2 * width
    return centre + np.array([-outer, -inner, inner, outer]), np.array([0.0, 1.0, 1.0, 0.0])


def py6s_response(
    sensor: str, bands: Sequence[str] | None, wavelength: Vector, fwhm: Vector | None = None
) -> Vector:
    """Return R (c, C) from the response tables that the package Py6S carries.

    Parameters
    ----------
    sensor : str
        One of `multispectral_sensors`.
    bands : sequence of str or None
        Names of the bands in the wanted order; None for all.
    wavelength : (C,)
        Centres of the HSI's bands in nm.
    fwhm : (C,), optional
        Their widths in nm.

    Raises
    ------
    InputError
        Py6S is not installed, or has no table of a band.
    """
    chosen = _chosen(sensor, bands)
    without = [band["name"] for band in chosen if "py6s" not in band]
    if without:
        raise InputError(
            f"spectral response: Py6S has no tables of {sensor}'s bands {', '.join(without)}; "
            "use `tables: builtin`"
        )
    try:
        from Py6S import PredefinedWavelengths  # an optional package
    except ImportError:
        raise InputError(
            "spectral response: `tables: py6s` needs the package Py6S, which is not installed; "
            "install it (pip install Py6S) or use `tables: builtin`"
        ) from None
    curves = []
    for band in chosen:
        _, start, _, srf = getattr(PredefinedWavelengths, band["py6s"])  # from `start` in micrometres
        curves.append((1e3 * start + PY6S_STEP * np.arange(len(srf)), np.array(srf)))
    return _stacked(curves, [_full_name(sensor, band) for band in chosen], wavelength, fwhm)


def _stacked(
    curves: list[tuple[Vector, Vector]], names: list[str], wavelength: Vector, fwhm: Vector | None
) -> Vector:
    """Return R of bands that each have a table; all bands outside the HSI's are named at once."""
    rows, outside = [], []
    for i, (curve, name) in enumerate(zip(curves, names, strict=True)):
        try:
            rows.append(table_response(*curve, wavelength, fwhm, [name]))
        except BandsOutsideError:
            outside.append(i)
    if outside:
        raise BandsOutsideError(outside, names)
    return np.concatenate(rows)


def _chosen(sensor: str, bands: Sequence[str] | None) -> list[dict[str, Any]]:
    entries = {band["name"]: band for band in _listed("multispectral")[sensor]["bands"]}
    unknown = [name for name in bands or () if name not in entries]
    if unknown:
        raise InputError(
            f"spectral response: {sensor} has no band {unknown[0]!r}; its bands are {', '.join(entries)}"
        )
    return list(entries.values()) if bands is None else [entries[name] for name in bands]


def _full_name(sensor: str, band: dict[str, Any]) -> str:
    return f"{band['name']} of {sensor} ({band['centre']:g} nm)"


@dataclass(frozen=True)
class Recognised:
    """A multispectral sensor whose published centres fit those of an image.

    Attributes
    ----------
    sensor : str
        One of `multispectral_sensors`.
    bands : tuple of str
        Its bands in the order of the image.
    apart : float
        Largest distance between the image's and the published centres in nm.
    others : tuple of str
        Other sensors that fit as well.
    """

    sensor: str
    bands: tuple[str, ...]
    apart: float
    others: tuple[str, ...]


def recognised(wavelength: Vector) -> Recognised | None:
    """Return the multispectral sensor whose bands lie closest to some centres, or None without any.

    Centres may differ from the published ones by `NEAR`, or by `NEAR_SHARE` of the wavelength.

    Parameters
    ----------
    wavelength : (c,)
        Centres in nm.

    Examples
    --------
    >>> import numpy as np
    >>> recognised(np.array([490.0, 560.0, 665.0, 842.0])).sensor
    'sentinel2a'
    """
    if wavelength.size < FEWEST_RECOGNISED:
        return None
    fits = []
    for sensor in multispectral_sensors():
        bands = multispectral_bands(sensor)
        names, centres = list(bands), np.array([centre for centre, _ in bands.values()])
        apart = np.abs(centres[:, None] - wavelength)
        nearest = apart.argmin(axis=0)
        distance = apart[nearest, np.arange(wavelength.size)]
        if (
            len(set(nearest.tolist())) == wavelength.size
            and (distance <= np.maximum(NEAR, NEAR_SHARE * wavelength)).all()
        ):
            chosen = tuple(names[band] for band in nearest)
            fits.append((float(distance.mean()), float(distance.max()), sensor, chosen))
    if not fits:
        return None
    mean, largest, sensor, chosen = min(fits, key=lambda fit: fit[0])
    others = tuple(fit[2] for fit in fits if fit[2] != sensor and fit[0] <= mean + AS_WELL)
    return Recognised(sensor, chosen, largest, others)


@cache
def _listed(kind: str) -> dict[str, Any]:
    text = files(__package__).joinpath(f"{kind}.json").read_text(encoding="utf-8")
    listed: dict[str, Any] = json.loads(text)
    return listed
