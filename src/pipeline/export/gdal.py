"""Settings that all files written by GDAL share: the profile, and errors in one line.

GDAL's side files are switched off, since all that they hold is in the files themselves.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from pipeline.errors import InputError
from pipeline.export.layer import Layer

CACHE = 64 * 2**20  # bytes of GDAL's own cache of blocks


@contextmanager
def gdal(path: Path) -> Iterator[None]:
    """Set GDAL's options while it writes `path`, and turn its failure into one line."""
    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO", GDAL_CACHEMAX=CACHE), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            yield
    except (RasterioError, CPLE_BaseError, SystemError) as error:  # the last where GDAL gives no reason
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"{path}: could not be written ({reason}); is the disk full?") from None


def profile(layer: Layer) -> dict[str, Any]:
    """Return size, type, no-data and place of a layer, as rasterio takes them."""
    bands, height, width = layer.shape
    place = layer.metadata.transform
    return {
        "count": bands,
        "height": height,
        "width": width,
        "dtype": layer.dtype,
        "nodata": layer.nodata,
        "crs": layer.metadata.crs,
        "transform": None if place is None else Affine(*place),
    }
