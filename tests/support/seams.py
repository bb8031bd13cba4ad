"""How much tile borders stand out in a fused cube, for the tests of tiled methods."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def seam_ratio(cube: NDArray[np.floating], core: int, like: NDArray[np.floating] | None = None) -> float:
    """RMS of second differences across tile borders over that inside tiles.

    Parameters
    ----------
    cube : (C, H, W)
    core : int
        Side of the tiles, of which the first begins at the first pixel.
    like : (C, H, W), optional
        The same product made without tiles. What lies at the borders by chance, and how an interpolated
        image bends between LR pixels, makes its ratio differ from 1 too (0.5 to 1.1 on small scenes);
        divided by it, the ratio tells what the tiles do.

    Returns
    -------
    float
        1 where nothing distinguishes the borders.
    """
    across, inside = [], []
    for axis in (1, 2):
        power = np.square(np.diff(np.moveaxis(cube, axis, 0), 2, axis=0), dtype=np.float64)
        power = np.nanmean(power.reshape(len(power), -1), axis=1)
        over_line = power[:-1] + power[1:]  # the two second differences that reach over a line
        at_border = np.arange(2, len(over_line) + 2) % core == 0
        across.append(over_line[at_border])
        inside.append(over_line[~at_border])
    ratio = float(np.sqrt(np.concatenate(across).mean() / np.concatenate(inside).mean()))
    return ratio if like is None else ratio / seam_ratio(like, core)
