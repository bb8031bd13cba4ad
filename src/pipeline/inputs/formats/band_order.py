"""Bands by increasing wavelength, with one detector for each wavelength.

Sensors of two detectors store one after the other, often from long to short, and both cover the
wavelengths where they meet (EnMAP 902 to 993 nm, PRISMA 920 to 1010 nm). No file is read here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 10  # bands of a detector; multispectral bands may overlap as they like

OVERLAP = "beyond the middle of the overlap of two detectors"
REPEATED = "of the same wavelength as another band"


def by_wavelength(
    bands: list[int], wavelength: NDArray[np.float64] | None, detector: NDArray[np.str_] | None
) -> tuple[list[int], dict[str, list[int]]]:
    """Order bands by strictly increasing wavelength, and leave out bands that would break the order.

    Where the ranges of two detectors overlap, the cut is at the middle of the overlap: the detector of
    shorter wavelengths keeps its bands up to there, the other its bands beyond. Without detectors, a file
    that turns back in wavelength is taken to begin another detector there. Bands without wavelengths, and
    increasing bands of a file without detectors, stay as they are.

    Parameters
    ----------
    bands : list of int
        0-based numbers of bands of a file.
    wavelength : (C,) or None
        Centres in nm of all bands of the file.
    detector : (C,) or None
        Detectors of all bands of the file.

    Returns
    -------
    bands : list of int
        The bands that are kept, in order.
    left_out : dict
        Bands left out, by reason.
    """
    if wavelength is None:
        return bands, {}
    nm = wavelength[bands]
    if detector is None and (np.diff(nm) > 0).all():
        return bands, {}
    overlapping = _beyond_the_cut(nm, _stretches(nm) if detector is None else detector[bands])
    order = np.argsort(nm, kind="stable")
    order = order[~overlapping[order]]
    repeated = np.diff(nm[order], prepend=-np.inf) == 0
    left_out = {OVERLAP: np.flatnonzero(overlapping), REPEATED: order[repeated]}
    of_file = np.array(bands)
    return (
        of_file[order[~repeated]].tolist(),
        {reason: sorted(of_file[where].tolist()) for reason, where in left_out.items() if where.size},
    )


def _beyond_the_cut(nm: NDArray[np.float64], group: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where bands lie on another detector's side of an overlap's middle."""
    beyond = np.zeros(nm.size, bool)
    members = [group == name for name in np.unique(group)]
    large = sorted(
        (member for member in members if member.sum() >= FEWEST), key=lambda m: float(np.median(nm[m]))
    )
    for short, long in pairwise(large):
        first, last = nm[long].min(), nm[short].max()
        if first <= last and nm[short].min() < first and last < nm[long].max():
            cut = (first + last) / 2
            beyond |= (short & (nm > cut)) | (long & (nm <= cut))
    return beyond


def _stretches(nm: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the number of each band's stretch; a new one begins where the file turns back."""
    direction = np.sign(np.diff(nm))
    turns = direction != np.sign(np.median(direction))
    return np.concatenate([[0], np.cumsum(turns)])
