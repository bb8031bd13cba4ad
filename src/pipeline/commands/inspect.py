"""`pipeline inspect`: describe image files, and how the grids of two of them nest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS

from pipeline.config.scenes import FileSource, Pair
from pipeline.core.estimation.agreement import Suspicion, suspicious_values
from pipeline.core.scene import Metadata
from pipeline.core.sensing.sensors import Recognised, recognised
from pipeline.core.window import Window
from pipeline.inputs.file_scene import FileScene, open_file
from pipeline.inputs.formats.arrays import is_array_file
from pipeline.inputs.formats.raster import open_raster
from pipeline.inputs.pairs.grids import Nesting
from pipeline.inputs.pairs.msi_response import labels_of
from pipeline.inputs.pairs.pair import OpenPair, on_nested_grids
from pipeline.inputs.source import locate
from pipeline.settings.validation import parse

SAMPLE = 128  # pixels, side of the window in the middle of the scene, whose values are described
LARGEST_REFLECTANCE = 10.0  # values beyond it are in other units, or scaled
LARGEST_SCALED = 20_000.0  # of reflectance times 10000
MOST_NAMES = 20  # of bands, in one line
ARRAYS = {".mat": "MATLAB", ".npz": "NumPy", ".npy": "NumPy"}
Line = tuple[str, str]


def source_of(text: str, settings: Mapping[str, Any] | None = None) -> FileSource:
    """Return the source of a path, or of `path::variable` for a file of several arrays.

    Parameters
    ----------
    text : str
        The argument as people write it.
    settings : mapping, optional
        Further keys of the source.

    Raises
    ------
    InputError
        A value does not suit its key.
    """
    path, _, variable = text.partition("::")
    named = {"variable": variable} if variable else {}
    return parse(FileSource, {"kind": "file", "path": path} | named | dict(settings or {}), path)


@dataclass(frozen=True)
class Inspected:
    """A file and a description of its content.

    Attributes
    ----------
    source : FileSource
        The file as an experiment would name it.
    scene : FileScene
        The opened file.
    values : (float, float) or None
        2 % and 98 % of the values in the middle of the scene; None where it holds none.
    suspicions : tuple of Suspicion
        Values that look like undeclared no-data or saturation.
    """

    source: FileSource
    scene: FileScene
    values: tuple[float, float] | None
    suspicions: tuple[Suspicion, ...] = ()

    @property
    def unit_unknown(self) -> bool:
        """Whether values are too large for reflectance and the file does not give their unit."""
        return (
            self.scene.metadata.units is None
            and self.values is not None
            and self.values[1] > LARGEST_REFLECTANCE
        )

    @property
    def guess(self) -> str:
        """A guess at values of an unknown unit."""
        assert self.values is not None
        return "reflectance x 10000" if self.values[1] <= LARGEST_SCALED else "scaled by some number"

    @property
    def recognised(self) -> Recognised | None:
        """The multispectral sensor whose centres the file has, without their widths."""
        place = self.scene.metadata
        return None if place.wavelength is None or place.fwhm is not None else recognised(place.wavelength)

    def lines(self) -> list[Line]:
        """Return label and text of each property of the file."""
        scene, place = self.scene, self.scene.metadata
        bands, height, width = scene.shape
        lines = [
            ("format", format_of(self.source)),
            ("size", f"{height} rows x {width} columns"),
            ("bands", f"{bands} of {scene.report['file_bands']}{_names(scene)}"),
            ("wavelengths", _spectral(place)),
            ("detectors", _detectors(place)),
            *_place(place),
            (
                "units",
                (place.units or "unknown") + (f", divided by {place.scale:g}" if place.scale != 1 else ""),
            ),
            ("values", self._values()),
            ("no data", _no_data(scene.report["nodata_share"])),
            *(("suspicious", text) for text in self.doubts()),
        ]
        if (sensor := self.recognised) is not None:
            lines.append(("sensor", sensor_text(sensor)))
        left_out = [
            ("left out", f"bands {_ranges(entry['bands'])} (0-based): {entry['reason']}")
            for entry in scene.report["left_out"]
        ]
        assumed = [("assumed", sentence) for sentence in scene.report["assumed"]]
        return lines + (left_out or [("left out", "no band")]) + assumed

    def doubts(self) -> list[str]:
        """Return a sentence on each value that looks like undeclared no-data or saturation."""
        return [suspicion.sentence(self.scene.report["scale"]) for suspicion in self.suspicions]

    def summary(self) -> str:
        """Return bands, wavelengths and pixels in one line."""
        place, (bands, height, width) = self.scene.metadata, self.scene.shape
        size = _pixel(place) if place.transform else "without a place"
        return f"{bands} bands, {_spectral(place)}, {height} x {width} pixels, {size}"

    def _values(self) -> str:
        if self.values is None:
            return "none in the middle of the scene"
        text = (
            f"{self.values[0]:.4g} to {self.values[1]:.4g} (2 and 98 % of those in the middle of the scene)"
        )
        return f"{text}; {self.guess}?" if self.unit_unknown else text


def _no_data(share: float) -> str:
    """Say how many of the values are missing, and what becomes of them."""
    return f"{100 * share:.2g} % of the values" + ("; they carry no weight in a fusion" if share else "")


def sensor_text(sensor: Recognised) -> str:
    """Return which known sensor the centres of an image fit, and the options that use its widths.

    Parameters
    ----------
    sensor : Recognised
        The sensor.
    """
    others = f", or {' or '.join(sensor.others[:3])}" if sensor.others else ""
    return (
        f"centres within {sensor.apart:.1f} nm of {sensor.sensor}{others}; is it? `--sensor {sensor.sensor} "
        "--bands "
        f"{','.join(sensor.bands)}` of `pipeline pair` uses its published bands"
    )


def inspect(source: FileSource) -> Inspected:
    """Open a file and describe it.

    Parameters
    ----------
    source : FileSource
        The file.

    Raises
    ------
    InputError
        The file cannot be used.
    """
    scene = open_file(source)
    (y0, y1), (x0, x1) = (
        (max(0, (side - SAMPLE) // 2), min(side, (side + SAMPLE) // 2)) for side in scene.shape[1:]
    )
    sample = scene.read(Window(y0, y1, x0, x1))
    valid = sample[np.isfinite(sample)]
    values = None if valid.size == 0 else np.percentile(valid, (2, 98)).tolist()
    suspicions = suspicious_values(scene.read, *scene.shape[1:])
    return Inspected(source, scene, values and (values[0], values[1]), tuple(suspicions))


def paired(hsi: Inspected, msi: Inspected, settings: Mapping[str, Any] | None = None) -> OpenPair:
    """Open two files as the images of a pair.

    Parameters
    ----------
    hsi, msi : Inspected
        The two files.
    settings : mapping, optional
        Further keys of the pair, as an experiment has them.

    Raises
    ------
    InputError
        They do not belong together.
    """
    pair = parse(Pair, {"hsi": hsi.source, "msi": msi.source} | dict(settings or {}), "pair")
    return on_nested_grids(hsi.scene, msi.scene, pair.ratio)


def pair_lines(images: OpenPair) -> list[Line]:
    """Return label and text of how the grids of two images lie on each other.

    Parameters
    ----------
    images : OpenPair
        The two images.

    Raises
    ------
    InputError
        They do not overlap.
    """
    nesting, ratio = images.nesting(), images.ratio
    y, x = (value * float(ratio) for value in nesting.shift)
    how = "the MSI is resampled onto the HSI's grid" if images.resampled else "the grids nest"
    outside = [("outside", text)] if (text := _outside(images)) else []
    exact = "" if ratio.denominator == 1 else f" = {float(ratio):.4g}"
    return [
        ("ratio", f"an LR pixel is {ratio}{exact} HR pixels wide; {how}"),
        ("in common", f"{common(nesting)} ({_share(nesting, images):.0f} % of the HSI)"),
        ("rest", f"{y:+.3f} rows, {x:+.3f} columns of HR pixels between their corners, taken up by the PSF"),
        *outside,
    ]


def _outside(images: OpenPair) -> str:
    """Return which bands of the MSI lie outside the HSI's range, or an empty text."""
    hsi, msi = images.hsi.metadata, images.msi.metadata
    if hsi.wavelength is None or msi.wavelength is None:
        return ""
    reach = (msi.fwhm if msi.fwhm is not None else np.zeros(msi.wavelength.size)) / 2
    beyond = (msi.wavelength + reach < hsi.wavelength.min()) | (msi.wavelength - reach > hsi.wavelength.max())
    labels = labels_of(images.msi)
    names = ", ".join(labels[band] for band in np.flatnonzero(beyond))
    return names and f"bands {names} of the MSI lie outside the HSI's range; leave them out by `drop_bands`"


def common(nesting: Nesting) -> str:
    """Return the size of the footprint that two images have in common, in LR and HR pixels."""
    (rows, columns), (height, width) = nesting.lr.shape, nesting.hr.shape
    return f"{rows} x {columns} LR pixels = {height} x {width} HR pixels"


def format_of(source: FileSource) -> str:
    """Return the name of a source's product or file format."""
    files = locate(source)
    paths, path = files.paths, files.paths[0]
    tiles = f"{len(paths)} tiles of " if len(paths) > 1 else ""
    if files.product is None and is_array_file(path):
        return "Zarr" if path.is_dir() else ARRAYS.get(path.suffix.lower(), "HDF5 or NetCDF")
    return tiles + (files.product or _driver(path))


def _driver(path: Path) -> str:
    with open_raster(path) as file:
        return str(file.driver)


def _names(scene: FileScene) -> str:
    names = scene.report["names"] or []
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f": {', '.join(names[:MOST_NAMES])}{more}" if names else ""


def _spectral(place: Metadata) -> str:
    if place.wavelength is None:
        return "no wavelengths"
    text = _range(place.wavelength)
    return f"{text} nm, " + ("FWHM not stated" if place.fwhm is None else f"FWHM {_range(place.fwhm)} nm")


def _detectors(place: Metadata) -> str:
    if place.detector is None:
        return "one, or unknown"
    names = list(dict.fromkeys(place.detector.tolist()))
    counts = [f"{name} {np.count_nonzero(place.detector == name)} bands" for name in names]
    if place.wavelength is None:
        return ", ".join(counts)
    return ", ".join(
        f"{text} {_range(place.wavelength[place.detector == name])} nm"
        for name, text in zip(names, counts, strict=True)
    )


def _place(place: Metadata) -> list[Line]:
    if place.crs is None or place.transform is None:
        return [("CRS", "none: its place on Earth is not known")]
    crs = CRS.from_user_input(place.crs)
    name = crs.to_wkt().split('"')[1]
    code = f"EPSG:{epsg}, " if (epsg := crs.to_epsg()) else ""
    a, b, c, d, e, f = place.transform
    turned = "" if b == d == 0 and a > 0 > e else f"; not north-up: affine {a:g}, {b:g}, {d:g}, {e:g}"
    return [
        ("CRS", f"{code}{name}"),
        ("pixel", _pixel(place)),
        ("corner", f"x {c:.10g}, y {f:.10g} (of the first pixel){turned}"),
    ]


def _pixel(place: Metadata) -> str:
    assert place.transform is not None
    a, b, _, d, e, _ = place.transform
    unit = "" if place.crs is None else f" {CRS.from_user_input(place.crs).units_factor[0]}"
    return f"{hypot(b, e):.6g} x {hypot(a, d):.6g}{unit}"


def _range(values: np.ndarray) -> str:
    low, high = f"{values.min():.6g}", f"{values.max():.6g}"
    return low if low == high else f"{low} to {high}"


def _ranges(bands: list[int]) -> str:
    """Return band numbers as text, consecutive numbers as first-last.

    >>> _ranges([3, 4, 5, 9])
    '3-5, 9'
    """
    rows: list[list[int]] = []
    for band in sorted(bands):
        if rows and band == rows[-1][-1] + 1:
            rows[-1].append(band)
        else:
            rows.append([band])
    return ", ".join(str(row[0]) if len(row) == 1 else f"{row[0]}-{row[-1]}" for row in rows)


def _share(nesting: Nesting, images: OpenPair) -> float:
    """Return the percentage of the HSI's pixels that both images cover."""
    rows, columns = nesting.lr.shape
    height, width = images.hsi.shape[1:]
    return 100 * rows * columns / (height * width)
