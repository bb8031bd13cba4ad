"""ENVI files: band-sequential values in `X.bsq`, their description in `X.hdr`.

GDAL writes the header, with the map information in ENVI's terms. The values are written directly: GDAL's
blocks are whole rows of one band, which do not suit the blocks of a cube.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rasterio

from pipeline.export.gdal import gdal, profile
from pipeline.export.layer import Layer, Tally


def write_envi(path: Path, layer: Layer) -> Tally:
    """Write a layer as an ENVI file and its header.

    Parameters
    ----------
    path : Path
        The file of values, `X.bsq`; the header is `X.hdr` beside it.
    layer : Layer
        The layer.

    Returns
    -------
    Tally
        Range of the values, and number of clipped values.
    """
    with gdal(path), rasterio.open(path, "w", driver="ENVI", **profile(layer)) as file:
        for number, name in enumerate(layer.names, start=1):
            file.set_band_description(number, name)
        file.update_tags(ns="ENVI", **_header(layer))
    header = path.with_suffix(".hdr")
    text = header.read_text()
    header.write_text(text.replace(f"{{\n{path}}}", f"{{\n{path.name}}}"))  # not where it was made
    return _write_values(path, layer)


def _write_values(path: Path, layer: Layer) -> Tally:
    tally = Tally()
    _, height, width = layer.shape
    size = np.dtype(layer.dtype).itemsize
    with path.open("wb") as file:
        for window, values in layer.blocks(tally):
            for band, image in enumerate(values):
                for row, line in enumerate(image, start=window.y0):
                    file.seek(size * ((band * height + row) * width + window.x0))
                    file.write(line.tobytes())
    return tally


def _header(layer: Layer) -> dict[str, str]:
    """Return the fields that GDAL does not write by itself; blanks of the keys are underscores here."""
    meta = layer.metadata
    header = {"bbl": _listed([1] * layer.shape[0])}
    if meta.wavelength is not None:
        header |= {"wavelength": _listed(meta.wavelength.tolist()), "wavelength_units": "Nanometers"}
    if meta.fwhm is not None:
        header["fwhm"] = _listed(meta.fwhm.tolist())
    if meta.units is not None:
        header["data_units"] = meta.units
    return header


def _listed(numbers: Iterable[float]) -> str:
    return "{" + ", ".join(map(repr, numbers)) + "}"
