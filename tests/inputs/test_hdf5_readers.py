"""HDF5 files of every kind become the same scene as any other file, read in windows."""

from __future__ import annotations

import logging
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from layouts import Desis, Emit, Prisma, save_matlab_73
from pipeline.config.scenes import FileSource
from pipeline.core.window import Window
from pipeline.errors import InputError
from pipeline.inputs import file_scene as readers
from pipeline.inputs.file_scene import open_file, source_size
from pipeline.inputs.formats.array_image import array_image
from pipeline.inputs.formats.image import StoredImage
from pipeline.inputs.missions import emit as emit_module
from scene_files import CUBE, NM, as_axes, raster, read, refused


def source(path: Path, **keys: Any) -> FileSource:
    return FileSource(kind="file", path=str(path), **keys)


# MATLAB v7.3


@pytest.mark.parametrize(
    "axes", ["band,y,x", "y,x,band", "x,y,band", "band,x,y", "band,yx", "band,xy", "yx,band", "xy,band"]
)
def test_matlab_73_has_the_axes_that_matlab_shows(tmp_path: Path, axes: str) -> None:
    path = save_matlab_73(tmp_path / "scene.mat", cube=as_axes(CUBE, axes))
    keys = {"axes": axes, "shape": (6, 8) if "yx" in axes or "xy" in axes else None}
    np.testing.assert_array_equal(read(path, scale=10_000, **keys).data, (CUBE / 10_000).astype(np.float32))
    image = array_image(path, source(path, **keys))
    picked, _ = image.read(Window(2, 5, 3, 7), [4, 0, 3])
    np.testing.assert_array_equal(picked, CUBE[[4, 0, 3], 2:5, 3:7])
    assert source_size(source(path, **keys)) == (6, 8)


def test_chikusei_is_transposed_in_its_file(tmp_path: Path) -> None:
    path = save_matlab_73(tmp_path / "HyperspecVNIR.mat", chikusei=as_axes(CUBE, "y,x,band"), nm=NM)
    with h5py.File(path) as file:
        assert file["chikusei"].shape == (5, 8, 6)  # (band, x, y), as (128, 2335, 2517)
    scene = read(path, wavelengths="nm", band_numbers=None)
    np.testing.assert_array_equal(scene.data, CUBE)
    np.testing.assert_array_equal(scene.wavelength, NM)
    assert "no variable 'x'; it holds chikusei 6x8x5, nm 1x5" in refused(path, variable="x")


def test_matlab_73_objects_are_left_out(tmp_path: Path) -> None:
    path = save_matlab_73(tmp_path / "a.mat", cube=as_axes(CUBE, "y,x,band"), none=np.zeros(2, np.uint64))
    with h5py.File(path, "a") as file:
        file["none"].attrs["MATLAB_empty"] = np.uint8(1)
        cells = file.create_dataset("cells", (1, 2), dtype=h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        file.create_dataset("#refs#/a", data=np.ones((3, 4, 5)))
        file.create_group("info").attrs["MATLAB_class"] = np.bytes_("struct")
        file["name"] = np.frombuffer(b"a\0b\0", np.uint16)
        file["name"].attrs["MATLAB_class"] = np.bytes_("char")
        pair = np.zeros((5, 8, 6), [("real", float), ("imag", float)])
        file.create_dataset("wave", data=pair).attrs["MATLAB_class"] = np.bytes_("double")
    for name, kind in {
        "cells": "cell", "info": "struct", "name": "char", "none": "empty uint64", "wave": "complex double",
    }.items():  # fmt: skip
        assert f"variable '{name}' holds {kind} elements, which are not read" in refused(path, variable=name)
    np.testing.assert_array_equal(read(path).data, CUBE)


# Plain HDF5 and NetCDF-4


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".he5", ".nc"])
def test_plain_hdf5_by_the_path_of_its_dataset(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scene{suffix}"
    with h5py.File(path, "w") as file:
        file["science/cube"] = CUBE
        file["science/nm"] = NM
        file["science/other"] = np.ones((2, 3, 4))
    keys = {"variable": "science/cube", "wavelengths": "science/nm"}
    np.testing.assert_array_equal(read(path, axes="band,y,x", **keys).data, CUBE)
    np.testing.assert_array_equal(read(path, **keys).wavelength, NM)
    assert "2 arrays have 3 axes; name one by `variable`" in refused(path)
    assert "it holds science/cube 5x6x8" in refused(path, variable="cube")
    assert source_size(source(path, axes="band,y,x", **keys)) == (6, 8)


def test_conventions_of_netcdf(tmp_path: Path) -> None:
    stored = CUBE.astype(np.int16)
    stored[1, 2, 3], stored[4, 5, 6] = -999, -1
    with h5py.File(tmp_path / "a.nc", "w") as file:
        cube = file.create_dataset("cube", data=stored)
        cube.attrs.update({
            "_FillValue": np.int16([-999]), "missing_value": np.int16(-1), "scale_factor": 1e-4,
            "add_offset": 0.5, "units": "W m-2 sr-1 um-1", "grid_mapping": "spatial_ref",
        })  # fmt: skip
        crs = rasterio.CRS.from_epsg(32633).to_wkt()
        file.create_dataset("spatial_ref", data=0).attrs.update(
            {"crs_wkt": crs, "GeoTransform": "366015.0 10.0 0.0 5806125.0 0.0 -10.0"}
        )
    scene = read(tmp_path / "a.nc", axes="band,y,x")
    expected = CUBE * 1e-4 + 0.5
    expected[1, 2, 3] = expected[4, 5, 6] = np.nan
    np.testing.assert_allclose(scene.data, expected, rtol=1e-6)
    assert (scene.crs, scene.units) == ("EPSG:32633", "W m-2 sr-1 um-1")
    assert scene.transform == (10, 0, 366015, 0, -10, 5806125)
    with h5py.File(tmp_path / "a.nc", "a") as file:
        file["spatial_ref"].attrs["crs_wkt"] = "nowhere"
    assert "its CRS 'nowhere' is not understood" in refused(tmp_path / "a.nc", axes="band,y,x")


# EMIT


@pytest.mark.parametrize("slab", [1, 3000, emit_module.SLAB])
@pytest.mark.parametrize("chunks", [None, (16, 8, 12), (7, 24, 5)])
def test_emit_is_orthorectified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slab: int, chunks: tuple[int, int, int] | None
) -> None:
    monkeypatch.setattr(emit_module, "SLAB", slab)
    granule = Emit()
    path = granule.save(tmp_path, chunks=chunks)
    scene = read(path)
    kept = [band for band in range(granule.bands) if band != 8]
    np.testing.assert_array_equal(scene.data, granule.ortho[kept])
    assert 0.2 < np.isnan(scene.data).mean() < 0.8
    np.testing.assert_allclose(scene.wavelength, granule.nm[kept])
    np.testing.assert_allclose(scene.fwhm, granule.width_nm[kept])
    assert (scene.crs, scene.units, scene.detector) == ("EPSG:4326", "reflectance", None)
    assert scene.transform == (0.00054223252, 0, -62.5120945, 0, -0.00054223252, -39.3064879)
    assert source_size(source(path)) == (50, 45)


def test_emit_reads_only_the_lines_it_needs(tmp_path: Path) -> None:
    granule = Emit()
    image: Any = emit_module.open_image(granule.save(tmp_path, chunks=(1, 24, 12)), None).pixels

    class Noted:
        def __init__(self, dataset: Any) -> None:
            self.dataset, self.read = dataset, []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.dataset, name)

        def __getitem__(self, index: Any) -> Any:
            self.read.append(index)
            return self.dataset[index]

    noted: Any = Noted(image._swath)
    image._swath = noted
    window = Window(20, 24, 10, 13)
    image.read(window, [2])
    needed = granule.glt_y[window.slices] - 1, granule.glt_x[window.slices] - 1
    (index,) = noted.read
    assert index[:2] == tuple(slice(part.min(), part.max() + 1) for part in needed)
    noted.read.clear()
    values, missing = image.read(Window(0, 2, 0, 2), [0, 1])  # where the table is empty
    assert missing.all()
    assert (values == -9999).all()
    assert noted.read == []


def test_emit_that_is_not_whole(tmp_path: Path) -> None:
    granule = Emit()
    granule.glt_x[25, 20] = 99
    assert "leads to line" in refused(granule.save(tmp_path))
    path = Emit().save(tmp_path)
    with h5py.File(path, "a") as file:
        del file["location/glt_y"]
    assert "no dataset 'location/glt_y'; the product is not complete" in refused(path)
    path = Emit().save(tmp_path)
    with h5py.File(path, "a") as file:
        del file.attrs["geotransform"]
    assert "no attribute 'geotransform'" in refused(path)
    path = Emit().save(tmp_path)
    with h5py.File(path, "a") as file:
        del file["sensor_band_parameters/fwhm"]
        file["sensor_band_parameters/fwhm"] = np.ones(11)
    assert "lists 12 wavelengths, 11 widths and 12 flags for 12 bands" in refused(path)
    assert "`variable` is for .mat" in refused(Emit().save(tmp_path), variable="reflectance")


# PRISMA


def test_prisma(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    product = Prisma()
    path = product.save(tmp_path)
    with caplog.at_level(logging.WARNING):
        scene = open_file(source(path))
    data = scene.read(Window(0, 30, 0, 26))
    meta = scene.metadata
    assert meta.wavelength is not None
    assert meta.detector is not None
    assert (np.diff(meta.wavelength) > 0).all()
    assert (meta.crs, meta.units) == ("EPSG:32633", "reflectance")
    assert meta.transform == (30, 0, 366000, 0, -30, 5806140)
    for i, detector in enumerate(("VNIR", "SWIR")):
        nm = product.nm[i].astype(np.float32)
        inside = (nm > 0) & ((nm <= 969.6) if i == 0 else (nm > 969.6))  # overlap: 929.2 to 1010
        chosen = meta.detector == detector
        assert chosen.sum() == inside.sum()
        for position, band in zip(np.flatnonzero(chosen), np.flatnonzero(inside)[::-1], strict=True):
            assert meta.wavelength[position] == nm[band]
            assert meta.fwhm is not None
            assert meta.fwhm[position] == np.float32(product.fwhm[i][band])
            np.testing.assert_allclose(data[position], product.reflectance(i, band), rtol=1e-6)
    assert "left out bands [64, 65, 238] (0-based), listed as bad" in caplog.text
    assert "beyond the middle of the overlap of two detectors" in caplog.text
    assert "its wavelengths do not increase" in caplog.text
    assert source_size(source(path)) == (30, 26)


def test_prisma_mask(tmp_path: Path) -> None:
    product = Prisma()
    scene = read(product.save(tmp_path))
    assert scene.wavelength is not None
    assert scene.detector is not None
    assert np.isnan(scene.data[:, product.outside]).all()
    vnir = int(np.argmin(np.abs(scene.wavelength - product.nm[0][10])))
    swir = int(np.argmin(np.abs(scene.wavelength - product.nm[1][10])))
    assert scene.wavelength[vnir] == np.float32(product.nm[0][10])
    marked = np.isnan(scene.data[vnir, 4, 5]), *np.isnan(scene.data[swir, 4, 6:8])
    assert marked == (True, False, True)  # invalid; negative, clipped; saturated
    assert np.isnan(scene.data[:, ~product.outside]).sum() == 2


@pytest.mark.parametrize(("level", "units"), [("L2C", "reflectance"), ("L2B", "W m-2 sr-1 um-1")])
def test_prisma_in_the_geometry_of_the_sensor(tmp_path: Path, level: str, units: str) -> None:
    product = Prisma()
    path = product.save(tmp_path, level=level)
    with h5py.File(path, "a") as file:
        del file.attrs["Product_ULcorner_easting"]
    scene = read(path)
    assert (scene.crs, scene.transform, scene.units) == (None, None, units)
    assert scene.wavelength is not None
    vnir = int(np.argmin(np.abs(scene.wavelength - product.nm[0][10])))
    np.testing.assert_allclose(scene.data[vnir], product.reflectance(0, 10), rtol=1e-6)


def test_prisma_that_does_not_fit(tmp_path: Path) -> None:
    path = Prisma().save(tmp_path, Product_LRcorner_easting=370000.0)
    assert "its corners are 30x133.833 pixels of 30 m apart, its cube has 30x26" in refused(path)
    path = Prisma().save(tmp_path, Epsg_Code=np.uint32(1))
    assert "its CRS '1' is not understood" in refused(path)
    product = Prisma()
    product.errors[1] = product.errors[1][:, :-1]
    message = refused(product.save(tmp_path))
    assert "30x66x26, 30x173x26, 30x66x26, 30x172x26, 239 bands listed" in message


# DESIS and PCIDSK


def test_desis(tmp_path: Path) -> None:
    product = Desis()
    path = product.save(tmp_path)
    scene = read(path)
    expected = product.stored * product.gain[:, None, None] + product.offset[:, None, None]
    expected[:, :4, :3] = np.nan
    np.testing.assert_allclose(scene.data, expected, rtol=1e-6)
    np.testing.assert_allclose(scene.wavelength, product.nm)
    np.testing.assert_allclose(scene.fwhm, product.fwhm)
    assert (scene.crs, scene.units) == ("EPSG:32618", "reflectance")
    metadata = next(tmp_path.glob("*-METADATA.xml"))
    metadata.write_text(metadata.read_text().replace("<bandNumber>16</bandNumber>", "<"))
    assert "damaged or not a DESIS metadata file" in refused_naming(path, metadata)
    metadata.write_text("<a><bandCharacterisation/></a>")
    assert "describes 0 bands" in refused_naming(path, metadata)
    metadata.unlink()
    assert "no such file; a DESIS image needs it" in refused_naming(path, metadata)


def refused_naming(path: Path, other: Path) -> str:
    message = refused_by(path)
    assert other.name in message
    return message


def refused_by(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_pcidsk_with_channels_that_are_not_spectral(tmp_path: Path) -> None:
    path = tmp_path / "20170218_UH_CASI.pix"
    raster(path, "PCIDSK").close()
    keys = {"wavelengths": "374.4:1047.1:3", "fwhm": [10.0, 11.0, 12.0], "bad_bands": [3, 4]}
    scene = read(path, **keys)
    np.testing.assert_array_equal(scene.data, CUBE[:3])
    np.testing.assert_allclose(scene.wavelength, [374.4, 710.75, 1047.1])
    np.testing.assert_array_equal(scene.fwhm, [10, 11, 12])
    assert scene.transform == (10, 0, 366015, 0, -10, 5806125)
    assert "wavelengths has 4 values, the file has 5 bands" in refused(
        path, wavelengths="374.4:1047.1:4", bad_bands=[3, 4]
    )


# Windows, memory, damage


LARGER = np.random.default_rng(2).integers(1, 60_000, (30, 40, 50)).astype(np.uint16)


def plain_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = folder / "scene.h5"
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", data=np.moveaxis(LARGER, 0, 2), chunks=(16, 16, 7), compression="gzip")
    return path, {"axes": "y,x,band"}


def matlab_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    return save_matlab_73(folder / "scene.mat", cube=as_axes(LARGER, "y,x,band")), {"bad_bands": [4, 9]}


def pixels_file(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = save_matlab_73(folder / "pixels.mat", cube=as_axes(LARGER, "band,xy"))
    return path, {"axes": "band,xy", "shape": (40, 50)}


FILES: dict[str, Callable[[Path], tuple[Path, dict[str, Any]]]] = {
    "plain": plain_file,
    "matlab": matlab_file,
    "pixels": pixels_file,
    "emit": lambda folder: (Emit().save(folder, chunks=(8, 24, 12)), {}),
    "prisma": lambda folder: (Prisma().save(folder), {}),
    "desis": lambda folder: (Desis().save(folder), {}),
}


@pytest.fixture(scope="module", params=FILES)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path, keys = FILES[request.param](tmp_path_factory.mktemp(request.param))
    return open_file(source(path, **keys)), read(path, **keys).data


@settings(max_examples=25, deadline=None)
@given(corners=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_window_is_a_part_of_the_scene(opened: Any, corners: list[float]) -> None:
    scene, whole = opened
    _, height, width = scene.shape
    y0, x0 = int(corners[0] * (height - 1)), int(corners[1] * (width - 1))
    y1, x1 = y0 + 1 + int(corners[2] * (height - y0 - 1)), x0 + 1 + int(corners[3] * (width - x0 - 1))
    window = Window(y0, y1, x0, x1)
    np.testing.assert_array_equal(scene.read(window), whole[:, *window.slices])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[StoredImage]:
    made = [make(tmp_path_factory.mktemp("any")) for make in (plain_file, matlab_file, pixels_file)]
    return [array_image(path, source(path, **keys)) for path, keys in made]


@settings(max_examples=40, deadline=None)
@given(bands=st.lists(st.integers(0, 29), min_size=1, max_size=30, unique=True))
def test_any_bands_in_any_order(images: list[StoredImage], bands: list[int]) -> None:
    for image in images:
        values, missing = image.read(Window(3, 17, 20, 50), bands)
        np.testing.assert_array_equal(values, LARGER[bands, 3:17, 20:50])
        assert not missing.any()


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_truncated_files_are_one_line(tmp_path: Path, kind: str, kept: float) -> None:
    path, keys = FILES[kind](tmp_path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    refused(path, **keys)
    source_size(source(path, **keys))  # raises nothing


def test_damaged_chunk_is_one_line(tmp_path: Path) -> None:
    path, _ = plain_file(tmp_path)
    with h5py.File(path) as file:
        start = file["cube"].id.get_chunk_info(3).byte_offset
    content = bytearray(path.read_bytes())
    content[start : start + 300] = bytes(300)
    path.write_bytes(content)
    assert "damaged or not readable" in refused(path)


def test_web_page_under_a_products_name(tmp_path: Path) -> None:
    for name in ("EMIT_L2A_RFL_001.nc", "PRS_L2D_STD_1.he5", "a.h5"):
        (tmp_path / name).write_text("<!DOCTYPE html><html>sign in</html>")
        assert "is a web page, not data" in refused(tmp_path / name)


def bytes_read() -> int:
    """Bytes that this process has asked of files so far."""
    lines = Path(f"/proc/{os.getpid()}/io").read_text().splitlines()
    return int(lines[0].removeprefix("rchar: "))


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count what is read")
@pytest.mark.parametrize("chunks", [None, (16, 32, 32)])
def test_a_window_reads_its_part_of_the_file(tmp_path: Path, chunks: tuple[int, int, int] | None) -> None:
    path = tmp_path / "large.mat"
    with h5py.File(path, "w") as file:  # (band, x, y)
        file.create_dataset("cube", data=np.ones((32, 512, 512), np.uint16), chunks=chunks)
    image = array_image(path, source(path))
    before = bytes_read()
    values, _ = image.read(Window(64, 128, 0, 64), list(range(32)))
    assert values.shape == (32, 64, 64)
    assert values.nbytes <= bytes_read() - before < path.stat().st_size / 6


def test_a_scene_larger_than_memory_opens(tmp_path: Path) -> None:
    path = tmp_path / "immense.h5"
    with h5py.File(path, "w") as file:  # 2 TB, of which nothing is written
        cube = file.create_dataset("cube", (200, 100_000, 50_000), np.uint16, chunks=(200, 16, 16))
        cube[:, 70_000, 40_000] = np.arange(200)
    keys = {"axes": "band,y,x"}
    assert source_size(source(path, **keys)) == (100_000, 50_000)
    image = array_image(path, source(path, **keys))
    values, _ = image.read(Window(69_990, 70_010, 39_990, 40_010), [0, 7, 199])
    assert values[:, 10, 10].tolist() == [0, 7, 199]
    assert np.count_nonzero(values) == 2


def test_looking_through_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("cube", data=np.ones((32, 400, 512), np.uint16))  # 26 MB in float32
    monkeypatch.setattr(readers, "BLOCK", 2**17)
    tracemalloc.start()
    scene = open_file(source(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scene.shape == (32, 512, 400)
    assert peak < 8e6
