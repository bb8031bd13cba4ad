"""Cubes as pictures: composites on a common stretch, error maps on a common scale.

Arrays in, 8-bit RGBA or float maps out; no-data (NaN) becomes transparent. Nothing is plotted here.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.floating[Any]]
Pixels = NDArray[np.uint8]
Wavelengths = NDArray[np.float64] | None

MAX_SIDE = 512
"""Longest side of a picture; larger images are averaged down."""
COLOUR_MAP = "inferno"
GAMMA = 0.5
"""Error maps show the square root, so that small errors can be told apart beside large ones."""
TOLERANCE = 60.0
"""A band stands for a wavelength if it lies no further away, in nm."""
ROWS = 64
"""Image rows handled at once, so that a large cube is never copied whole."""


@dataclass(frozen=True)
class Composite:
    """Three bands shown as red, green and blue."""

    name: str
    wavelengths: tuple[float, float, float] | None
    bands: tuple[int, int, int]


def composites(wavelength: Wavelengths, bands: int) -> list[Composite]:
    """The composites that a cube allows: true colour and colour infrared, else false colour.

    >>> [c.name for c in composites(np.arange(400.0, 1000, 10), 60)]
    ['True colour', 'Colour infrared']
    >>> composites(None, 9)[0].bands
    (7, 4, 1)
    """
    found = []
    if wavelength is not None:
        for name, wanted in (
            ("True colour", (650.0, 550.0, 450.0)),
            ("Colour infrared", (860.0, 650.0, 550.0)),
        ):
            chosen = nearest_bands(wavelength, wanted)
            if chosen is not None:
                found.append(Composite(name, wanted, chosen))
    spread = (bands * 5 // 6, bands // 2, bands // 6)
    return found or [Composite("False colour", None, spread)]


def nearest_bands(
    centres: Floats, wanted: tuple[float, float, float], tolerance: float = TOLERANCE
) -> tuple[int, int, int] | None:
    """The bands nearest to three wavelengths in nm, or nothing if one is further than `tolerance` away."""
    red, green, blue = (int(np.argmin(np.abs(centres - target))) for target in wanted)
    gap = max(abs(centres[band] - target) for band, target in zip((red, green, blue), wanted, strict=True))
    return (red, green, blue) if gap <= tolerance else None


def band_axis(wavelength: Wavelengths, bands: int) -> NDArray[np.float64]:
    """Where the HSI's bands stand on an axis: at their wavelengths, else at their numbers."""
    return np.arange(1.0, bands + 1) if wavelength is None else wavelength


def band_names(wavelength: Wavelengths, bands: int) -> list[str]:
    """What the HSI's bands are called in a sentence."""
    if wavelength is None:
        return [f"band {n}" for n in range(1, bands + 1)]
    return [f"{value:.0f} nm" for value in wavelength]


def msi_centres(response: Floats, wavelength: Wavelengths) -> NDArray[np.float64]:
    """Where the MSI's bands stand on the HSI's axis: the means of R's rows ``(c, C)``."""
    weight = np.abs(response)
    centres: NDArray[np.float64] = weight @ band_axis(wavelength, response.shape[1]) / weight.sum(axis=1)
    return centres


def msi_planes(
    hr_msi: Floats, response: Floats, wavelength: Wavelengths, composite: Composite
) -> Floats | None:
    """The HR-MSI's bands that correspond to a composite of the HSI, on the HSI's scale.

    Each MSI band is divided by the sum of its row of R, which turns it into a weighted mean of HSI bands.

    Parameters
    ----------
    hr_msi : (c, H, W)
    response : (c, C)
        R.
    wavelength : (C,) or None
        In nm; without it, band numbers take its place.
    composite : Composite

    Returns
    -------
    (3, H, W) or None
        None if the MSI has no band near one of the composite's wavelengths.
    """
    centres = msi_centres(response, wavelength)
    if composite.wavelengths is None:
        axis = band_axis(wavelength, response.shape[1])
        red, green, blue = composite.bands
        bands = nearest_bands(centres, (axis[red], axis[green], axis[blue]), np.inf)
    else:
        bands = nearest_bands(centres, composite.wavelengths)
    if bands is None:
        return None
    chosen = list(bands)
    planes: Floats = hr_msi[chosen] / response[chosen].sum(axis=1)[:, None, None]
    return planes


def stretch(planes: Floats) -> NDArray[np.float64]:
    """2nd and 98th percentile of each of three planes: ``(3, 2)``, black and white."""
    flat = planes.reshape(3, -1)
    valid = np.isfinite(flat).all(axis=0)
    if not valid.any():
        return np.tile([0.0, 1.0], (3, 1))
    limits = np.percentile(flat[:, valid].astype(np.float64), (2, 98), axis=1).T
    return np.stack([limits[:, 0], np.maximum(limits[:, 1], limits[:, 0] + 1e-12)], axis=1)


def colour_picture(planes: Floats, limits: Floats) -> Pixels:
    """Three planes as ``(H, W, 4)`` on a given stretch; pixels with no-data are transparent."""
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    scaled = np.moveaxis(np.clip((planes - low) / (high - low), 0, 1), 0, -1)
    return with_alpha(scaled, np.asarray(np.isfinite(planes).all(axis=0)))


def map_picture(values: Floats, upper: float) -> Pixels:
    """A map as ``(H, W, 4)`` in the report's colour map, from 0 to `upper`; no-data is transparent."""
    valid = np.isfinite(values)
    scaled = np.clip(np.where(valid, values, 0) / upper, 0, 1) ** GAMMA
    return with_alpha(matplotlib.colormaps[COLOUR_MAP](scaled)[..., :3], valid)


def with_alpha(colours: Floats, valid: NDArray[np.bool_]) -> Pixels:
    """Colours ``(H, W, 3)`` from 0 to 1 as 8-bit RGBA, transparent where not valid."""
    picture = np.zeros((*valid.shape, 4), np.uint8)
    picture[..., :3] = np.rint(255 * np.where(valid[..., None], colours, 0)).astype(np.uint8)
    picture[..., 3] = np.where(valid, 255, 0)
    return picture


def common_upper(maps: list[Floats]) -> float:
    """Upper end of one colour scale for several maps: the 98th percentile of the one that needs most."""
    ends = [np.nanpercentile(values, 98) for values in maps if np.isfinite(values).any()]
    return max((float(end) for end in ends if end > 0), default=1.0)


def rms_error_map(reference: Floats, cube: Floats) -> NDArray[np.float32]:
    """Root mean square error over the bands of each pixel: ``(H, W)`` in the scene's values."""
    result = np.empty(reference.shape[1:], np.float32)
    for rows in _row_blocks(reference):
        result[rows] = np.sqrt(((cube[:, rows].astype(np.float64) - reference[:, rows]) ** 2).mean(axis=0))
    return result


def sam_map(reference: Floats, cube: Floats) -> NDArray[np.float32]:
    """Spectral angle of each pixel: ``(H, W)`` in degrees, NaN where a spectrum has no direction."""
    result = np.empty(reference.shape[1:], np.float32)
    for rows in _row_blocks(reference):
        a, b = reference[:, rows].astype(np.float64), cube[:, rows].astype(np.float64)
        norms = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        cosine = (a * b).sum(axis=0) / np.where(norms > 0, norms, np.nan)
        result[rows] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return result


def _row_blocks(cube: Floats) -> list[slice]:
    return [slice(start, start + ROWS) for start in range(0, cube.shape[1], ROWS)]


def reduction(height: int, width: int, max_side: int = MAX_SIDE) -> int:
    """Side of the square of pixels that one picture pixel stands for; 1 unless a side is too long.

    >>> reduction(512, 300), reduction(4096, 700)
    (1, 8)
    """
    return -(-max(height, width) // max_side)


def reduction_in_words(height: int, width: int) -> str:
    """What a picture pixel stands for, where the picture is smaller than the image."""
    step = reduction(height, width)
    return f"1 picture pixel = {step} × {step} pixels" if step > 1 else ""  # noqa: RUF001


def shrink(planes: Floats, step: int) -> Floats:
    """Planes ``(..., H, W)`` averaged over squares of `step` pixels; those at the far borders may be smaller.

    Squares that hold no valid pixel stay NaN.
    """
    if step == 1:
        return planes
    height, width = planes.shape[-2:]
    pad = [(0, 0)] * (planes.ndim - 2) + [(0, -height % step), (0, -width % step)]
    padded = np.pad(planes.astype(np.float32), pad, constant_values=np.nan)
    rows, columns = padded.shape[-2] // step, padded.shape[-1] // step
    blocks = padded.reshape(*planes.shape[:-2], rows, step, columns, step)
    count = np.isfinite(blocks).sum(axis=(-3, -1))
    mean: Floats = np.where(
        count > 0, np.nansum(blocks, axis=(-3, -1)) / np.maximum(count, 1), np.nan
    ).astype(np.float32)
    return mean


def png_uri(picture: Pixels) -> str:
    """An RGBA picture as a `data:` address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
