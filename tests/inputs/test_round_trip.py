"""A cube written in any writable format with any layout is read back as the same physical cube."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from labelled_files import WRITERS
from layouts import save_matlab_73
from scene_files import PLACE, as_axes, read, save

HEIGHT, WIDTH = 6, 8
NM = np.array([451.5, 552.25, 663.0, 851.75, 2201.5])
UNITS = {
    "nm": NM, "Nanometers": NM, "um": NM / 1e3, "Micrometers": NM / 1e3, "Angstrom": NM * 10,
    "GHz": 299_792_458 / NM, "cm-1": 1e7 / NM,
}  # fmt: skip
ORDERS = ["band,y,x", "y,x,band", "x,y,band", "band,x,y", "y,band,x"]


@dataclass(frozen=True)
class Layout:
    """How a cube is written; `values` are the numbers in the file by increasing wavelength, north first."""

    values: np.ndarray
    gain: float
    offset: float
    nodata: float | None
    unit: str
    comma: bool
    shuffle: tuple[int, ...]
    south_up: bool
    interleave: int
    axes: str

    @property
    def stored(self) -> np.ndarray:
        """Numbers in the order of the file's bands and rows."""
        values = self.values[list(self.shuffle)]
        return values[:, ::-1] if self.south_up else values

    @property
    def numbers(self) -> np.ndarray:
        """Wavelengths in the order of the file's bands, in the unit of the file."""
        return UNITS[self.unit][list(self.shuffle)]

    @property
    def physical(self) -> np.ndarray:
        """The cube that has to be read."""
        cube = self.gain * self.values.astype(np.float64) + self.offset
        missing = np.isnan(self.values.astype(np.float64))
        return np.where(missing | (self.values == self.nodata), np.nan, cube)

    def text(self, number: float) -> str:
        """A number as text, with a decimal comma where it is wanted."""
        text = f"{number:.9g}"
        return text.replace(".", ",") if self.comma else text


@st.composite
def layouts(draw: Callable[[Any], Any]) -> Layout:
    dtype = draw(st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    values = rng.integers(1, 250, (5, HEIGHT, WIDTH)).astype(dtype)
    floating = np.dtype(dtype).kind == "f"
    choices = (
        [None, 0.0, 255.0]
        if dtype == np.uint8
        else [None, 0.0, -9999.0, -3.40282347e38][: 4 if floating else 3]
    )
    if dtype == np.uint16:
        choices = [None, 0.0, 65535.0]
    nodata = draw(st.sampled_from(choices))
    holes = rng.random(values.shape) < 0.1
    if nodata is not None:
        values[holes] = np.finfo(np.float32).min if nodata < -1e38 else nodata
    if floating and draw(st.booleans()):
        values[rng.random(values.shape) < 0.05] = np.nan
    calibrated = draw(st.booleans())
    return Layout(
        values=values,
        gain=draw(st.sampled_from([1e-4, 0.5, 2.75e-5])) if calibrated else 1.0,
        offset=draw(st.sampled_from([0.0, -0.2, 3.0])) if calibrated else 0.0,
        nodata=float(np.finfo(np.float32).min) if nodata is not None and nodata < -1e38 else nodata,
        unit=draw(st.sampled_from(sorted(UNITS))),
        comma=draw(st.booleans()),
        shuffle=tuple(draw(st.permutations(range(5)))),
        south_up=draw(st.booleans()),
        interleave=draw(st.integers(0, 2)),
        axes=draw(st.sampled_from(ORDERS)),
    )


def affine(layout: Layout) -> Affine:
    return PLACE @ Affine.translation(0, HEIGHT) @ Affine.scale(1, -1) if layout.south_up else PLACE


def profile(layout: Layout) -> dict[str, Any]:
    size = {"count": 5, "height": HEIGHT, "width": WIDTH}
    return size | {"dtype": layout.values.dtype, "crs": "EPSG:32633", "transform": affine(layout)}


def geotiff(path: Path, layout: Layout) -> Path:
    path = path / "a.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        nodata=layout.nodata,
        interleave=("pixel", "band", "band")[layout.interleave],
        photometric="minisblack",
        **profile(layout),
    ) as file:
        file.write(layout.stored)
        if (layout.gain, layout.offset) != (1, 0):
            file.scales, file.offsets = [layout.gain] * 5, [layout.offset] * 5
        for band, number in enumerate(layout.numbers, 1):
            file.update_tags(band, wavelength=layout.text(number), wavelength_units=layout.unit)
    return path


def envi(path: Path, layout: Layout) -> Path:
    path = path / "a.img"
    with rasterio.open(
        path, "w", driver="ENVI", interleave=("bsq", "bil", "bip")[layout.interleave], **profile(layout)
    ) as file:
        file.write(layout.stored)
    entries = "; ".join(map(layout.text, layout.numbers))
    lines = [f"wavelength = {{{entries}}}", f"wavelength units = {layout.unit}"]
    lines += [] if layout.nodata is None else [f"data ignore value = {layout.nodata:.9g}"]
    if layout.gain != 1:
        lines += [f"data {kind} values = {{{', '.join([f'{value:.9g}'] * 5)}}}" for kind, value in
                  (("gain", layout.gain), ("offset", layout.offset))]  # fmt: skip
    with path.with_suffix(".hdr").open("a") as stream:
        stream.write("\n".join(lines) + "\n")
    return path


def labelled(kind: str) -> Callable[[Path, Layout], Path]:
    def write(path: Path, layout: Layout) -> Path:
        values = layout.stored
        if kind == "classic" and values.dtype.kind == "u":  # of which classic NetCDF has none
            values = values.astype(np.int32)
        place = affine(layout)
        grid = {"crs_wkt": rasterio.CRS.from_epsg(32633).to_wkt()}
        array = xr.DataArray(
            values,
            dims=("band", "y", "x"),
            coords={
                "wavelength": ("band", layout.numbers, {"units": layout.unit}),
                "y": place.f + place.e * (np.arange(HEIGHT) + 0.5),
                "x": place.c + place.a * (np.arange(WIDTH) + 0.5),
                "spatial_ref": ((), 0, grid),
            },
            attrs={"grid_mapping": "spatial_ref"},
        )
        if (layout.gain, layout.offset) != (1, 0):
            array.attrs |= {"scale_factor": layout.gain, "add_offset": layout.offset}
        if layout.nodata is not None:
            array.attrs["_FillValue"] = values.dtype.type(layout.nodata)
        return WRITERS[kind](path / "a", array.transpose(*layout.axes.split(",")).to_dataset(name="cube"))

    return write


def arrays(suffix: str) -> Callable[[Path, Layout], Path]:
    def write(path: Path, layout: Layout) -> Path:
        cube = (
            np.moveaxis(layout.stored, 0, 1)
            if layout.axes == "y,band,x"
            else as_axes(layout.stored, layout.axes)
        )
        nm = NM[list(layout.shuffle)]
        if suffix == ".npy":
            np.save(path / "a.npy", cube)
            return path / "a.npy"
        if suffix == "v7.3":
            return save_matlab_73(path / "a.mat", cube=cube, wavelength=nm)
        return save(path / f"a{suffix}", cube=cube, wavelength=nm)

    return write


LABELLED = {kind: labelled(kind) for kind in WRITERS}
ARRAYS = {suffix: arrays(suffix) for suffix in (".mat", "v7.3", ".npz", ".npy")}


@pytest.mark.parametrize("kind", ["GeoTIFF", "ENVI", *LABELLED, *ARRAYS])
def test_the_same_cube_is_read_back(tmp_path_factory: pytest.TempPathFactory, kind: str) -> None:
    folder = tmp_path_factory.mktemp("cube")

    @settings(max_examples=12, deadline=None)
    @given(layout=layouts())
    def round_trip(layout: Layout) -> None:
        path = folder / str(len(list(folder.iterdir())))
        path.mkdir()
        keys: dict[str, Any] = {}
        if kind in ARRAYS:  # which keep neither place nor no-data: the configuration says it
            file = ARRAYS[kind](path, layout)
            keys = {"axes": layout.axes, "nodata": layout.nodata, "scale": 1 / layout.gain,
                    "offset": layout.offset / layout.gain}  # fmt: skip
            keys |= {"wavelengths": NM[list(layout.shuffle)].tolist()} if kind == ".npy" else {}
        else:
            file = ({"GeoTIFF": geotiff, "ENVI": envi} | LABELLED)[kind](path, layout)
        scene = read(file, variable="cube" if kind in LABELLED else None, **keys)
        upside_down = kind in ARRAYS and layout.south_up
        expected = layout.physical[:, ::-1] if upside_down else layout.physical
        np.testing.assert_allclose(scene.data, expected, rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(scene.wavelength, NM, rtol=1e-6)
        if kind not in ARRAYS:
            assert scene.crs == "EPSG:32633"
            assert scene.transform == pytest.approx(tuple(PLACE)[:6])

    round_trip()
