"""Wrong and odd inputs, each written as a file, and the line with which the tool answers.

    python tests/support/odd_inputs.py > docs/data/odd_inputs.md

writes the page of the documentation, which the tests compare with the answers.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio
import xarray as xr
from rasterio.transform import Affine
from scipy.io import savemat

import pipeline
from command import call
from pipeline.config.scenes import SyntheticSource
from pipeline.core.sensing.simulation import simulate
from pipeline.core.sensing.spatial import SpatialResponse
from pipeline.core.sensing.spectral import gaussian_response
from pipeline.inputs.synthetic.scene import synthetic_scene

HEAD = """\
# Odd inputs

What the tool answers to inputs that are damaged, incomplete or unusual. A refusal ends with exit status 2,
and nothing is written. The tool itself wrote these lines, and the tests compare the page with its answers.

| Input | Command | Answer |
|---|---|---|
"""
RATIO = 4
CENTRES = {"B2": 492.4, "B3": 559.8, "B4": 664.6, "B8": 832.8}
WIDTHS = (66.0, 36.0, 31.0, 106.0)
CORNER = (366000.0, 5807000.0)
Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Pair:
    """The two images of a synthetic landscape, as reflectance.

    Attributes
    ----------
    lr_hsi, hr_msi : (band, y, x)
        The images.
    wavelength, fwhm : (band,)
        Of the LR-HSI, in nm.
    response : (msi_band, band)
        R.
    """

    lr_hsi: Pixels
    hr_msi: Pixels
    wavelength: Pixels
    fwhm: Pixels
    response: Pixels


@cache
def images() -> Pair:
    """The pair that all cases start from."""
    source = SyntheticSource(
        kind="synthetic", height=112, width=96, bands=24, seed=4, wavelength_range=(420, 960)
    )
    scene = synthetic_scene(source)
    assert scene.wavelength is not None
    assert scene.fwhm is not None
    response = gaussian_response(
        np.array(list(CENTRES.values())), np.array(WIDTHS), scene.wavelength, scene.fwhm
    )
    blur = SpatialResponse.gaussian(ratio=RATIO, fwhm=1.0)
    seen = simulate(scene.data, spectral_response=response, spatial_response=blur, snr_db=40, seed=0)
    return Pair(seen.lr_hsi, seen.hr_msi, scene.wavelength, scene.fwhm, response)


def tif(
    path: Path, values: Pixels, pixel: float, tags: list[dict[str, str]] | None = None, **profile: Any
) -> Path:
    """A GeoTIFF with tags of its bands."""
    count, height, width = values.shape
    size = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
    place = {"crs": "EPSG:32633", "transform": Affine(pixel, 0, CORNER[0], 0, -pixel, CORNER[1])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **(size | place | profile)) as file:
            file.write(values)
            for band, entries in enumerate(tags or [], 1):
                file.update_tags(band, **entries)
    return path


def tagged(wavelength: Any, fwhm: Any = None, units: str | None = "nm") -> list[dict[str, str]]:
    """Tags of bands with their wavelengths as text."""
    lines = [{"wavelength": value if isinstance(value, str) else f"{value:.6g}"} for value in wavelength]
    for line, width in zip(lines, fwhm if fwhm is not None else [None] * len(lines), strict=True):
        line.update({"fwhm": f"{width:.4g}"} if width is not None else {})
        line.update({"wavelength_units": units} if units else {})
    return lines


def hsi(
    folder: Path, values: Pixels | None = None, tags: list[dict[str, str]] | None = None, **profile: Any
) -> Path:
    """The LR-HSI as a GeoTIFF, changed as given."""
    pair = images()
    tags = tagged(pair.wavelength, pair.fwhm) if tags is None else tags
    return tif(folder / "hsi.tif", pair.lr_hsi if values is None else values, 40.0, tags, **profile)


def msi(
    folder: Path, values: Pixels | None = None, tags: list[dict[str, str]] | None = None, **profile: Any
) -> Path:
    """The HR-MSI as a GeoTIFF, changed as given."""
    tags = tagged(CENTRES.values(), WIDTHS) if tags is None else tags
    return tif(folder / "msi.tif", images().hr_msi if values is None else values, 10.0, tags, **profile)


def envi(folder: Path, **changes: str) -> Path:
    """The LR-HSI as an ENVI file, with lines of its header replaced."""
    values = images().lr_hsi.astype("<f4")
    bands, height, width = values.shape
    lines = {
        "samples": f"{width}",
        "lines": f"{height}",
        "bands": f"{bands}",
        "header offset": "0",
        "data type": "4",
        "interleave": "bsq",
        "byte order": "0",
        "wavelength units": "Nanometers",
        "wavelength": f"{{{', '.join(f'{value:.5g}' for value in images().wavelength)}}}",
    } | {name.replace("_", " "): text for name, text in changes.items()}
    path = folder / "hsi.img"
    path.write_bytes(values.tobytes())
    text = "".join(f"{name} = {value}\n" for name, value in lines.items() if value)
    (folder / "hsi.hdr").write_text(f"ENVI\n{text}")
    return path


def netcdf(folder: Path, up: bool = False) -> Path:
    """The LR-HSI as NetCDF with named dimensions and coordinates."""
    pair = images()
    height, width = pair.lr_hsi.shape[1:]
    y, x = CORNER[1] - 40 * (np.arange(height) + 0.5), CORNER[0] + 40 * (np.arange(width) + 0.5)
    array = xr.DataArray(
        pair.lr_hsi,
        dims=("wavelength", "y", "x"),
        coords={"wavelength": ("wavelength", pair.wavelength, {"units": "nm"}), "y": y, "x": x},
        name="reflectance",
    )
    array = array.isel(y=slice(None, None, -1)) if up else array
    path = folder / "hsi.nc"
    array.transpose("y", "x", "wavelength").to_netcdf(path, engine="scipy")
    return path


def written(path: Path, content: bytes) -> Path:
    """A file of some bytes."""
    path.write_bytes(content)
    return path


@dataclass(frozen=True)
class Case:
    """An odd input.

    Attributes
    ----------
    title : str
        The input in words.
    command : str
        The command or function that is given it.
    ask : callable
        Writes the input into a folder and returns the answer.
    """

    title: str
    command: str
    ask: Callable[[Path], str]

    def answer(self) -> str:
        """Return the answer in one line, without the folder's name."""
        with tempfile.TemporaryDirectory() as name:
            text = self.ask(Path(name)).replace(f"{name}/", "").replace(name, "folder")
        return " ".join(text.split()).replace("|", "\\|")

    def row(self) -> str:
        """Return the line of the table."""
        return f"| {self.title} | `{self.command}` | {self.answer()} |\n"


def inspected(make: Callable[[Path], Path | str], *options: str, line: str = "") -> Callable[[Path], str]:
    """Ask `pipeline inspect`; return its refusal, or the lines with a label."""
    return lambda folder: _output(call("inspect", make(folder), *options), line)


def paired(make: Callable[[Path], tuple[Any, Any]], *options: str, line: str = "") -> Callable[[Path], str]:
    """Ask `pipeline pair`; return its refusal, or the lines with a label."""
    return lambda folder: _output(call("pair", *make(folder), "--out", folder / "pair.yaml", *options), line)


def _output(result: Any, line: str) -> str:
    if result.exit_code:
        assert result.exit_code == 2, result.output
        (text,) = result.stderr.splitlines()
        assert isinstance(text, str)
        return text.partition(": ")[2]
    lines = [text.strip() for text in result.stdout.splitlines() if re.match(rf"\s+({line})\s", text)]
    assert lines, f"no line {line!r} in\n{result.stdout}"
    return "; ".join(lines)


def fused(change: Callable[[Pair], dict[str, Any]]) -> Callable[[Path], str]:
    """Ask `pipeline.fuse`; return its error or its warnings, or that there are none."""

    def ask(_: Path) -> str:
        pair = images()
        arguments: dict[str, Any] = {
            "lr_hsi": pair.lr_hsi,
            "hr_msi": pair.hr_msi,
            "spectral_response": pair.response,
            "spatial_response": "gaussian",
            "method": "bicubic",
        } | change(pair)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                cube = pipeline.fuse(**arguments).cube
            except pipeline.InputError as error:
                return str(error)
        return (
            "; ".join(str(entry.message) for entry in caught) or f"fused, {np.isnan(cube).mean():.0%} no data"
        )

    return ask


def cloudy(image: Pixels) -> Pixels:
    image = image.copy()
    image[:, 20:50, 40:70] += 0.3
    return image


def filled(image: Pixels, value: float) -> Pixels:
    """An image with one value along its first rows."""
    image = image.copy()
    image[:, : image.shape[1] // 7] = value
    return image


def cases() -> Iterator[Case]:
    """All cases, in the order of the page."""
    yield from _damaged()
    yield from _unclear()
    yield from _spectral()
    yield from _places()
    yield from _values()
    yield from _pairs()
    yield from _arrays()


def _damaged() -> Iterator[Case]:
    noise = np.random.default_rng(0).bytes(2000)
    for title, name, content in [
        ("An empty GeoTIFF", "empty.tif", b""),
        ("Random bytes with the name of a NetCDF file", "noise.nc", noise),
        ("Random bytes with the name of a MATLAB file", "noise.mat", noise),
        ("Random bytes with the name of a NumPy file", "noise.npy", noise),
    ]:
        yield Case(title, "inspect", inspected(lambda folder, n=name, c=content: written(folder / n, c)))  # type: ignore[misc]
    yield Case(
        "A GeoTIFF that was cut off",
        "inspect",
        inspected(lambda folder: written(folder / "cut.tif", hsi(folder).read_bytes()[:5000])),
    )
    yield Case(
        "An ENVI file shorter than its header says",
        "inspect",
        inspected(lambda folder: envi(folder, lines="40")),
    )
    yield Case("An ENVI header without `bands`", "inspect", inspected(lambda folder: envi(folder, bands="")))
    yield Case("A file that does not exist", "inspect", inspected(lambda folder: folder / "no.tif"))
    yield Case("A folder without images", "inspect", inspected(lambda folder: folder))


def _unclear() -> Iterator[Case]:
    def several(folder: Path) -> Path:
        with h5py.File(folder / "two.h5", "w") as file:
            file["a"], file["b"] = images().lr_hsi, images().lr_hsi
        return folder / "two.h5"

    def matlab(folder: Path) -> Path:
        savemat(folder / "pan.mat", {"pan": images().hr_msi[0]})
        return folder / "pan.mat"

    def imaginary(folder: Path) -> Path:
        np.save(folder / "complex.npy", images().lr_hsi.astype(complex) + 1j)
        return folder / "complex.npy"

    def last(folder: Path) -> Path:
        np.save(folder / "last.npy", images().lr_hsi.transpose(1, 2, 0))
        return folder / "last.npy"

    yield Case("An HDF5 file of two cubes", "inspect", inspected(several))
    yield Case("A two-dimensional MATLAB array", "inspect", inspected(matlab, line="bands|size"))
    yield Case("Complex numbers", "inspect", inspected(imaginary))
    yield Case("A NumPy array (y, x, band)", "inspect", inspected(last, line="size|bands|assumed +axes"))
    yield Case(
        "A Band number that the file lacks", "inspect --bad-bands 99", inspected(hsi, "--bad-bands", "99")
    )


def _spectral() -> Iterator[Case]:
    texts: dict[str, Callable[[float], str]] = {
        "Wavelengths as text, `408.5 nm`": lambda nm: f"{nm:.1f} nm",
        "Wavelengths with decimal commas": lambda nm: f"{nm:.1f}".replace(".", ","),
        "Wavelengths in micrometres, with their unit": lambda nm: f"{nm / 1000:.4f} µm",
        "A wavelength that is no number": lambda nm: "n/a" if nm < 430 else f"{nm:.1f}",
        "Wavelengths that no sensor has": lambda nm: f"{30_000 + nm:.1f}",
    }

    def written_as(text: Callable[[float], str]) -> Callable[[Path], Path]:
        return lambda folder: hsi(folder, tags=tagged([text(nm) for nm in images().wavelength], units=None))

    for title, text in texts.items():
        yield Case(
            title, "inspect", inspected(written_as(text), line="wavelengths|assumed +(bands|the unit)")
        )
    yield Case(
        "An unknown unit of wavelengths",
        "inspect",
        inspected(lambda folder: envi(folder, wavelength_units="Furlongs"), line="wavelengths|assumed"),
    )
    yield Case(
        "More wavelengths than bands",
        "inspect",
        inspected(lambda folder: envi(folder, wavelength="{400, 410, 420}"), line="wavelengths|assumed"),
    )
    yield Case(
        "Band centres without widths",
        "inspect",
        inspected(
            lambda folder: msi(folder, tags=tagged(CENTRES.values())), line="wavelengths|assumed +widths"
        ),
    )


def _places() -> Iterator[Case]:
    def no_place(folder: Path) -> tuple[Path, Path]:
        return hsi(folder), msi(folder, crs=None, transform=None)

    def elsewhere(folder: Path) -> tuple[Path, Path]:
        return hsi(folder), msi(folder, transform=Affine(10, 0, 900_000, 0, -10, 5_000_000))

    def south_up(folder: Path) -> tuple[Path, Path]:
        height = images().hr_msi.shape[1]
        flipped = Affine(10, 0, CORNER[0], 0, 10, CORNER[1] - 10 * height)
        return hsi(folder), msi(folder, images().hr_msi[:, ::-1].copy(), transform=flipped)

    yield Case("One image without a CRS", "pair", paired(no_place))
    yield Case("Images of two places", "pair", paired(elsewhere))
    yield Case("HSI and MSI exchanged", "pair", paired(lambda folder: (msi(folder), hsi(folder))))
    yield Case(
        "An MSI stored from south to north", "pair", paired(south_up, line="ratio|assumed +MSI: stored")
    )
    yield Case(
        "NetCDF with dimensions (y, x, wavelength)",
        "inspect",
        inspected(netcdf, line="size|bands|wavelengths|axes"),
    )
    yield Case(
        "NetCDF with y from south to north",
        "inspect",
        inspected(lambda folder: netcdf(folder, up=True), line="size|corner|assumed +stored"),
    )


def _values() -> Iterator[Case]:
    def holes(folder: Path) -> Path:
        values = images().lr_hsi.copy()
        values[3, 5:9, 2:7] = np.nan
        return hsi(folder, values)

    def lowest(folder: Path) -> Path:
        values = images().lr_hsi.copy()
        values[:, :2, :2] = np.finfo(np.float32).min
        return hsi(folder, values, nodata=float(np.finfo(np.float32).min))

    yield Case(
        "Reflectance x 10000 without a unit",
        "pair",
        paired(lambda folder: ((hsi(folder, np.round(1e4 * images().lr_hsi).astype("int16"))), msi(folder))),
    )
    yield Case("NaN in a file without declared no-data", "inspect", inspected(holes, line="no data"))
    yield Case("No-data of -3.4028235e38", "inspect", inspected(lowest, line="no data|values"))
    yield Case(
        "A collar of 0 that the file does not declare",
        "inspect",
        inspected(lambda folder: msi(folder, filled(images().hr_msi, 0)), line="suspicious|no data"),
    )
    yield Case(
        "A saturated band",
        "inspect",
        inspected(lambda folder: msi(folder, np.minimum(images().hr_msi, 0.3)), line="suspicious"),
    )


def _pairs() -> Iterator[Case]:
    def with_msi(change: Callable[[Pixels], Pixels]) -> Callable[[Path], tuple[Path, Path]]:
        return lambda folder: (hsi(folder), msi(folder, change(images().hr_msi)))

    yield Case(
        "Sentinel-2 numbers with the offset of baseline 04.00, divided by 10000",
        "pair",
        paired(with_msi(lambda image: image + np.float32(0.1)), line="check"),
    )
    yield Case(
        "An MSI in other units", "pair", paired(with_msi(lambda image: image * np.float32(0.2)), line="check")
    )
    yield Case(
        "MSI bands in another order than the file says",
        "pair",
        paired(with_msi(lambda image: image[[2, 1, 0, 3]]), line="check"),
    )
    yield Case(
        "An experiment that exists already",
        "pair",
        lambda folder: written(folder / "pair.yaml", b"") and paired(lambda f: (hsi(f), msi(f)))(folder),
    )
    yield Case(
        "MSI bands that the HSI does not reach",
        "pair",
        paired(
            lambda folder: (
                hsi(folder),
                msi(folder, tags=tagged([492.4, 559.8, 664.6, 1613.7], [66, 36, 31, 91])),
            ),
            line="check|assumed",
        ),
    )


def _arrays() -> Iterator[Case]:
    yield Case(
        "Rows of R that sum to 100", "fuse", fused(lambda pair: {"spectral_response": 100 * pair.response})
    )
    yield Case("R transposed", "fuse", fused(lambda pair: {"spectral_response": pair.response.T}))
    yield Case(
        "Bands on the last axis",
        "fuse",
        fused(
            lambda pair: {"lr_hsi": pair.lr_hsi.transpose(1, 2, 0), "hr_msi": pair.hr_msi.transpose(1, 2, 0)}
        ),
    )
    yield Case("A cloud in the HR-MSI", "fuse", fused(lambda pair: {"hr_msi": cloudy(pair.hr_msi)}))
    yield Case(
        "A PSF that is too wide",
        "fuse",
        fused(lambda pair: {"spatial_response": SpatialResponse.gaussian(ratio=RATIO, fwhm=2.5)}),
    )
    yield Case(
        "A masked array",
        "fuse",
        fused(lambda pair: {"lr_hsi": np.ma.masked_less(filled(pair.lr_hsi, -9999), -9000)}),
    )
    yield Case(
        "An infinite value",
        "fuse",
        fused(lambda pair: {"hr_msi": np.where(pair.hr_msi == pair.hr_msi.max(), np.inf, pair.hr_msi)}),
    )


def page() -> str:
    """Return the page of the documentation."""
    return HEAD + "".join(case.row() for case in cases())


if __name__ == "__main__":
    print(page(), end="")
