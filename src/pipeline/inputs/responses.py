"""Spectral responses from files (tables of relative response, matrices), Gaussian bands and known sensors.

The numerics are in `core.sensing.spectral`; here are only files and names.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.config.responses import (
    GaussianResponse,
    MatrixResponse,
    SensorResponse,
    SpectralConfig,
    TableResponse,
)
from pipeline.core.sensing.observation import check_spectral_response
from pipeline.core.sensing.sensors import builtin_curves, builtin_response, py6s_response
from pipeline.core.sensing.spatial import FWHM_PER_SIGMA
from pipeline.core.sensing.spectral import BandsOutsideError, gaussian_response, table_response
from pipeline.errors import InputError
from pipeline.inputs.formats.arrays import open_arrays
from pipeline.inputs.formats.damage import first_bytes

Vector = NDArray[np.float64]


def read_response(
    config: SpectralConfig,
    wavelength: Vector | None,
    fwhm: Vector | None = None,
) -> Vector:
    """Return R (c, C) for the bands of an HSI.

    Parameters
    ----------
    config : SpectralConfig
        The response of the configuration.
    wavelength : (C,) or None
        Centres of the HSI's bands in nm.
    fwhm : (C,), optional
        Their widths in nm.

    Raises
    ------
    InputError
        The file cannot be used, the scene has no wavelengths, or an MSI band is not covered.
    """
    if isinstance(config, MatrixResponse):
        return _matrix(Path(config.path), config.variable, wavelength)
    if wavelength is None:
        raise InputError(
            f"spectral response: kind {config.kind} needs the HSI's wavelengths; give `wavelengths` "
            "of the source, or use kind matrix"
        )
    if isinstance(config, GaussianResponse):
        centres = np.array(config.centres)
        widths = np.broadcast_to(np.array(config.fwhm, np.float64), centres.shape)
        names = [f"{i} ({centre:g} nm)" for i, centre in enumerate(config.centres)]
        return gaussian_response(centres, widths, wavelength, fwhm, names)
    if isinstance(config, SensorResponse):
        response = py6s_response if config.tables == "py6s" else builtin_response
        return response(config.sensor, config.bands, wavelength, fwhm)
    nm, srf, names = read_table(Path(config.path), config.bands)
    try:
        return table_response(nm, srf, wavelength, fwhm, names)
    except BandsOutsideError as error:
        error.args = (f"{config.path}: {error}",)
        raise
    except InputError as error:
        raise InputError(f"{config.path}: {error}") from None


def srf_curves(config: SpectralConfig) -> list[tuple[Vector, Vector]] | None:
    """Return wavelengths in nm (n,) and relative responses (n,) of each MSI band.

    Parameters
    ----------
    config : SpectralConfig
        The response of the configuration; a matrix has no curves, and gives None.
    """
    if isinstance(config, MatrixResponse):
        return None
    if isinstance(config, TableResponse):
        nm, srf, _ = read_table(Path(config.path), config.bands)
        return [(nm, row) for row in srf]
    if isinstance(config, GaussianResponse):
        widths = np.broadcast_to(np.array(config.fwhm, np.float64), len(config.centres))
        return [gaussian_curve(*band) for band in zip(config.centres, widths.tolist(), strict=True)]
    return builtin_curves(config.sensor, config.bands)


def gaussian_curve(centre: float, width: float) -> tuple[Vector, Vector]:
    """Return wavelengths in nm and responses of a Gaussian band, to where it has fallen to a thousandth.

    Parameters
    ----------
    centre : float
        Centre in nm.
    width : float
        FWHM in nm.
    """
    nm = centre + width * np.linspace(-1.6, 1.6, 65)
    return nm, np.exp(-0.5 * ((nm - centre) * FWHM_PER_SIGMA / width) ** 2)


def read_table(path: Path, bands: Sequence[str] | None = None) -> tuple[Vector, Vector, list[str]]:
    """Return wavelengths in nm (n,), responses (c, n) and names of a table's bands.

    The first column is the wavelength. A name that the header repeats stands for its first column
    when it is asked for once, and for the next ones when it is asked for again.

    Parameters
    ----------
    path : Path
        A CSV file with a header.
    bands : sequence of str, optional
        Names of the bands in the wanted order; by default all.

    Raises
    ------
    InputError
        The file is not such a table, or has no such band.
    """
    first_bytes(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            header, *rows = [row for row in csv.reader(stream) if any(cell.strip() for cell in row)]
        table = np.array([[float(cell) for cell in row] for row in rows])
        if table.ndim != 2 or table.shape[1] != len(header) or len(header) < 2:
            raise ValueError("rows of unequal length")
    except (ValueError, UnicodeDecodeError):
        raise InputError(
            f"{path}: not a response table; expected CSV with a header, nm in the first column and one "
            "column of numbers for each band"
        ) from None
    if not np.isfinite(table).all():
        raise InputError(f"{path}: holds NaN or infinite values")
    names = [name.strip() for name in header[1:]]
    table = table[np.argsort(table[:, 0], kind="stable")]
    columns = _columns(path, names, names if bands is None else bands)
    return table[:, 0], table[:, 1:].T[columns], [names[i] for i in columns]


def _columns(path: Path, names: list[str], wanted: Sequence[str]) -> list[int]:
    left = list(enumerate(names))
    columns = []
    for name in wanted:
        match = next((entry for entry in left if entry[1] == name), None)
        if match is None:
            raise InputError(f"{path}: no band {name!r}; it holds {', '.join(names)}")
        left.remove(match)
        columns.append(match[0])
    return columns


def _matrix(path: Path, variable: str | None, wavelength: Vector | None) -> Vector:
    matrix = _numbers(path, variable)
    if matrix.ndim != 2:
        raise InputError(f"{path}: expected a matrix (MSI bands, HSI bands), got shape {matrix.shape}")
    bands = matrix.shape[1] if wavelength is None else wavelength.size
    if matrix.shape[1] != bands:
        hint = "transpose it" if matrix.shape[0] == bands else "one column for each HSI band is needed"
        raise InputError(
            f"{path}: the matrix has shape {matrix.shape}, expected (MSI bands, {bands}); {hint}"
        )
    try:
        check_spectral_response(matrix, len(matrix), bands)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return matrix


def _numbers(path: Path, variable: str | None) -> Vector:
    if path.suffix != ".csv":
        file = open_arrays(path)
        numbers = file.load(variable or file.only(2))
        if np.iscomplexobj(numbers):
            raise InputError(f"{path}: the matrix is complex; a response is real")
        return np.asarray(numbers, np.float64)
    first_bytes(path)
    try:
        matrix: Vector = np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        raise InputError(f"{path}: not a matrix of numbers separated by commas ({error})") from None
    return matrix
