"""The parts of an image in which a map is high: its borders, one side, the scene's contours, or none.

The RMS of parts of the map is compared. This helps to find causes; it is no statistical test.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.report.drawing.pictures import Floats

MARKED = 1.25
"""Ratio of a part's RMS to its counterpart's RMS above which the part is named."""
BORDER = 20
"""The border is the outermost of this many parts of a side."""
STEEP = 0.9
"""Quantile of the gradient beyond which a pixel lies on a contour."""
Contours = NDArray[np.bool_]


def contours(planes: Floats) -> Contours | None:
    """Mark the tenth of an image's pixels with the steepest gradients ``(h, w)``; None without gradients.

    Parameters
    ----------
    planes : (k, h, w)
        Bands, whose gradients are divided by their standard deviations.
    """
    spread = [float(np.nanstd(plane)) if np.isfinite(plane).any() else 0.0 for plane in planes]
    chosen = [plane / s for plane, s in zip(planes, spread, strict=True) if s > 0]
    if not chosen or min(planes.shape[-2:]) < 2:
        return None
    steepness = sum(np.square(part) for plane in chosen for part in np.gradient(plane.astype(np.float64)))
    if not np.isfinite(steepness).any():
        return None
    steep: Contours = steepness > np.nanquantile(steepness, STEEP)
    return steep if steep.any() else None


def places(values: Floats, steep: Contours | None) -> str:
    """Say where a map is high.

    Parameters
    ----------
    values : (h, w)
        The map.
    steep : (h, w) of bool, or None
        Contours of the scene.

    >>> values = np.ones((30, 30))
    >>> values[:10] = 3
    >>> places(values, None), places(np.ones((30, 30)), None)
    ('strongest in the upper third', 'evenly over the image')
    """
    parts = [f"in the {side} third" for side in _strong_side(values)]
    inside = np.zeros(values.shape, bool)
    y, x = (max(1, side // BORDER) for side in values.shape)
    inside[y:-y, x:-x] = True
    if not parts and _ratio(values[~inside], values[inside]) > MARKED:
        parts.append("at the borders")
    if steep is not None and _ratio(values[steep], values[~steep]) > MARKED:
        parts.append("along contours of the scene")
    return f"strongest {' and '.join(parts)}" if parts else "evenly over the image"


def _strong_side(values: Floats) -> list[str]:
    """Return the third of the image that stands out most against the opposite third."""
    height, width = (side // 3 for side in values.shape)
    if not height or not width:
        return []
    thirds = {
        "upper": (values[:height], values[-height:]),
        "lower": (values[-height:], values[:height]),
        "left": (values[:, :width], values[:, -width:]),
        "right": (values[:, -width:], values[:, :width]),
    }
    ratios = {name: _ratio(*parts) for name, parts in thirds.items()}
    strongest = max(ratios, key=lambda name: ratios[name])
    return [strongest] if ratios[strongest] > MARKED else []


def _ratio(part: Floats, other: Floats) -> float:
    """Divide the RMS of a part by that of another; 0 where either holds no data."""
    rms = [float(np.sqrt(np.nanmean(np.square(p)))) if np.isfinite(p).any() else 0.0 for p in (part, other)]
    return rms[0] / rms[1] if rms[1] > 0 else 0.0
