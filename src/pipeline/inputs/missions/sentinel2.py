"""Sentinel-2 L2A and L1C: a SAFE folder, or loose band files in a folder.

Layout and elements follow the Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD, 14 and 15):
reflectance is (number + offset) / quantification value, the offset being there from baseline 04.00 on. Zero
is no data and 65535 saturated. Loose bands have no metadata: their numbers are converted where the name of a
folder tells the baseline.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from pipeline.core.sensing.sensors import multispectral_bands, multispectral_sensors
from pipeline.errors import InputError
from pipeline.inputs.formats.band_stack import BandFile, stacked_image
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.missions import Bands
from pipeline.inputs.missions.band_files import chosen, metadata_file
from pipeline.inputs.missions.metadata import as_number, read_xml
from pipeline.inputs.product_names import sentinel2_baseline, sentinel2_numbers, sentinel2_satellite

PRODUCT = "Sentinel-2 L2A, L1C"
BAND = re.compile(
    r"(?P<scene>(L2A_)?T\d\d[A-Z]{3}_\d{8}T\d{6})_(?P<band>B\d[\dA])(_(?P<gsd>\d\d)m)?\.(jp2|tiff?)",
    re.IGNORECASE,
)
METADATA = ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml")
USUAL = ["B02", "B03", "B04", "B08"]
NATIVE = {10: USUAL, 20: ["B05", "B06", "B07", "B8A", "B11", "B12"], 60: ["B01", "B09", "B10"]}
NODATA, SATURATED = 0, 65535

Grids = dict[int, dict[str, Path]]


def matches(path: Path) -> bool:
    """Return whether a path is a SAFE folder, or a folder of band files with names of the agency."""
    if not path.is_dir():
        return False
    names = {file.name for file in path.iterdir()}
    return (
        path.suffix == ".SAFE"
        or any(name in names for name in METADATA)
        or any(BAND.fullmatch(name) for name in names)
    )


def open_image(path: Path, bands: Bands) -> StoredImage:
    """Open the bands of 10 m, or the bands that `bands` names at the finest GSD that all are stored at."""
    files_of = _chosen(path, bands)
    if not _is_product(path):
        table = multispectral_bands(_sensor(path))
        loose = [
            BandFile(name=name, path=file, wavelength=table[_short(name)][0], fwhm=table[_short(name)][1])
            for name, file in files_of.items()
        ]
        return _without_metadata(stacked_image(loose, nodata=[NODATA, SATURATED]), path)
    metadata = metadata_file(path, METADATA)
    root = read_xml(metadata)
    calibrated = [_band(metadata, root, name, file) for name, file in files_of.items()]
    surface = metadata.name.lower() == METADATA[0].lower()
    units = "reflectance" if surface else "reflectance at the top of the atmosphere"
    return stacked_image(calibrated, units=units, nodata=[NODATA, SATURATED])


def _sensor(path: Path) -> str:
    """Return the sensor whose bands loose files are taken to be: the satellite's in their name, else 2A's."""
    sensor = f"sentinel2{(sentinel2_satellite(path) or 'A').lower()}"
    return sensor if sensor in multispectral_sensors() else "sentinel2a"


def _without_metadata(image: StoredImage, path: Path) -> StoredImage:
    """Return loose bands with the calibration that a folder's name tells, else as they are stored."""
    baseline = sentinel2_baseline(path)
    table = (
        f"no metadata beside the bands: centres and widths are those of Sentinel-2{_sensor(path)[-1].upper()}"
    )
    if baseline is not None:
        image = sentinel2_numbers(image, baseline)
        return replace(image, assumed=(*image.assumed, table))
    numbers = (
        "numbers are not converted, as no name tells the processing baseline: from 04.00 on, numbers are "
        "reflectance x 10000 + 1000 (`offset: -1000`, `scale: 10000`)"
    )
    return replace(image, assumed=(*image.assumed, table, numbers))


def files(path: Path, bands: Bands) -> list[Path]:
    """Return the band files that are read, and the metadata if there are."""
    metadata = [metadata_file(path, METADATA)] if _is_product(path) else []
    return [*_chosen(path, bands).values(), *metadata]


def _is_product(path: Path) -> bool:
    return path.suffix == ".SAFE" or any((path / name).exists() for name in METADATA)


def _chosen(path: Path, names: Bands) -> dict[str, Path]:
    """Return the wanted bands and their files."""
    grids = _grids(path)
    wanted = names or USUAL
    common = [gsd for gsd, bands in sorted(grids.items()) if set(wanted) <= set(bands)]
    if common:
        bands = grids[common[0]]
        return {name: bands[name] for name in chosen(path, wanted, bands)}
    chosen(path, wanted, {name: file for bands in grids.values() for name, file in bands.items()})
    listing = "; ".join(f"{gsd} m: {', '.join(bands)}" for gsd, bands in sorted(grids.items()))
    raise InputError(
        f"{path}: bands {', '.join(wanted)} are not stored at a common pixel size; choose `bands` of one "
        f"size ({listing})"
    )


def _grids(path: Path) -> Grids:
    """Return the files by pixel size and band."""
    where = path.glob("GRANULE/*/IMG_DATA/**/*") if _is_product(path) else path.iterdir()
    matches = [(match, file) for file in sorted(where) if (match := BAND.fullmatch(file.name))]
    if not matches:
        raise InputError(f"{path}: has no band files in GRANULE/*/IMG_DATA; fetch the product again")
    tiles = sorted({match["scene"] for match, _ in matches})
    if len(tiles) > 1:
        raise InputError(
            f"{path}: holds bands of {len(tiles)} tiles, {', '.join(tiles[:2])} among them; "
            "give one tile at a time"
        )
    grids: Grids = {}
    for match, file in matches:
        name = match["band"].upper()
        gsd = int(match["gsd"] or next(gsd for gsd, bands in NATIVE.items() if name in bands))
        grids.setdefault(gsd, {})[name] = file
    return grids


def _band(metadata: Path, root: Element, name: str, file: Path) -> BandFile:
    """Return a band with its calibration and wavelengths from the product's metadata."""
    spectral = root.find(f".//{{*}}Spectral_Information[@physicalBand='{_short(name)}']")
    if spectral is None:
        raise InputError(f"{metadata}: has no Spectral_Information of {name}; fetch the product again")
    quantification, offset = "QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET"
    if metadata.name.lower() == METADATA[0].lower():
        quantification, offset = "BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET"
    divisor = as_number(metadata, quantification, root.findtext(f".//{{*}}{quantification}"))
    added = root.findtext(f".//{{*}}{offset}[@band_id='{spectral.get('bandId')}']") or "0"
    return BandFile(
        name=name,
        path=file,
        gain=1 / divisor,
        offset=as_number(metadata, offset, added) / divisor,
        wavelength=as_number(metadata, f"CENTRAL of {name}", spectral.findtext(".//{*}CENTRAL")),
        fwhm=_width(metadata, name, spectral),
    )


def _width(metadata: Path, name: str, band: Element) -> float:
    """Return the full width at half maximum of the response in the metadata, or else the width it spans."""
    ends = [
        as_number(metadata, f"{end} of {name}", band.findtext(f".//{{*}}{end}")) for end in ("MIN", "MAX")
    ]
    response = np.array((band.findtext(".//{*}VALUES") or "").split(), np.float64)
    if response.size == 0:
        return ends[1] - ends[0]
    step = as_number(metadata, f"STEP of {name}", band.findtext(".//{*}STEP"))
    high = np.flatnonzero(response >= response.max() / 2)
    return step * float(high[-1] - high[0] + 1)


def _short(name: str) -> str:
    """Return a name as the metadata writes it: B2 for B02."""
    return name.replace("B0", "B")
