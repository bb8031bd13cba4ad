"""Band centres and widths that the configuration gives for a file.

They are numbers in nm, `first:last:count`, a variable of the file, or the bands of a known sensor. Bands
described by the format itself are read in `raster`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config.scenes import FileSource
from pipeline.core.sensing.sensors import SpectrometerBands, spectrometer, spectrometers
from pipeline.errors import InputError
from pipeline.inputs.formats.array_file import ArrayFile
from pipeline.inputs.formats.wavelengths import RANGE, centres_nm, impossible, listed, spelled, widths_nm

EQUAL_STEPS = re.compile(r"(\d+\.?\d*):(\d+\.?\d*):(\d{1,5})")

FEWEST_OF_DETECTOR = 10  # bands
SILICON_ENDS = (800.0, 1150.0)  # nm

Bands = NDArray[np.float64] | None


def configured_bands(path: Path, source: FileSource, file: ArrayFile | None) -> tuple[Bands, Bands]:
    """Return the centres and widths that the configuration gives; a known sensor gives both.

    Parameters
    ----------
    path : Path
        The file, for messages.
    source : FileSource
        The configuration.
    file : ArrayFile or None
        The file's arrays, for variables; None for a raster.
    """
    fwhm = _listed(path, file, "fwhm", source.fwhm)
    if (sensor := configured_sensor(source, file)) is not None:
        return sensor.wavelength, sensor.fwhm if fwhm is None else fwhm
    return _listed(path, file, "wavelengths", source.wavelengths), fwhm


def configured_sensor(source: FileSource, file: ArrayFile | None) -> SpectrometerBands | None:
    """Return the imaging spectrometer that `wavelengths` names, or None.

    Parameters
    ----------
    source : FileSource
        The configuration.
    file : ArrayFile or None
        The file's arrays; a variable of that name goes before a sensor.
    """
    name = source.wavelengths
    if not isinstance(name, str) or (file is not None and name in file.shapes):
        return None
    return spectrometer(name)


def per_band(
    path: Path, bands: int, wavelength: Bands, fwhm: Bands, bad: tuple[int, ...] = ()
) -> tuple[Bands, Bands]:
    """Return centres and widths, one for each band.

    Parameters
    ----------
    path : Path
        The file, for messages.
    bands : int
        Number of bands.
    wavelength, fwhm : array or None
        Centres and widths in nm: for each band, for each band that is not listed as bad (bad bands
        then have none, NaN), or a single width for all.
    bad : tuple of int
        0-based numbers of the bands listed as bad.

    Raises
    ------
    InputError
        Their number fits neither.
    """
    if fwhm is not None and fwhm.size == 1:
        fwhm = np.full(bands, fwhm[0])
    spectral = np.setdiff1d(np.arange(bands), bad)
    wavelength, fwhm = (_spread(values, bands, spectral) for values in (wavelength, fwhm))
    for key, values in (("wavelengths", wavelength), ("fwhm", fwhm)):
        if values is not None and values.size != bands:
            raise InputError(
                f"{path}: {key} has {values.size} values, the file has {bands} bands; give one for each "
                "band (`band_numbers` picks them), or correct `axes`"
            )
    return wavelength, fwhm


def _spread(values: Bands, bands: int, spectral: NDArray[np.intp]) -> Bands:
    if values is None or values.size != spectral.size:
        return values
    spread = np.full(bands, np.nan)
    spread[spectral] = values
    return spread


def _listed(path: Path, file: ArrayFile | None, key: str, given: list[float] | float | str | None) -> Bands:
    """Return wavelengths or widths in nm from numbers, `first:last:count`, a variable, or a list in text."""
    if given is None:
        return None
    values = np.atleast_1d(np.asarray(given, np.float64)) if not isinstance(given, str) else None
    if isinstance(given, str):
        values = _written(path, file, key, given)
    assert values is not None
    if values.size == 0 or not np.isfinite(values).all() or (values <= 0).any():
        raise InputError(f"{path}: {key} must be positive numbers in nm")
    if key == "wavelengths" and impossible(values).any():
        raise InputError(
            f"{path}: {key} {values.min():g} to {values.max():g} cannot be nm; "
            f"give them in nm (1000 for a micrometre) within {RANGE}"
        )
    return values


def _written(path: Path, file: ArrayFile | None, key: str, text: str) -> NDArray[np.float64]:
    """Return wavelengths or widths from a text."""
    if steps := EQUAL_STEPS.fullmatch(text.replace(" ", "")):
        return np.linspace(float(steps[1]), float(steps[2]), int(steps[3]))
    if file is not None and text in file.shapes:
        return file.load(text).astype(np.float64).ravel()
    if text[:1].isdigit():
        try:
            numbers = spelled(listed(text, text.count(",") + 1))
            centres = centres_nm(numbers) if key == "wavelengths" else None
        except InputError as error:
            raise InputError(f"{path}: {key}: {error}") from None
        return centres.nm if centres is not None else widths_nm(numbers, numbers.values, "nm")
    if file is None:
        raise InputError(
            f"{path}: {key} {text!r} is neither a list, nor first:last:count, nor a known sensor "
            f"({', '.join(spectrometers())}); a raster has no variables"
        )
    return file.load(text).astype(np.float64).ravel()


def detectors_of(wavelength: Bands) -> NDArray[np.str_] | None:
    """Return names of the detectors of a file whose wavelengths step back where another detector begins.

    Two that meet where silicon ends are a VNIR and a SWIR detector. None where wavelengths only rise,
    or step back more often than a detector has bands: such bands are stored in another order.

    Parameters
    ----------
    wavelength : (C,) or None
        Centres in nm.
    """
    if wavelength is None:
        return None
    runs = np.split(wavelength, np.flatnonzero(np.diff(wavelength) < 0) + 1)
    if len(runs) == 1 or min(run.size for run in runs) < FEWEST_OF_DETECTOR:
        return None
    silicon_ends = len(runs) == 2 and SILICON_ENDS[0] <= runs[1][0] <= runs[0][-1] <= SILICON_ENDS[1]
    names = ["VNIR", "SWIR"] if silicon_ends else [f"detector {i}" for i in range(1, len(runs) + 1)]
    return np.repeat(names, [run.size for run in runs])
