"""Local files as scenes: MATLAB v5, NumPy, GeoTIFF and ENVI.

The configuration says what a file does not; what it says overrides the file. Every file that
cannot be used is refused with one line. Nothing is downloaded here.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.config import FileSource
from pipeline.data.arrays import SUFFIXES, ArrayFile, first_bytes, open_arrays
from pipeline.data.raster import MICROMETRES_BELOW, open_raster
from pipeline.data.scene import Scene, Transform
from pipeline.errors import InputError
from pipeline.provenance import sha256_of

EQUAL_STEPS = re.compile(r"(\d+\.?\d*):(\d+\.?\d*):(\d+)")
LONGEST_BAND = 1e6  # nm

Bands = NDArray[np.float64] | None

log = logging.getLogger(__name__)


@dataclass
class Cube:
    """A file's content in the order (band, y, x), before bands are left out and values scaled."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    wavelength: Bands = None
    fwhm: Bands = None
    bad_bands: tuple[int, ...] = ()
    crs: str | None = None
    transform: Transform | None = None


def read_scene(source: FileSource) -> Scene:
    """The whole scene of a file.

    Bands listed as bad, in the configuration or in the file, are left out, and so are bands without
    any valid value; the log names them.

    Raises
    ------
    InputError
        One line naming the file, what was found and what to do.
    """
    path = Path(source.path)
    first_bytes(path)
    _check_digest(path, source.sha256)
    cube = _from_arrays(path, source) if path.suffix in SUFFIXES else _from_raster(path, source)
    if source.nodata is not None:
        cube.missing = cube.missing | _equal(cube.values, source.nodata)
    kept = _kept_bands(path, cube, source.bad_bands)
    data = np.empty((len(kept), *cube.values.shape[1:]), np.float32)
    for out, band in zip(data, kept, strict=True):
        np.divide(cube.values[band], source.scale, out=out, casting="unsafe", dtype=np.float64)
        _check_finite(path, out, cube.missing[band], band)
        out[cube.missing[band]] = np.nan
    return Scene(
        data,
        wavelength=None if cube.wavelength is None else cube.wavelength[kept],
        fwhm=None if cube.fwhm is None else cube.fwhm[kept],
        scale=source.scale,
        crs=cube.crs,
        transform=cube.transform,
    )


def _from_arrays(path: Path, source: FileSource) -> Cube:
    file = open_arrays(path)
    axes = source.axes.split(",") if source.axes else None
    name = source.variable or file.only(len(axes) if axes else 3)
    values = file.load(name)
    if np.iscomplexobj(values):
        raise InputError(f"{path}: variable {name!r} is complex; a scene is real")
    wavelength, fwhm = _configured(path, source, file)
    if source.band_numbers is not None:
        kept = _band_numbers(file, source.band_numbers, wavelength)
        wavelength = None if wavelength is None else wavelength[kept]
        fwhm = fwhm[kept] if fwhm is not None and fwhm.size > kept.size else fwhm
    what = f"{path}: variable {name!r} of shape {'x'.join(map(str, values.shape))}"
    if axes is None:
        axes = _guessed_axes(what, values.shape, wavelength)
    values = _ordered(what, values, axes, source.shape)
    missing = np.zeros(values.shape, bool)
    return Cube(values, missing, *_per_band(path, len(values), wavelength, fwhm))


def _from_raster(path: Path, source: FileSource) -> Cube:
    for key in ("variable", "band_numbers", "shape"):
        if getattr(source, key) is not None:
            raise InputError(f"{path}: `{key}` is for {', '.join(SUFFIXES)} files; leave it out for a raster")
    if source.axes not in (None, "band,y,x"):
        raise InputError(f"{path}: a raster's axes are band,y,x, not {source.axes}; leave `axes` out")
    raster = open_raster(path)
    wavelength, fwhm = _per_band(path, len(raster.values), *_configured(path, source, None))
    return Cube(
        raster.values,
        raster.missing,
        raster.wavelength if wavelength is None else wavelength,
        raster.fwhm if fwhm is None else fwhm,
        tuple(raster.bad_bands),
        raster.crs,
        raster.transform,
    )


def _ordered(what: str, values: NDArray[Any], axes: list[str], shape: tuple[int, int] | None) -> NDArray[Any]:
    """`values` in the order (band, y, x)."""
    if values.ndim != len(axes) or 0 in values.shape:
        raise InputError(
            f"{what} does not fit axes {','.join(axes)}, which need {len(axes)} axes with content"
        )
    if len(axes) == 3:
        return values.transpose([axes.index(axis) for axis in ("band", "y", "x")])
    if shape is None:
        raise InputError(f"{what} has one pixel axis; give `shape: [height, width]`")
    (pixels,) = set(axes) - {"band"}
    by_band = values if axes[0] == "band" else values.T
    if by_band.shape[1] != shape[0] * shape[1]:
        raise InputError(
            f"{what} has {by_band.shape[1]} pixels along {pixels}, but shape {list(shape)} has "
            f"{shape[0] * shape[1]}; correct `axes` or `shape`"
        )
    if pixels == "yx":
        return by_band.reshape(-1, *shape)
    return by_band.reshape(-1, shape[1], shape[0]).transpose(0, 2, 1)  # column-major pixels


def _guessed_axes(what: str, shape: tuple[int, ...], wavelength: Bands) -> list[str]:
    """MATLAB's y,x,band; or band,y,x where the number of wavelengths says so."""
    if len(shape) != 3:
        raise InputError(f"{what} has {len(shape)} axes, a scene has 3; give `axes` and `shape`")
    if wavelength is None or shape[2] == wavelength.size:
        return ["y", "x", "band"]
    if shape[0] == wavelength.size and shape[1] != wavelength.size:
        return ["band", "y", "x"]
    raise InputError(f"{what} has no band axis at its end for {wavelength.size} wavelengths; give `axes`")


def _configured(path: Path, source: FileSource, file: ArrayFile | None) -> tuple[Bands, Bands]:
    """Centres and widths that the configuration gives."""
    return _listed(path, file, "wavelengths", source.wavelengths), _listed(path, file, "fwhm", source.fwhm)


def _per_band(path: Path, bands: int, wavelength: Bands, fwhm: Bands) -> tuple[Bands, Bands]:
    """Centres and widths, one for each band; a single width holds for all."""
    if fwhm is not None and fwhm.size == 1:
        fwhm = np.full(bands, fwhm[0])
    for key, values in (("wavelengths", wavelength), ("fwhm", fwhm)):
        if values is not None and values.size != bands:
            raise InputError(
                f"{path}: {key} has {values.size} values, the file has {bands} bands; give one for each "
                "band (`band_numbers` picks them), or correct `axes`"
            )
    return wavelength, fwhm


def _listed(path: Path, file: ArrayFile | None, key: str, given: list[float] | float | str | None) -> Bands:
    """Wavelengths or widths in nm from the configuration: numbers, `first:last:count`, a variable."""
    if given is None:
        return None
    if not isinstance(given, str):
        values = np.atleast_1d(np.asarray(given, np.float64))
    elif steps := EQUAL_STEPS.fullmatch(given.replace(" ", "")):
        values = np.linspace(float(steps[1]), float(steps[2]), int(steps[3]))
    elif file is None:
        raise InputError(
            f"{path}: {key} {given!r} is neither a list nor first:last:count; a raster has no variables"
        )
    else:
        values = file.load(given).astype(np.float64).ravel()
    if values.size == 0 or not np.isfinite(values).all() or (values <= 0).any():
        raise InputError(f"{path}: {key} must be positive numbers in nm")
    if key == "wavelengths" and not MICROMETRES_BELOW < values.max() < LONGEST_BAND:
        raise InputError(
            f"{path}: {key} {values.min():g} to {values.max():g} cannot be nm; "
            "give them in nm (1000 for a micrometre)"
        )
    return values


def _band_numbers(file: ArrayFile, name: str, wavelength: Bands) -> NDArray[np.intp]:
    """0-based positions of the kept bands among those that the wavelengths describe."""
    numbers = file.load(name).ravel()
    most = np.inf if wavelength is None else wavelength.size
    if numbers.size == 0:
        raise InputError(f"{file.path}: band_numbers {name!r} is empty; expected the kept bands' numbers")
    if (numbers != np.round(numbers)).any() or numbers.min() < 1 or numbers.max() > most:
        raise InputError(
            f"{file.path}: band_numbers {name!r} holds {numbers.min():g} to {numbers.max():g}; "
            f"expected whole numbers from 1 to {most}, the number of `wavelengths`"
        )
    return np.asarray(numbers - 1, np.intp)


def _check_digest(path: Path, expected: str | None) -> None:
    if expected is None:
        return
    found = sha256_of(path)
    if found != expected:
        raise InputError(
            f"{path}: its sha256 is {found}, expected {expected}; fetch the file again or correct `sha256`"
        )


def _kept_bands(path: Path, cube: Cube, configured: list[int]) -> list[int]:
    """Bands that are neither listed as bad nor without any valid value."""
    bands = len(cube.values)
    outside = [band for band in configured if not 0 <= band < bands]
    if outside:
        raise InputError(f"{path}: bad_bands {outside} do not exist; bands are 0 to {bands - 1}")
    bad = {*configured, *cube.bad_bands}
    empty = set(np.flatnonzero(cube.missing.all(axis=(1, 2))).tolist()) - bad
    for reason, group in (("listed as bad", bad), ("without valid values", empty)):
        if group:
            log.warning("%s: left out bands %s (0-based), %s", path, sorted(group), reason)
    kept = [band for band in range(bands) if band not in bad | empty]
    if not kept:
        raise InputError(f"{path}: no band is left, all are no-data or listed as bad")
    return kept


def _check_finite(path: Path, band: NDArray[np.float32], missing: NDArray[np.bool_], number: int) -> None:
    wrong = ~np.isfinite(band) & ~missing
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise InputError(
            f"{path}: band {number} holds {wrong.sum()} NaN or infinite values, the first at row {y}, "
            f"column {x}; declare `nodata: .nan` or leave the band out by `bad_bands`"
        )


def _equal(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(values) if np.isnan(nodata) else values == nodata)
