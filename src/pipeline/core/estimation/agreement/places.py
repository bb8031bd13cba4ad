"""Pixels and lines in which the images differ: clouds or change, and stripes of a detector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, label

from pipeline.core.estimation.agreement.planes import Planes
from pipeline.core.estimation.agreement.radiometry import robust_scale

Array = NDArray[np.float64]

FAR = 6.0  # typical differences beyond which a pixel is taken to have changed
PATCH = 2  # side in LR pixels of the smallest patch: single pixels are edges and noise
SPECTRAL_NEIGHBOURS = 2  # on either side of a band
SHORTEST_LINE = 8  # LR pixels of a column whose mean counts
STRIPED = 6.0  # variance of the means of lines, in units of what independent pixels give
ACROSS = 3.0  # times the variance across them


class Change(NamedTuple):
    """Patches of LR pixels in which the two images differ.

    Attributes
    ----------
    fraction : float
        Of the compared pixels.
    place : (int, int)
        Row and column in the scene of the centre of the largest patch, in LR pixels.
    brighter : bool
        Whether the HR-MSI is brighter there.
    """

    fraction: float
    place: tuple[int, int]
    brighter: bool


def changed_places(residual: Planes, image: Planes) -> Change:
    """Find the patches of pixels that differ by more than `FAR` typical differences.

    Parameters
    ----------
    residual : Planes
        Difference of the two images, without the causes that are known.
    image : Planes
        H(Y), whose level is the scale below which differences are rounding.
    """
    scale = robust_scale(residual.values, image.values)
    largest, place, changed, compared, sign = 0, (0, 0), 0, 0, 0.0
    for plane, (row, column) in zip(residual.images, residual.corners, strict=True):
        known = np.isfinite(plane).all(axis=0)
        relative = np.where(known, plane / scale[:, None, None], 0)
        far = np.sqrt(np.square(relative).mean(axis=0)) > FAR
        patches = binary_opening(far, np.ones((PATCH, PATCH)))
        compared += int(known.sum())
        changed += int(patches.sum())
        sign += float(relative[:, patches].sum())
        labels, count = label(patches)
        for number in range(1, count + 1):
            y, x = np.nonzero(labels == number)
            if len(y) > largest:
                largest, place = len(y), (row + int(np.median(y)), column + int(np.median(x)))
    return Change(changed / max(compared, 1), place, sign > 0)


def striped_bands(hsi: Planes) -> dict[str, list[int]]:
    """Find the HSI bands with stripes, along columns and along rows.

    A band's stripes are not in its spectral neighbours, on which it is regressed: lines of pixels then
    have means that vary by more than independent pixels would, and more than across them.

    Parameters
    ----------
    hsi : Planes
        X.

    Returns
    -------
    dict
        Bands, by `columns` and `rows`.
    """
    values = hsi.values
    striped: dict[str, list[int]] = {"columns": [], "rows": []}
    for band in range(len(values)) if len(values) > 1 else ():
        residual = _unexplained(hsi, values, band)
        along_columns, along_rows = _excess_of_means(residual, 1), _excess_of_means(residual, 2)
        if along_columns > max(STRIPED, ACROSS * along_rows):
            striped["columns"].append(band)
        elif along_rows > max(STRIPED, ACROSS * along_columns):
            striped["rows"].append(band)
    return striped


def _unexplained(hsi: Planes, values: Array, band: int) -> Planes:
    """Return the part of a band that its spectral neighbours do not explain.

    Parameters
    ----------
    hsi : Planes
        X.
    values : (C, n)
        Its values.
    band : int
        The band.
    """
    first, last = max(0, band - SPECTRAL_NEIGHBOURS), band + SPECTRAL_NEIGHBOURS
    near = [other for other in range(first, min(last + 1, len(values))) if other != band]
    predictors = np.vstack([values[near], np.ones(values.shape[1])])
    solution = np.linalg.lstsq(predictors @ predictors.T, predictors @ values[band], rcond=None)[0]
    return hsi.map(
        lambda image: image[[band]] - np.tensordot(solution[:-1], image[near], axes=1) - solution[-1]
    )


def _excess_of_means(residual: Planes, axis: int) -> float:
    """Return the variance of line means along an axis, in units of independent pixels' variance.

    Neighbouring lines are subtracted, since the scene itself changes slowly from line to line.
    """
    variance = float(np.square(residual.values).mean())
    squares = []
    for plane in residual.images:
        count = np.isfinite(plane).sum(axis=axis)[0]
        long_enough = count >= SHORTEST_LINE
        mean = np.nansum(plane, axis=axis)[0][long_enough] / count[long_enough]
        squares.append(count[long_enough][1:] * np.square(np.diff(mean)) / 2)
    lines = np.concatenate(squares)
    return float(lines.mean() / variance) if len(lines) >= SHORTEST_LINE and variance > 0 else 0.0
