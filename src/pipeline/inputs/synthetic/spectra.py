"""Reflectance of common surfaces at any wavelengths from 350 to 2550 nm, as parametric curves.

Shapes follow the absorption features described by Clark (1999) and Jacquemoud and Ustin (2001):
pigments, leaf water, cellulose, iron oxides, hydroxyl, carbonate. They are plausible, not measured.

>>> material_spectra(np.linspace(400, 2500, 60)).shape == (len(MATERIALS), 1 + MODES, 60)
True
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.special import expit

Vector = NDArray[np.float64]
Material = Callable[[Vector, Vector], Vector]

PARAMETERS = 4  # of each material's curve
MINOR = 3  # modes of small absorptions: impurities, lichens, dyes
MODES = PARAMETERS + MINOR
MINOR_DEPTH = 0.05
KNOTS = np.array([350.0, 450, 550, 650, 750, 900, 1100, 1300, 1650, 2000, 2200, 2550])


def material_spectra(nm: Vector) -> Vector:
    """Return mean spectrum and modes of variation of every material.

    A material's spectrum is ``mean + sum_m p_m mode_m`` with p between about -1 and 1; a mode is half
    the difference that its parameter makes, such as more chlorophyll or a deeper clay band.

    Parameters
    ----------
    nm : (bands,)
        Wavelengths in nm.

    Returns
    -------
    (materials, 1 + MODES, bands) float64
    """
    unit = np.eye(PARAMETERS)
    rows = []
    for number, material in enumerate(MATERIALS.values()):
        mean = material(nm, np.zeros(PARAMETERS))
        modes = [(material(nm, p) - material(nm, -p)) / 2 for p in unit]
        minor = [mean * _small_absorptions(nm, number * MINOR + m) for m in range(MINOR)]
        rows.append([mean, *modes, *minor])
    return np.array(rows)


def _small_absorptions(nm: Vector, number: int) -> Vector:
    """Compute a few narrow features at positions of their own, spread by the golden ratio."""
    total = np.zeros_like(nm)
    for i in range(9):
        place = (0.618034 * (9 * number + i + 1)) % 1
        total += (-1) ** i * _bump(nm, 350 + 2200 * place**1.5, 12 + 40 * ((7 * place) % 1))
    return MINOR_DEPTH * total


def _bump(nm: Vector, centre: float, width: float) -> Vector:
    return np.asarray(np.exp(-(((nm - centre) / width) ** 2)))


def _curve(nm: Vector, values: list[float]) -> Vector:
    return np.asarray(PchipInterpolator(KNOTS, values)(np.clip(nm, KNOTS[0], KNOTS[-1])))


def _leaf_water(nm: Vector) -> Vector:
    """Compute the absorption of liquid water in leaves, per unit of relative content."""
    bands = 0.07 * _bump(nm, 970, 32) + 0.17 * _bump(nm, 1190, 48) + 1.3 * _bump(nm, 1450, 62)
    bands += 2.3 * _bump(nm, 1940, 75)
    steps = 0.25 * expit((nm - 1330) / 35) + 0.45 * expit((nm - 1860) / 35) + 0.9 * expit((nm - 2380) / 70)
    return np.asarray(bands + steps)


def _vegetation(nm: Vector, chlorophyll: float, water: float, plateau: float, edge: float) -> Vector:
    """Compute green leaves: pigments in the visible, red edge at `edge` nm, leaf water beyond 950 nm."""
    pigment = 1.7 * _bump(nm, 435, 60) + 0.7 * _bump(nm, 495, 32) + 0.6 * _bump(nm, 625, 42)
    pigment += 1.5 * _bump(nm, 676, 27) + 0.3
    visible = 0.19 * np.exp(-chlorophyll * pigment)
    shoulder = expit((nm - edge) / 12)
    near_infrared = plateau * (1 - 0.07 * _bump(nm, 760, 45))
    leaf = (1 - shoulder) * visible + shoulder * near_infrared
    return np.asarray(leaf * np.exp(-water * _leaf_water(nm)))


def _crop(nm: Vector, p: Vector) -> Vector:
    return _vegetation(nm, 1.1 + 0.35 * p[0], 0.62 + 0.25 * p[1], 0.52 + 0.08 * p[2], 716 + 7 * p[3])


def _grass(nm: Vector, p: Vector) -> Vector:
    dry = 0.16 * _straw(nm, np.array([0, 0, p[2], 0]))
    return _vegetation(nm, 0.8 + 0.3 * p[0], 0.5 + 0.2 * p[1], 0.36, 711 + 6 * p[3]) + dry


def _broadleaf(nm: Vector, p: Vector) -> Vector:
    return _vegetation(nm, 1.4 + 0.3 * p[0], 0.75 + 0.25 * p[1], 0.42 + 0.09 * p[2], 721 + 6 * p[3])


def _conifer(nm: Vector, p: Vector) -> Vector:
    leaf = _vegetation(nm, 1.7 + 0.4 * p[0], 0.95 + 0.3 * p[1], 0.25 + 0.05 * p[2], 719 + 5 * p[3])
    return np.asarray(leaf * (1 - 0.1 * _bump(nm, 1730, 60)))


def _straw(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.05, 0.1, 0.18, 0.26, 0.34, 0.42, 0.48, 0.52, 0.5, 0.4, 0.37, 0.27])
    cellulose = (0.2 + 0.12 * p[0]) * _bump(nm, 2100, 55) + (0.1 + 0.08 * p[1]) * _bump(nm, 2310, 45)
    moist = (0.2 + 0.12 * p[2]) * (_bump(nm, 1450, 50) + 1.4 * _bump(nm, 1935, 60))
    pigment = (0.2 + 0.2 * p[3]) * _bump(nm, 672, 35) + 0.05 * _bump(nm, 1730, 35)
    return np.asarray(base * (1 - cellulose - moist - pigment))


def _soil(nm: Vector, base: Vector, iron: float, clay: float, carbonate: float, moisture: float) -> Vector:
    """Compute mineral soil: iron oxides at 530 and 880 nm, hydroxyl at 2205, carbonate at 2340, water."""
    oxide = iron * (_bump(nm, 880, 95) + 0.9 * _bump(nm, 500, 70) + 0.35 * _bump(nm, 660, 30))
    hydroxyl = clay * (_bump(nm, 2205, 28) + 0.5 * _bump(nm, 1412, 26))
    wet = moisture * (0.45 + 0.35 * _bump(nm, 1450, 75) + 0.6 * _bump(nm, 1935, 90))
    return np.asarray(base * (1 - oxide) * (1 - hydroxyl) * (1 - carbonate * _bump(nm, 2340, 35)) * (1 - wet))


def _bright_soil(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.1, 0.17, 0.25, 0.32, 0.36, 0.41, 0.46, 0.5, 0.54, 0.52, 0.52, 0.46])
    return _soil(nm, base, 0.12 + 0.08 * p[0], 0.2 + 0.12 * p[1], 0.12 + 0.12 * p[2], 0.25 + 0.2 * p[3])


def _dark_soil(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.04, 0.06, 0.09, 0.13, 0.16, 0.2, 0.24, 0.28, 0.32, 0.31, 0.31, 0.27])
    return _soil(nm, base, 0.08 + 0.08 * p[0], 0.12 + 0.1 * p[1], 0.05 + 0.05 * p[2], 0.35 + 0.25 * p[3])


def _red_soil(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.03, 0.05, 0.1, 0.19, 0.25, 0.3, 0.36, 0.4, 0.43, 0.41, 0.39, 0.33])
    return _soil(nm, base, 0.3 + 0.12 * p[0], 0.3 + 0.14 * p[1], 0.04 + 0.04 * p[2], 0.2 + 0.2 * p[3])


def _red_tile(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.04, 0.06, 0.11, 0.25, 0.31, 0.33, 0.39, 0.44, 0.5, 0.5, 0.49, 0.45])
    moss = 0.12 * (1 + p[2]) * _crop(nm, np.zeros(PARAMETERS))
    tile = _soil(nm, base * (1 + 0.2 * p[3]), 0.2 + 0.12 * p[0], 0.06 + 0.06 * p[1], 0.0, 0.05)
    return np.asarray(tile + moss)


def _grey_roof(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.1, 0.13, 0.15, 0.16, 0.165, 0.17, 0.18, 0.19, 0.2, 0.2, 0.19, 0.18])
    mineral = (0.1 + 0.1 * p[0]) * _bump(nm, 2320, 40) + (0.06 + 0.06 * p[1]) * _bump(nm, 1000, 130)
    slope = 0.15 * p[2] * (nm - 1400) / 1100
    return np.asarray(base * (1 - mineral) * (1 + slope) * (1 + 0.25 * p[3]))


def _metal_roof(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.3, 0.42, 0.46, 0.47, 0.45, 0.47, 0.52, 0.55, 0.57, 0.56, 0.55, 0.5])
    coating = (0.14 + 0.12 * p[0]) * _bump(nm, 835, 90) + (0.08 + 0.08 * p[1]) * _bump(nm, 1720, 25)
    pigment = 0.18 * (1 + p[2]) * (_bump(nm, 610, 80) + 0.3 * _bump(nm, 2300, 40))
    return np.asarray(base * (1 - coating - pigment) * (1 + 0.15 * p[3]))


def _asphalt(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.05, 0.065, 0.075, 0.085, 0.09, 0.1, 0.11, 0.125, 0.145, 0.15, 0.15, 0.14])
    bitumen = (0.1 + 0.09 * p[0]) * (_bump(nm, 2310, 32) + 0.6 * _bump(nm, 1725, 26))
    mineral = (0.05 + 0.05 * p[1]) * _bump(nm, 2340, 24)
    slope = 0.25 * p[2] * (nm - 1100) / 1400
    return np.asarray(base * (1 - bitumen - mineral) * (1 + slope) * (1 + 0.25 * p[3]))


def _concrete(nm: Vector, p: Vector) -> Vector:
    base = _curve(nm, [0.16, 0.22, 0.28, 0.31, 0.33, 0.34, 0.36, 0.38, 0.4, 0.37, 0.36, 0.32])
    return _soil(nm, base, 0.05 + 0.05 * p[0], 0.07 + 0.07 * p[1], 0.16 + 0.12 * p[2], 0.15 + 0.15 * p[3])


def _water(nm: Vector, p: Vector) -> Vector:
    clear = _curve(nm, [0.06, 0.06, 0.05, 0.028, 0.013, 0.006, 0.003, 0.002, 0.0015, 0.001, 0.001, 0.001])
    turbid = 0.035 * (1 + p[0]) * _bump(nm, 590, 110) + 0.012 * (1 + p[1]) * _bump(nm, 808, 28)
    algae = 0.012 * (1 + p[2]) * (_bump(nm, 705, 16) - 0.8 * _bump(nm, 672, 14))
    return np.asarray(clear * (1 + 0.25 * p[3]) + turbid + algae)


MATERIALS: dict[str, Material] = {
    "crop": _crop,
    "grass": _grass,
    "broadleaf": _broadleaf,
    "conifer": _conifer,
    "straw": _straw,
    "bright_soil": _bright_soil,
    "dark_soil": _dark_soil,
    "red_soil": _red_soil,
    "red_tile": _red_tile,
    "grey_roof": _grey_roof,
    "metal_roof": _metal_roof,
    "asphalt": _asphalt,
    "concrete": _concrete,
    "water": _water,
}
