"""Cubes as pictures: composites on a common stretch, error maps on a common scale.

Functions turn arrays into 8-bit RGBA or float maps; no-data (NaN) becomes transparent.
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
"""Error maps show the square root, so that small errors can be distinguished beside large ones."""
TOLERANCE = 60.0
"""Largest distance in nm between a band and the wavelength that it represents."""
ROWS = 64
"""Image rows processed at once, so that a large cube is never copied whole."""


@dataclass(frozen=True)
class Composite:
    """Three bands shown as red, green and blue.

    Attributes
    ----------
    name : str
        Such as true colour.
    wavelengths : (float, float, float) or None
        Wanted wavelengths in nm; None if the wavelengths of the bands are unknown.
    bands : (int, int, int)
        Indices of the HSI's bands.
    """

    name: str
    wavelengths: tuple[float, float, float] | None
    bands: tuple[int, int, int]


def composites(wavelength: Wavelengths, bands: int) -> list[Composite]:
    """Choose the composites that a cube allows: true colour and colour infrared, else false colour.

    Parameters
    ----------
    wavelength : (C,) or None
        Band centres in nm.
    bands : int
        Number of bands.

    >>> [c.name for c in composites(np.arange(400.0, 1000, 10), 60)]
    ['True colour', 'Colour infrared']
    >>> composites(None, 9)[0].bands
    (7, 4, 1)
    """
    chosen = []
    if wavelength is not None:
        for name, wanted in (
            ("True colour", (650.0, 550.0, 450.0)),
            ("Colour infrared", (860.0, 650.0, 550.0)),
        ):
            nearest = nearest_bands(wavelength, wanted)
            if nearest is not None:
                chosen.append(Composite(name, wanted, nearest))
    spread = (bands * 5 // 6, bands // 2, bands // 6)
    return chosen or [Composite("False colour", None, spread)]


def nearest_bands(
    centres: Floats, wanted: tuple[float, float, float], tolerance: float = TOLERANCE
) -> tuple[int, int, int] | None:
    """Return the bands nearest to three wavelengths, or None if one is further away than `tolerance`.

    Parameters
    ----------
    centres : (n,)
        Band centres in nm.
    wanted : (float, float, float)
        Wavelengths in nm.
    tolerance : float
        In nm.
    """
    red, green, blue = (int(np.argmin(np.abs(centres - target))) for target in wanted)
    gap = max(abs(centres[band] - target) for band, target in zip((red, green, blue), wanted, strict=True))
    return (red, green, blue) if gap <= tolerance else None


def band_axis(wavelength: Wavelengths, bands: int) -> NDArray[np.float64]:
    """Return the positions of the HSI's bands on an axis: their wavelengths, else their numbers.

    Parameters
    ----------
    wavelength : (C,) or None
        Band centres in nm.
    bands : int
        Number of bands.
    """
    return np.arange(1.0, bands + 1) if wavelength is None else wavelength


def band_names(wavelength: Wavelengths, bands: int) -> list[str]:
    """Return the names of the HSI's bands in a sentence.

    Parameters
    ----------
    wavelength : (C,) or None
        Band centres in nm.
    bands : int
        Number of bands.
    """
    if wavelength is None:
        return [f"band {n}" for n in range(1, bands + 1)]
    return [f"{value:.0f} nm" for value in wavelength]


def msi_centres(response: Floats, wavelength: Wavelengths) -> NDArray[np.float64]:
    """Return the MSI's band centres on the HSI's axis: the centroids of the rows of R ``(c, C)``.

    Parameters
    ----------
    response : (c, C)
        R.
    wavelength : (C,) or None
        Band centres in nm.
    """
    weight = np.abs(response)
    centres: NDArray[np.float64] = weight @ band_axis(wavelength, response.shape[1]) / weight.sum(axis=1)
    return centres


def msi_planes(
    hr_msi: Floats, response: Floats, wavelength: Wavelengths, composite: Composite
) -> Floats | None:
    """Return the HR-MSI's bands that correspond to a composite of the HSI, on the HSI's scale.

    Each MSI band is divided by the sum of its row of R, which turns it into a weighted mean of HSI bands.

    Parameters
    ----------
    hr_msi : (c, H, W)
        All bands.
    response : (c, C)
        R.
    wavelength : (C,) or None
        Band centres in nm; band numbers are used in place of unknown ones.
    composite : Composite
        Bands of the HSI.

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
    """Return the 2nd and 98th percentile of each of three planes: ``(3, 2)``, black and white.

    Parameters
    ----------
    planes : (3, H, W)
        Red, green and blue.
    """
    flat = planes.reshape(3, -1)
    valid = np.isfinite(flat).all(axis=0)
    if not valid.any():
        return np.tile([0.0, 1.0], (3, 1))
    limits = np.percentile(flat[:, valid].astype(np.float64), (2, 98), axis=1).T
    return np.stack([limits[:, 0], np.maximum(limits[:, 1], limits[:, 0] + 1e-12)], axis=1)


def colour_picture(planes: Floats, limits: Floats) -> Pixels:
    """Colour three planes on a given stretch; pixels with no-data are transparent.

    Parameters
    ----------
    planes : (3, H, W)
        Red, green and blue.
    limits : (3, 2)
        Values shown as black and white, as `stretch` returns them.
    """
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    scaled = np.moveaxis(np.clip((planes - low) / (high - low), 0, 1), 0, -1)
    return with_alpha(scaled, np.asarray(np.isfinite(planes).all(axis=0)))


def map_picture(values: Floats, upper: float) -> Pixels:
    """Colour a map from 0 to `upper`; no-data is transparent.

    Parameters
    ----------
    values : (H, W)
        The map.
    upper : float
        Upper end of the scale; larger values share the last colour.
    """
    valid = np.isfinite(values)
    scaled = np.clip(np.where(valid, values, 0) / upper, 0, 1) ** GAMMA
    return with_alpha(matplotlib.colormaps[COLOUR_MAP](scaled)[..., :3], valid)


def with_alpha(colours: Floats, valid: NDArray[np.bool_]) -> Pixels:
    """Convert colours ``(H, W, 3)`` from 0 to 1 to 8-bit RGBA, transparent where not valid.

    Parameters
    ----------
    colours : (H, W, 3)
        Red, green and blue from 0 to 1.
    valid : (H, W) of bool
        Pixels with data.
    """
    picture = np.zeros((*valid.shape, 4), np.uint8)
    picture[..., :3] = np.rint(255 * np.where(valid[..., None], colours, 0)).astype(np.uint8)
    picture[..., 3] = np.where(valid, 255, 0)
    return picture


def common_upper(maps: list[Floats]) -> float:
    """Return the upper end of one colour scale for several maps: the largest of their 98th percentiles.

    Parameters
    ----------
    maps : list of (H, W)
        Maps of any sizes.
    """
    ends = [np.nanpercentile(values, 98) for values in maps if np.isfinite(values).any()]
    return max((float(end) for end in ends if end > 0), default=1.0)


def rms_error_map(reference: Floats, cube: Floats) -> NDArray[np.float32]:
    """Compute the RMS error over the bands at each pixel: ``(H, W)`` in the scene's values.

    Parameters
    ----------
    reference, cube : (C, H, W)
        The two cubes.
    """
    result = np.empty(reference.shape[1:], np.float32)
    for rows in _row_blocks(reference):
        result[rows] = np.sqrt(((cube[:, rows].astype(np.float64) - reference[:, rows]) ** 2).mean(axis=0))
    return result


def sam_map(reference: Floats, cube: Floats) -> NDArray[np.float32]:
    """Compute the spectral angle at each pixel: ``(H, W)`` in degrees, NaN where a spectrum is zero.

    Parameters
    ----------
    reference, cube : (C, H, W)
        The two cubes.
    """
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
    """Return the side of the square of pixels that a picture pixel stands for; 1 unless a side is too long.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels.
    max_side : int
        Longest side of a picture.

    >>> reduction(512, 300), reduction(4096, 700)
    (1, 8)
    """
    return -(-max(height, width) // max_side)


def reduction_in_words(height: int, width: int) -> str:
    """Say how many pixels a picture pixel stands for, where the picture is smaller than the image.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels.
    """
    step = reduction(height, width)
    return f"1 picture pixel = {step} × {step} pixels" if step > 1 else ""  # noqa: RUF001


def shrink(planes: Floats, step: int) -> Floats:
    """Average planes ``(..., H, W)`` over squares of `step` pixels, which may be smaller at the far borders.

    Squares that hold no valid pixel stay NaN.

    Parameters
    ----------
    planes : (..., H, W)
        Images of one size.
    step : int
        Side of the squares in pixels.
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
    """Encode an RGBA picture as a `data:` address.

    Parameters
    ----------
    picture : (h, w, 4)
        8-bit RGBA.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
